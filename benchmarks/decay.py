"""A leaky integrator without input, forward and backward, from two initial values: one so small that the state and the
gradient soon become denormal numbers, which many processors compute a hundred times more slowly, and an ordinary one.
"""

import torch
from torch import Tensor

from benchmarks.floor import Work
from benchmarks.timing import LOOP, Comparison, Contestant, Run
from bionets.scan import scan

Size = tuple[int, int, int]
DECAY = 0.999
SMALL = 1e-36  # denormal after some 4,500 steps, and not yet zero after 10,000


def leak(x: Tensor, v: Tensor, decay: Tensor) -> tuple[Tensor, Tensor]:
    """v = decay·v + x"""
    v = decay * v + x
    return v, v


def decay(size: Size) -> Comparison:
    """bionets and eager PyTorch, each with and without denormal numbers."""

    def contestant(library: str, backend: str, start: float, remark: str = "") -> Contestant:
        numbers = "into denormals" if start == SMALL else "ordinary numbers"
        return Contestant(f"{library}, {numbers}", lambda: _run(size, backend, start), remark)

    return Comparison(
        "decay",
        f"a decay, forward + backward, T {size[0]:,}, B {size[1]}, N {size[2]}",
        _work(size),
        (
            contestant("bionets scan", "auto", SMALL),
            contestant("bionets scan", "auto", 1.0),
            contestant("eager PyTorch", "reference", SMALL, LOOP),
            contestant("eager PyTorch", "reference", 1.0, LOOP),
        ),
    )


def _run(size: Size, backend: str, start: float) -> Run:
    x, first = torch.zeros(size, requires_grad=True), torch.full(size[1:], start)
    parameter = torch.full(size[2:], DECAY, requires_grad=True)
    gradient = torch.zeros(size)
    gradient[-1] = start

    def run() -> None:
        x.grad = parameter.grad = None
        scan(leak, x, first, parameter, backend=backend)[0].backward(gradient)

    return run


def _work(size: Size) -> Work:
    one = 4 * size[0] * size[1] * size[2]
    return Work(
        {
            "forward, input read": one,
            "forward, output written (the state is the output)": one,
            "backward, states read": one,
            "backward, output gradient read": one,
            "backward, input gradient written": one,
        }
    )
