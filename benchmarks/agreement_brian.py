"""The same network in bionets and in Brian2; for the conversions see docs/plastic.md."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bionets.layers import plastic
from bionets.layers.plastic import MSTDPET, LinearDynamics, PairSTDP, TripletSTDP

Array = NDArray[Any]
Pairs = list[tuple[Any, Any]]
STEPS, SOURCES, NEURONS = 400, 20, 8
TRACES = {"x": 0.9, "y": 0.9, "slow_x": 0.95, "slow_y": 0.97, "eligibility": 0.95}  # their decays in a step


PAIR, UP, DOWN = {"potentiation": 0.01, "depression": 0.005}, "0.01 * x", "0.005 * y"
DEPENDENT = {**PAIR, "weight_dependence": 0.4}
TRIPLET = {"triplet_potentiation": 0.006, "triplet_depression": 0.002, "pre_decay": 0.95, "post_decay": 0.97}
LEARN = "w = clip(w + dw, 0, 1); dw = 0"
REWARD = "eligibility += dw; dw = 0; w = clip(w + 0.01 * reward(t) * eligibility, 0, 1)"
NETWORKS: dict[str, tuple[Any, ...]] = {  # the arguments of network_pairs
    "PairSTDP": (PairSTDP, PAIR, UP, DOWN),
    "PairSTDP, nearest_spike": (PairSTDP, PAIR, UP, DOWN, True),
    "PairSTDP, delays": (PairSTDP, PAIR, UP, DOWN, False, 5),
    "PairSTDP, weight_dependence": (PairSTDP, DEPENDENT, f"(1 - w)**0.4 * {UP}", f"w**0.4 * {DOWN}"),
    "TripletSTDP": (TripletSTDP, PAIR | TRIPLET, "(0.01 + 0.006 * slow_y) * x", "(0.005 + 0.002 * slow_x) * y"),
    "MSTDPET": (MSTDPET, {"depression": 0.7}, "x", "0.7 * y", False, 0, REWARD),
}


def network_pairs(
    rule: Any, settings: Any, up: str, down: str, nearest: bool = False, delays: int = 0, learn: str = LEARN
) -> Pairs:
    """Spikes and weights of neurons with adaptive thresholds, lateral inhibition and inputs that learn, from both CPU
    backends and from Brian2. ``up`` and ``down`` are the changes dw at a spike of the target and of the source, from
    the weight w, the traces x and y, and slow_x and slow_y before this spike; ``learn`` uses dw at the end of a step.
    """
    random, period = np.random.default_rng(0), delays + 1
    spikes = random.random((STEPS, SOURCES)) < 0.1 * period  # a synapse holds one spike in flight
    spikes &= np.arange(STEPS)[:, None] % period == random.integers(period, size=SOURCES)
    weight, delay = random.random((SOURCES, NEURONS)), random.integers(period, size=(SOURCES, NEURONS))
    reward = random.normal(size=STEPS)
    expected = _in_brian(spikes, weight, delay, reward, up, down, learn, nearest)
    assert expected[0].any() and not np.allclose(expected[1], weight), "it is silent, or does not learn"
    pairs: Pairs = []
    for backend in ("reference",) if delays else ("reference", "numba"):  # numba has no delay of each synapse
        network, voltage, threshold = plastic.Network(), LinearDynamics(0.95), LinearDynamics(0.99, scale=0.5)
        traced: dict[str, Any] = {"trace": LinearDynamics(TRACES["x"]), "nearest_spike": nearest}
        options: dict[str, Any] = {"rest": -65.0, "reset": -60.0, "threshold": -52.0, "refractory": 5, **traced}
        network.add("input", plastic.Input(SOURCES, **traced))
        network.add("cells", plastic.AdaptiveLIF(NEURONS, voltage, threshold, homeostasis=True, **options))
        options = {"rest": -60.0, "reset": -45.0, "threshold": -40.0, "refractory": 2}
        network.add("inhibitory", plastic.LIF(NEURONS, LinearDynamics(0.9), **options))
        learnt = plastic.Linear(SOURCES, NEURONS, weight=torch.tensor(weight), delay=torch.tensor(delay))
        network.connect("input", "cells", learnt)
        network.connect("cells", "inhibitory", plastic.OneToOne(NEURONS, 22.5, delay=1))
        network.connect("inhibitory", "cells", plastic.LateralInhibition(NEURONS, -10.0))
        network.add_rule(rule([learnt], **settings))
        x, rewards = torch.tensor(spikes).unsqueeze(1), torch.tensor(reward).unsqueeze(1)
        pairs += [(network(x, rewards, backend=backend)["cells"][:, 0], expected[0]), (learnt.weight, expected[1])]
    return pairs


def _in_brian(
    spikes: Array, weight: Array, delay: Array, reward: Array, up: str, down: str, learn: str, nearest: bool
) -> tuple[Array, Array]:
    import brian2 as b

    b.BrianLogger.log_level_error()
    b.prefs.codegen.target = "numpy"
    b.start_scope()
    b.defaultclock.dt = b.ms
    times, indices = np.nonzero(spikes)
    source = b.SpikeGeneratorGroup(SOURCES, indices, times * b.ms, when="start")
    cells = _lif(b, -65, 0.95, "v >= -52 + a", "v = -60; a += 0.5 / 0.99", 6)
    inhibitory = _lif(b, -60, 0.9, "v >= -40", "v = -45", 3)
    equations = [f"d{name}/dt = -{name} / tau_{name} : 1 (clock-driven)" for name in TRACES]
    spike = "= 1" if nearest else "+= 1"
    current = "v_post += {} * int(not_refractory_post)"
    before = {"current": current.format("w"), "pre_0": f"x {spike}", "pre_1": f"dw -= {down}", "pre_2": "slow_x += 1"}
    after = {"post_0": f"y {spike}", "post_1": f"dw += {up}", "post_2": "slow_y += 1"}
    names = {f"tau_{name}": -b.ms / np.log(decay) for name, decay in TRACES.items()}
    names["reward"] = b.TimedArray(reward, dt=b.ms)
    options = {"on_pre": before, "on_post": after, "method": "exact", "namespace": names}
    synapses = b.Synapses(source, cells, "\n".join(["w : 1", "dw : 1", *equations]), **options)
    synapses.connect()
    synapses.w = weight.flatten()
    for name in before:
        getattr(synapses, name).delay = delay.flatten() * b.ms
    for name in ("pre_0", "pre_1", "pre_2", *after):
        getattr(synapses, name).when, getattr(synapses, name).order = "after_thresholds", int(name[-1])
    synapses.run_regularly(learn, when="end")
    excite = b.Synapses(cells, inhibitory, on_pre=current.format(22.5))
    excite.connect(j="i")
    inhibit = b.Synapses(inhibitory, cells, on_pre=current.format(-10))
    inhibit.connect(condition="i != j")
    monitor = b.SpikeMonitor(cells)
    network = b.Network(source, cells, inhibitory, synapses, excite, inhibit, monitor)
    network.schedule = ["start", "groups", "synapses", "thresholds", "resets", "end"]  # as bionets: inputs come first
    network.run(STEPS * b.ms, namespace={})
    fired = np.zeros((STEPS, NEURONS), bool)
    fired[np.round(monitor.t / b.ms).astype(int), monitor.i] = True
    return fired, np.array(synapses.w).reshape(weight.shape)


def _lif(b: Any, rest: float, decay: float, threshold: str, reset: str, refractory: int) -> Any:
    """Neurons with the exact decays of v to rest, and of the adaptation a with 0.99 in a step."""
    model = f"dv/dt = ({rest} - v) / tau : 1 (unless refractory)\nda/dt = -a / tau_a : 1"
    names = {"tau": -b.ms / np.log(decay), "tau_a": -b.ms / np.log(0.99)}
    options = {"threshold": threshold, "reset": reset, "refractory": refractory * b.ms, "method": "exact"}
    group = b.NeuronGroup(NEURONS, model, **options, namespace=names)
    group.v = rest
    return group
