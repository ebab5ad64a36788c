"""Forward and backward passes of layers, and whole training steps, compared with PyTorch and other libraries on the
same device.

The comparisons are those of `python -m benchmarks`, at sizes that use the whole device.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import cells
from benchmarks.copy_first_input import copy_first_input
from benchmarks.decay import decay
from benchmarks.gpu.case import DEVICE, Case, Row, graphed, peak_memory, time_run
from benchmarks.spiking import BETA, THETA, dsrlits, lif
from benchmarks.spiking_conv import spiking_conv
from benchmarks.stigmergic import stigmergic
from benchmarks.timing import Comparison, Contestant, Run
from bionets.layers import PeepholeLSTM
from bionets.layers.spiking import LIB

ROUNDS = 11
WITHOUT = ("brc_pytorch",)  # creates its states on the CPU
# Not captured as CUDA graphs: loops over time, whose capture takes seconds, and JAX, which has streams of its own.
NOT_CAPTURED = ("eager", "tracetorch", "snntorch", "norse", "JAX")


def layer_cases(tiny: bool) -> Iterator[Case]:
    """Forward and backward passes of layers, the most important sizes first; loops in eager PyTorch, which take
    longest, last.
    """
    return iter(sorted(_layer_cases(tiny), key=lambda case: " / eager" in case.name))


def _layer_cases(tiny: bool) -> Iterator[Case]:
    if tiny:
        yield from _cases(lif("round", (3, 2, 8)), "8")
        yield from _cases(copy_first_input("BRC", 3, 2, 4), "4")
        yield from _cases(_peephole(3, 2, 4), "4")
        yield Case("layer-8 / bionets LIB", lambda: _integrator((3, 2, 8)))
        yield Case("compiled-lif-8 / torch.compile of a step", lambda: _compiled_step((3, 2, 8)))
        return
    small, large = (100, 64, 1024), (100, 64, 65_536)
    yield from _cases(lif("round", small), "1024")
    yield from _cases(copy_first_input("BRC", 300, 100, 100), "100")
    yield from _cases(copy_first_input("nBRC", 300, 100, 100), "100")
    yield from _cases(copy_first_input("nBRC", 300, 100, 128), "128")
    yield from _cases(lif("round", large), "65536")
    yield Case("layer-65536 / bionets LIB", lambda: _integrator(large))
    yield from _cases(dsrlits("round", small), "1024")
    yield from _cases(dsrlits("round", large), "65536")
    yield from _cases(copy_first_input("BRC", 300, 64, 1024), "1024")
    yield from _cases(copy_first_input("BRC", 1000, 100, 100), "100")
    yield from _cases(_peephole(300, 100, 100), "100")
    yield from _cases(_peephole(300, 100, 64), "64")
    yield from _cases(copy_first_input("nBRC", 300, 100, 256), "256")
    yield from _cases(copy_first_input("nBRC", 300, 100, 512), "512")
    yield from _cases(copy_first_input("BRC", 1000, 64, 1024), "1024")
    yield from _cases(decay((10_000, 16, 64)), "64")
    yield Case("compiled-lif-1024 / torch.compile of a step", lambda: _compiled_step(small))
    yield Case("compiled-lif-1024 / torch.compile of the loop", lambda: _compiled_loop(small))


def step_cases(tiny: bool) -> Iterator[Case]:
    """Whole training steps of networks."""
    for batch in (2,) if tiny else (32, 256, 4096):
        yield from _cases(stigmergic(batch), "")
    for size in ((2, 2),) if tiny else ((4, 128), (25, 128)):
        yield from _cases(spiking_conv("round", size), f"T{size[0]}")
    for layers in (1,) if tiny else (1, 2):
        yield from _binary_addition(layers, *((2, 4, 8) if tiny else (200, 60, 100)))


def graph_cases(tiny: bool) -> Iterator[Case]:
    """The same training steps replayed as CUDA graphs, for all libraries: no Python runs between kernels."""
    if tiny:
        yield from _cases(copy_first_input("BRC", 3, 2, 4), "4", graph=True)
        return
    yield from _cases(copy_first_input("BRC", 300, 100, 100), "100", graph=True)
    yield from _cases(copy_first_input("nBRC", 300, 100, 128), "128", graph=True)
    yield from _cases(lif("round", (100, 64, 1024)), "1024", graph=True)
    yield from _cases(copy_first_input("nBRC", 300, 100, 100), "100", graph=True)
    yield from _cases(copy_first_input("BRC", 1000, 100, 100), "100", graph=True)
    yield from _cases(_peephole(300, 100, 64), "64", graph=True)
    yield from _cases(copy_first_input("nBRC", 300, 100, 256), "256", graph=True)
    yield from _cases(_peephole(300, 100, 100), "100", graph=True)
    yield from _cases(copy_first_input("nBRC", 300, 100, 512), "512", graph=True)
    yield from _cases(dsrlits("round", (100, 64, 1024)), "1024", graph=True)


def _cases(comparison: Comparison, size: str, graph: bool = False) -> Iterator[Case]:
    """One case for each library, so that an error or exhausted memory in one case does not affect the others."""
    for contestant in comparison.contestants:
        if contestant.name.startswith(WITHOUT) or (graph and contestant.name.startswith(NOT_CAPTURED)):
            continue
        name = f"{comparison.name}{'-' * bool(size)}{size}{'-graph' * graph} / {contestant.name}"
        yield Case(name, lambda contestant=contestant: _measure(comparison, contestant, graph))  # type: ignore[misc]


def _measure(comparison: Comparison, contestant: Contestant, graph: bool) -> Row:
    with torch.device(DEVICE):
        run = contestant.build()
    if graph:
        run = graphed(run)
    rounds = min(ROUNDS, contestant.most_rounds or ROUNDS)
    row = time_run(run, rounds) | {"peak_bytes": peak_memory(run)}
    work = contestant.work or comparison.work
    products = sum(2 * p.rows * p.inner * p.columns * p.times for p in work.products)
    return row | {
        "title": comparison.title,
        "remark": contestant.remark,
        "floor_bytes": sum(work.moved.values()),
        "floor_operations": products,
    }


# libraries that `python -m benchmarks` does not have


def _peephole(length: int, batch: int, hidden: int) -> Comparison:
    comparison = copy_first_input("PeepholeLSTM", length, batch, hidden)
    wanted = [contestant for contestant in comparison.contestants if contestant.name != "nn.GRU"]
    return Comparison(comparison.name, comparison.title, comparison.work, tuple(wanted))


def _binary_addition(layers: int, batch: int, length: int, hidden: int) -> Iterator[Case]:
    """A training step of task=binary_addition: two bits per time step, cross-entropy, Adam, gradient clipping."""
    from bionets.layers import BRC, NBRC

    kinds: dict[str, Callable[..., nn.Module]] = {"bionets BRC": BRC, "bionets NBRC": NBRC}
    kinds |= {"bionets PeepholeLSTM": PeepholeLSTM, "nn.GRU": nn.GRU, "nn.LSTM": nn.LSTM}
    for name, kind in kinds.items():
        yield Case(
            f"binary-addition-{layers}x{hidden} / {name}",
            lambda kind=kind: time_run(_addition_step(kind, layers, batch, length, hidden), ROUNDS),  # type: ignore[misc]
        )


def _addition_step(kind: Callable[..., nn.Module], layers: int, batch: int, length: int, hidden: int) -> Run:
    with torch.device(DEVICE):
        network, readout = kind(2, hidden, layers), nn.Linear(hidden, 1)
        x, target = torch.rand(length, batch, 2).round(), torch.rand(length, batch, 1).round()
    parameters = [*network.parameters(), *readout.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)

    def run() -> None:
        optimizer.zero_grad()
        y, _ = network(x)
        nn.functional.binary_cross_entropy_with_logits(readout(y), target).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return run


def _integrator(size: tuple[int, int, int]) -> Row:
    """The layer LIB called by its module, which saves few states for the backward pass and recomputes the others."""
    layer = LIB(size[2], beta=BETA, threshold=THETA, quant_fn="round").to(DEVICE)
    x, output_gradient = torch.randn(size, device=DEVICE, requires_grad=True), torch.randn(size, device=DEVICE)

    def run() -> None:
        for leaf in (x, *layer.parameters()):
            leaf.grad = None
        layer.over_time(x)[0].backward(output_gradient)

    return time_run(run, ROUNDS) | {"peak_bytes": peak_memory(run)}


def _compiled_step(size: tuple[int, int, int]) -> Row:
    """LIF as a loop over a step that torch.compile has compiled to one kernel."""
    step = torch.compile(cells.lib_round)
    return time_run(_lif_loop(size, step), ROUNDS)


def _compiled_loop(size: tuple[int, int, int]) -> Row:
    """LIF as a loop that torch.compile unrolls."""
    return time_run(_lif_loop(size, cells.lib_round, torch.compile), ROUNDS)


def _lif_loop(size: tuple[int, int, int], step: Any, wrap: Callable[[Any], Any] = lambda loop: loop) -> Run:
    x = torch.randn(size, device=DEVICE, requires_grad=True)
    beta, theta = (torch.full(size[2:], value, device=DEVICE, requires_grad=True) for value in (BETA, THETA))
    output_gradient = torch.randn(size, device=DEVICE)

    def loop(x: Tensor, beta: Tensor, theta: Tensor) -> Tensor:
        mem, outputs = torch.zeros_like(x[0]), []
        for row in x.unbind(0):
            out, mem = step(row, mem, (beta, theta))
            outputs.append(out)
        return torch.stack(outputs)

    whole = wrap(loop)

    def run() -> None:
        for leaf in (x, beta, theta):
            leaf.grad = None
        whole(x, beta, theta).backward(output_gradient)

    return run
