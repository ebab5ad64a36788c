"""One presentation of 350 steps to the network of Diehl and Cook (784 → 400, pair STDP, lateral inhibition).

The inputs are as dense as digits of MNIST: a fifth of the pixels spike, in up to 12.8% of the steps. The comparison has
the two matrix products of a step that reads and changes all weights (the currents, and the outer product of spikes and
traces), and the equations of the network step by step in eager PyTorch.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.floor import Work
from benchmarks.timing import LOOP, Comparison, Contestant, Run
from bionets.layers.plastic import (
    LIF,
    AdaptiveLIF,
    Input,
    LateralInhibition,
    Linear,
    LinearDynamics,
    Network,
    OneToOne,
    PairSTDP,
)

INPUTS = 784
ACTIVE, RATE = 0.2, 0.128  # share of the pixels that are not black, and spike probability of a white pixel
PRODUCTS = "two addmm_ a step"


def presentation(batch: int, size: int, steps: int) -> Comparison:
    """bionets, the matrix products alone, and the same equations in eager PyTorch."""
    spikes = INPUTS * ACTIVE * RATE / 2 * batch * steps
    moved = {
        "input spikes read": batch * steps * INPUTS,
        "output spikes written": 2 * batch * steps * size,
        "weights of spiking inputs read": round(4 * spikes * size),
        "the same read and written by learning": round(8 * spikes * size),
    }
    return Comparison(
        f"plastic-{batch}",
        f"{INPUTS} → {size} with STDP, a presentation of {steps} steps, B {batch}",
        Work(moved),
        (
            Contestant("bionets", lambda: _network(batch, size, steps, "numba")),
            Contestant(PRODUCTS, lambda: _products(batch, size, steps), "nothing but the products"),
            Contestant("eager PyTorch", lambda: _network(batch, size, steps, "reference"), LOOP, most_rounds=3),
        ),
    )


def diehl_and_cook(size: int) -> Network:
    """The two-layer network of Diehl and Cook (2015), with currents in place of conductances."""
    network, trace = Network(), LinearDynamics(0.95)
    network.add("pixels", Input(INPUTS, trace=trace, nearest_spike=True))
    adaptation = LinearDynamics(1 - 1e-7, scale=0.05)
    excitatory = AdaptiveLIF(
        size,
        LinearDynamics(0.99),
        adaptation,
        homeostasis=True,
        rest=-65.0,
        reset=-60.0,
        threshold=-52.0,
        refractory=5,
        trace=trace,
        nearest_spike=True,
    )
    network.add("excitatory", excitatory)
    network.add("inhibitory", LIF(size, LinearDynamics(0.9), rest=-60.0, reset=-45.0, threshold=-40.0, refractory=2))
    weight = 0.3 * torch.rand(INPUTS, size)
    learnt = network.connect("pixels", "excitatory", Linear(INPUTS, size, weight=weight, norm=78.4))
    network.connect("excitatory", "inhibitory", OneToOne(size, 22.5))
    network.connect("inhibitory", "excitatory", LateralInhibition(size, -17.5))
    network.add_rule(PairSTDP([learnt], potentiation=1e-2, depression=1e-4))
    return network


def digits(batch: int, steps: int) -> Tensor:
    """Spikes ``[T, B, 784]`` of images that are as bright as MNIST's."""
    images = torch.rand(batch, INPUTS) * (torch.rand(batch, INPUTS) < ACTIVE)
    return torch.rand(steps, batch, INPUTS) < RATE * images


def _network(batch: int, size: int, steps: int, backend: str) -> Run:
    torch.manual_seed(0)
    network, x = diehl_and_cook(size), digits(batch, steps)

    def run() -> None:
        network.reset()
        network.normalise()
        network(x, backend=backend)

    return run


def _products(batch: int, size: int, steps: int) -> Callable[[], None]:
    weight, pre, post = torch.rand(INPUTS, size), torch.rand(batch, INPUTS), torch.rand(batch, size)
    current = torch.zeros(batch, size)

    def run() -> None:
        for _ in range(steps):
            current.addmm_(pre, weight, beta=0)
            weight.addmm_(pre.T, post, alpha=1e-9)

    return run
