"""Compare bionets with other libraries: python -m benchmarks.agreement [LIBRARY ...]

Each case gives both the same inputs, with the conversions of docs/spiking.md and docs/plastic.md, and prints the
largest absolute difference; libraries that are not installed are skipped. The exit status is 1 if a case differs by
more than 1e-6 (some libraries compute in float32).
"""

import math
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.agreement_brian import NETWORKS, Pairs, network_pairs
from bionets.analysis.spiking_activity import synaptic_operations
from bionets.layers import unroll
from bionets.layers.spiking import LIB, PLIF, SLIB, AdEx, encoders, losses, readouts
from bionets.scan.surrogate import arctan, fast_sigmoid, gaussian, leaky, rectangle, sigmoid, super_spike, triangle
from bionets.tasks.mackey_glass import symmetric_errors

LIMIT = 1e-6
INPUTS = 0.8 * torch.rand((200, 3, 5), dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.1


def over_time(step: Callable[..., Any], x: Tensor, *state: Any) -> Tensor:
    outputs = []
    for row in x:
        y, *state = step(row, *state)
        outputs.append(y)
    return torch.stack(outputs)


def gradients(*pairs: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]) -> Pairs:
    v = torch.linspace(-2, 2, 401, requires_grad=True)
    one, other = ([torch.autograd.grad(pair[i](v).sum(), v)[0] for pair in pairs] for i in (0, 1))
    return list(zip(one, other, strict=True))


def snntorch_neurons() -> Pairs:
    from snntorch import Leaky, Synaptic

    x, small = INPUTS, INPUTS / 10
    zero, synaptic = Leaky(0.9, reset_mechanism="zero", reset_delay=False), Synaptic(0.8, 0.9, reset_delay=False)
    return [
        (unroll(LIB(5, spike_fn="arctan"), x), over_time(Leaky(0.9, reset_delay=False), x)),
        (unroll(SLIB(5, alpha=0.8, spike_fn="arctan"), small / (1 - 0.8)), over_time(synaptic, small)),
        (unroll(PLIF(5, beta=0.9), x / (1 - 0.9)), over_time(zero, x)),
    ]


def snntorch_functions() -> Pairs:
    from snntorch import functional, spikegen
    from snntorch import surrogate as theirs

    x, spikes, target = 0.5 + torch.rand(50) / 2, (torch.rand(25, 8, 10) < 0.3).double(), torch.randint(10, (8,))
    counts = functional.mse_count_loss(correct_rate=0.8, incorrect_rate=0.2)(spikes, target)
    return [
        (encoders.latency(x, 20, 0.3, decay=0.9), spikegen.latency(x, 20, 0.3, tau=-1 / math.log(0.9), clip=True)),
        (losses.cross_entropy_each_step(spikes, target), functional.ce_rate_loss()(spikes, target)),
        (nn.functional.cross_entropy(readouts.spike_count(spikes), target), functional.ce_count_loss()(spikes, target)),
        (losses.spike_rate_error(spikes, target, 0.8, 0.2), counts / len(spikes)),
        (losses.first_spike_cross_entropy(spikes, target), functional.ce_temporal_loss()(spikes.clone(), target)),
        *gradients((arctan, theirs.atan(2.0)), (super_spike, theirs.fast_sigmoid(10)), (sigmoid, theirs.sigmoid(4))),
    ]


def spikingjelly() -> Pairs:
    from spikingjelly.activation_based import encoding, neuron
    from spikingjelly.activation_based import surrogate as theirs

    x, values, encoder = INPUTS, torch.rand(50), encoding.LatencyEncoder(20)
    subtract = neuron.LIFNode(10.0, decay_input=False, v_reset=None, step_mode="m")
    return [
        (unroll(LIB(5, spike_fn="arctan"), x), subtract(x)),
        (unroll(PLIF(5, beta=0.9), 5 * x), neuron.LIFNode(10.0, v_reset=0.0, step_mode="m")(5 * x)),
        (encoders.latency(values, 20, threshold=1e-9), torch.stack([encoder(values) for _ in range(20)])),
        *gradients((arctan, theirs.ATan(2.0)), (sigmoid, theirs.Sigmoid(4.0)), (fast_sigmoid, theirs.SoftSign(2.0))),
        *gradients((gaussian, theirs.Erf(math.sqrt(2))), (leaky, theirs.LeakyKReLU(leak=0.1, k=1.0))),
        *gradients((lambda v: triangle(v, 0.8, 1 / 0.8), theirs.PiecewiseQuadratic(0.8))),
        *gradients((lambda v: rectangle(v, 1 / 0.8), theirs.Rect(0.8))),
    ]


def norse() -> Pairs:
    from norse.torch.functional import lif_adex, reset, threshold
    from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters
    from norse.torch.module.lif_box import LIFBoxCell

    x, zeros = INPUTS, torch.zeros(3, 5)
    plain, subtract = LIFBoxParameters(100), LIFBoxParameters(100, reset_method=reset.reset_subtract)
    adaptive = lif_adex.LIFAdExParameters(0.3, 0.1, 0.2, 10, 1000, 100, v_th=1.0, v_reset=0.0)
    adex = partial(lif_adex.lif_adex_feed_forward_step, p=adaptive)
    start, first = LIFBoxFeedForwardState(zeros), lif_adex.LIFAdExFeedForwardState(zeros, zeros, zeros)
    return [
        (unroll(LIB(5, spike_fn="arctan"), x), over_time(LIFBoxCell(subtract), 10 * x, start)),
        (unroll(PLIF(5, beta=0.9), 5 * x), over_time(LIFBoxCell(plain), 5 * x, start)),
        (unroll(AdEx(5, subthreshold=0.3, peak=1.0), 6 * x), over_time(adex, 6 * x, first)),
        *gradients((lambda v: triangle(v, 0.3), lambda v: threshold.threshold(v, "triangle", 0.3))),
    ]


def neurobench() -> Pairs:
    from neurobench.metrics.utils.layers import single_layer_MACs
    from neurobench.metrics.workload.smape import SMAPE

    y, target, conv = torch.randn(50, 1), torch.randn(50, 1), nn.Conv2d(2, 3, 3, stride=2, padding=1)
    x, errors = (torch.rand(3, 2, 8, 8) < 0.3).double(), symmetric_errors(y, target, 0.0, 1.0)
    operations = synaptic_operations(conv, x), single_layer_MACs(x, conv)[0]
    return [(errors.mean(), SMAPE()(None, y, (None, target))), operations]


CASES: dict[tuple[str, str], Callable[[], Pairs]] = {
    **{("brian2", name): partial(network_pairs, *settings) for name, settings in NETWORKS.items()},
    ("snntorch", "LIB, PLIF: Leaky; SLIB: Synaptic"): snntorch_neurons,
    ("snntorch", "surrogate gradients, latency, losses"): snntorch_functions,
    ("spikingjelly", "LIB, PLIF: LIFNode; surrogate gradients, latency"): spikingjelly,
    ("norse", "LIB, PLIF: LIFBoxCell; AdEx: lif_adex; surrogate gradient"): norse,
    ("neurobench", "sMAPE, synaptic operations"): neurobench,
}


def _difference(one: Tensor, other: Tensor) -> Tensor:
    """The largest absolute difference; infinite if the shapes differ, which torch would broadcast."""
    return (one - other).abs().max() if one.shape == other.shape else torch.tensor(math.inf)


def main(libraries: list[str]) -> int:
    """Print the table. The result is 1 if a case differs by more than `LIMIT`, otherwise 0.

    Raises:
        SystemExit: no case compares with one of the libraries.
    """
    known = sorted({library for library, _ in CASES})
    if unknown := [library for library in libraries if library not in known]:
        raise SystemExit(f"no case compares with {', '.join(unknown)}; choose from {', '.join(known)}")
    precision, agree = torch.get_default_dtype(), True
    torch.set_default_dtype(torch.float64)
    print("| library | case | largest difference |\n|---|---|---|")
    try:
        for (library, name), pairs in CASES.items():
            if libraries and library not in libraries:
                continue
            if find_spec(library) is None:
                print(f"| {library} | {name} | not installed |", flush=True)
                continue
            torch.manual_seed(0)
            both = ([torch.as_tensor(each).detach().double().squeeze() for each in pair] for pair in pairs())
            difference = float(torch.stack([_difference(one, other) for one, other in both]).max())
            agree &= difference <= LIMIT
            print(f"| {library} {version(library)} | {name} | {difference:.1g} |", flush=True)
    finally:
        torch.set_default_dtype(precision)
    return int(not agree)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
