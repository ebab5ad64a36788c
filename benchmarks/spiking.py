"""Forward and backward pass of one spiking layer over `[T, B, N]`: traceTorch's LIB (a LIF neuron) and DSRLITS.

Decays and thresholds are learnable, with one value for each neuron if the library supports it. Every library takes x
`[T, B, N]` and computes the output `[T, B, N]` and the gradients of x and of all its parameters. Libraries with layers
for one time step are called in a loop over `x.unbind(0)`, which is their fastest form.
"""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import cells, jax_peers
from benchmarks.floor import Work
from benchmarks.timing import LOOP, Comparison, Contestant, Run
from bionets.scan import OnlineGradients, scan
from bionets.scan.uniform import uniform

Size = tuple[int, int, int]
Layer = tuple[Callable[[Tensor], Tensor], Iterable[Tensor]]

BETA, ALPHA, GAMMA, THETA = 0.9, 0.5, 0.9, 1.0  # traceTorch's initial values


def lif(quantiser: str, size: Size) -> Comparison:
    """LIB with the quantiser `round`, compared with every library, or with `bernoulli`, the default of traceTorch,
    compared with traceTorch.
    """
    draws = int(quantiser == "bernoulli")
    contestants = [
        _contestant(size, "bionets scan", lambda: _bionets_lib(quantiser, size, "auto")),
        _contestant(
            size, "bionets scan, online", lambda: _bionets_lib(quantiser, size, "auto", OnlineGradients()), "one chunk"
        ),
        _contestant(size, "eager PyTorch", lambda: _bionets_lib(quantiser, size, "reference"), LOOP),
        _contestant(size, "tracetorch LIB", lambda: _tracetorch("LIB", quantiser, size)),
    ]
    if not draws:
        contestants += [
            _contestant(size, "snntorch Leaky", lambda: _snntorch(size)),
            _contestant(
                size, "spikingjelly LIFNode", lambda: _spikingjelly(False), "multi-step; decay and threshold fixed"
            ),
            _contestant(
                size,
                "spikingjelly ParametricLIFNode",
                lambda: _spikingjelly(True),
                "multi-step; one learnable decay, threshold fixed",
            ),
            _contestant(size, "norse LIFBoxCell", lambda: _norse(size)),
            Contestant("JAX", lambda: jax_peers.lif(size, BETA, THETA), "lax.scan, compiled by XLA"),
        ]
    title = f"LIF (LIB, quantiser {quantiser}) forward + backward, T {size[0]}, B {size[1]}, N {size[2]}"
    return Comparison(f"lif-{quantiser}", title, _work(size, 1, draws), tuple(contestants))


def dsrlits(quantiser: str, size: Size) -> Comparison:
    """DSRLITS with either quantiser, compared with traceTorch."""
    return Comparison(
        f"dsrlits-{quantiser}",
        f"DSRLITS (quantiser {quantiser}) forward + backward, T {size[0]}, B {size[1]}, N {size[2]}",
        _work(size, 6, 2 * int(quantiser == "bernoulli")),
        (
            _contestant(size, "bionets scan", lambda: _bionets_dsrlits(quantiser, size, "auto")),
            _contestant(size, "eager PyTorch", lambda: _bionets_dsrlits(quantiser, size, "reference"), LOOP),
            _contestant(size, "tracetorch DSRLITS", lambda: _tracetorch("DSRLITS", quantiser, size)),
        ),
    )


def _work(size: Size, states: int, draws: int) -> Work:
    """The least work of a call. Inputs and the states before each step are stored for the backward pass; random numbers
    are inputs, and their generation is timed alone.
    """
    one = 4 * size[0] * size[1] * size[2]
    moved = {
        "forward, input read": one,
        "forward, random numbers read": draws * one,
        "forward, output written": one,
        "forward, states saved": states * one,
        "backward, input read": one,
        "backward, random numbers read": draws * one,
        "backward, states read": states * one,
        "backward, output gradient read": one,
        "backward, input gradient written": one,
    }
    return Work({what: count for what, count in moved.items() if count}, drawn=(size,) * draws)


def _contestant(size: Size, name: str, layer: Callable[[], Layer], remark: str = "") -> Contestant:
    def build() -> Run:
        torch.manual_seed(0)
        forward, parameters = layer()
        leaves = [torch.randn(size, requires_grad=True), *parameters]
        output_gradient = torch.randn(size)

        def run() -> None:
            for leaf in leaves:
                leaf.grad = None
            forward(leaves[0]).backward(output_gradient)

        return run

    return Contestant(name, build, remark)


def _bionets_lib(quantiser: str, size: Size, backend: str, online: OnlineGradients | None = None) -> Layer:
    """LIB of bionets. With online gradients, every call continues from the state of the previous one."""
    beta, theta = _raw_decay(BETA, size), _raw_threshold(THETA, size)
    step: Any = {"round": cells.lib_round, "bernoulli": cells.lib_bernoulli}[quantiser]
    last: list[Tensor] = []

    def forward(x: Tensor) -> Tensor:
        inputs = (x, noise(size)) if quantiser == "bernoulli" else x
        with online or nullcontext():
            state = last.pop() if last else x.new_zeros(size[1:])
            y, state = scan(step, inputs, state, (beta.sigmoid(), F.softplus(theta)), backend=backend)
        if online:
            last.append(state.detach())
        return y

    return forward, (beta, theta)


def _bionets_dsrlits(quantiser: str, size: Size, backend: str) -> Layer:
    decays = [_pair(_raw_decay, value, size) for value in (ALPHA, BETA, GAMMA)]
    theta = _pair(_raw_threshold, THETA, size)
    scale, weight = _pair(_plain, 1.0, size), _pair(_plain, 0.0, size)
    step: Any = {"round": cells.dsrlits_round, "bernoulli": cells.dsrlits_bernoulli}[quantiser]

    def forward(x: Tensor) -> Tensor:
        inputs = (x, noise(size), noise(size)) if quantiser == "bernoulli" else x
        zeros = cells.Pair(x.new_zeros(size[1:]), x.new_zeros(size[1:]))
        alpha, beta, gamma = (cells.Pair(raw.positive.sigmoid(), raw.negative.sigmoid()) for raw in decays)
        thresholds = cells.Pair(F.softplus(theta.positive), F.softplus(theta.negative))
        params = cells.DSRLITSParams(alpha, beta, gamma, thresholds, scale, weight)
        return scan(step, inputs, cells.DSRLITSState(zeros, zeros, zeros), params, backend=backend)[0]

    return forward, [raw for pair in (*decays, theta, scale, weight) for raw in pair]


def noise(size: Size) -> Tensor:
    """Uniform random numbers whose seed is drawn from torch's generator, as in the spiking layers."""
    return uniform(int(torch.randint(2**63 - 1, ())), 0, size)


def _tracetorch(name: str, quantiser: str, size: Size) -> Layer:
    from tracetorch import snn

    layer = getattr(snn, name)(size[2], quant_fn=quantiser)

    def forward(x: Tensor) -> Tensor:
        layer.zero_states()
        return _step_by_step(layer, x)

    return forward, layer.parameters()


def _snntorch(size: Size) -> Layer:
    from snntorch import Leaky

    layer = Leaky(
        beta=torch.full(size[2:], BETA), threshold=torch.full(size[2:], THETA), learn_beta=True, learn_threshold=True
    )

    def forward(x: Tensor) -> Tensor:
        mem, spikes = x.new_zeros(size[1:]), []
        for row in x.unbind(0):
            spike, mem = layer(row, mem)
            spikes.append(spike)
        return torch.stack(spikes)

    return forward, layer.parameters()


def _spikingjelly(learnable: bool) -> Layer:
    from spikingjelly.activation_based import neuron

    tau = 1 / (1 - BETA)
    options: dict[str, Any] = {"decay_input": False, "v_threshold": THETA, "v_reset": None, "step_mode": "m"}
    layer = neuron.ParametricLIFNode(tau, **options) if learnable else neuron.LIFNode(tau, **options)

    def forward(x: Tensor) -> Tensor:
        layer.reset()
        return layer(x)

    return forward, layer.parameters()


def _norse(size: Size) -> Layer:
    from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters
    from norse.torch.functional.reset import reset_subtract
    from norse.torch.module.lif_box import LIFBoxCell

    dt = 1e-3
    rate = nn.Parameter(torch.full(size[2:], (1 - BETA) / dt))
    theta = nn.Parameter(torch.full(size[2:], THETA))
    layer = LIFBoxCell(LIFBoxParameters(tau_mem_inv=rate, v_th=theta, reset_method=reset_subtract), dt=dt)

    def forward(x: Tensor) -> Tensor:
        state, spikes = LIFBoxFeedForwardState(x.new_zeros(size[1:])), []
        for row in x.unbind(0):
            spike, state = layer(row, state)
            spikes.append(spike)
        return torch.stack(spikes)

    return forward, (rate, theta)


def _step_by_step(layer: nn.Module, x: Tensor) -> Tensor:
    return torch.stack([layer(row) for row in x.unbind(0)])


def _raw_decay(value: float, size: Size) -> nn.Parameter:
    return nn.Parameter(torch.full(size[2:], value).logit())


def _raw_threshold(value: float, size: Size) -> nn.Parameter:
    return nn.Parameter(torch.full(size[2:], value).expm1().log())


def _plain(value: float, size: Size) -> nn.Parameter:
    return nn.Parameter(torch.full(size[2:], value))


def _pair(make: Callable[[float, Size], nn.Parameter], value: float, size: Size) -> cells.Pair:
    return cells.Pair(make(value, size), make(value, size))
