"""The Triton backend compared with the reference on the same device: results and gradients of cells and layers."""

import copy
import itertools
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils import _pytree as pytree  # private, but torch's own tree of tensors has no public name yet

from benchmarks import cells
from benchmarks.gpu.case import BACKEND, DEVICE, Case, Row
from benchmarks.plastic import diehl_and_cook, digits
from bionets.layers import RecurrentStigmergicMemory, StatefulModule, spiking
from bionets.layers.plastic import reference
from bionets.layers.recurrent.brc import brc_step
from bionets.layers.recurrent.nbrc import nbrc_step
from bionets.layers.recurrent.peephole_lstm import peephole_memory_step, peephole_output_step
from bionets.scan import dense_scan, scan, surrogate
from bionets.scan.uniform import uniform

CELL_CASES = 172  # 200 with the 28 integrators
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
TOLERANCES = {torch.float32: 3e-5, torch.float64: 1e-10, torch.bfloat16: 2e-2, torch.float16: 4e-3}
TIME, BATCH = 7, 5
Call = Callable[..., tuple[Any, Any]]


@dataclass(frozen=True)
class Cell:
    """The shapes of the tensors of a scan, and the call of the scan. `positive` tensors are between 0 and 1."""

    leaves: dict[str, tuple[int, ...]]
    call: Call
    positive: tuple[str, ...] = ()


def cell_table(tiny: bool) -> dict[str, Cell]:
    """Cells by name and width. The widths give incomplete tiles, complete tiles, and weights that do not fit on the
    chip.
    """
    widths = (13,) if tiny else (13, 100)
    table: dict[str, Cell] = {}
    for width in widths:
        table |= {f"brc {width}": _brc(width), f"lif {width}": _lif(width), f"nbrc {width}": _nbrc(width)}
    table |= {"dsrlits 13": _dsrlits(13), "recurrent lif 32": _recurrent_lif(32), "peephole lstm 13": _lstm(13)}
    return table if tiny else table | {"nbrc loop 150": _nbrc(150), "peephole lstm 64": _lstm(64)}


def cases(tiny: bool) -> Iterator[Case]:
    """A fixed random selection from all combinations of cell, dtype, lengths, reverse and checkpoints, and then the
    layers.
    """
    options = itertools.product(DTYPES, (False, True), (False, True), (1, 3))
    everything = list(itertools.product(cell_table(tiny).items(), options))
    random.Random(0).shuffle(everything)
    for (name, cell), (dtype, ragged, reverse, every) in everything[: 6 if tiny else CELL_CASES]:
        lengths = torch.tensor([TIME, 0, 3, 1, TIME - 1], device=DEVICE) if ragged else None
        chosen = {"lengths": lengths, "reverse": reverse, "checkpoint_every": every}
        words = f"{'lengths ' if ragged else ''}{'reverse ' if reverse else ''}checkpoint_every={every}"
        yield Case(
            f"{name} {str(dtype)[6:]} {words}",
            lambda cell=cell, dtype=dtype, chosen=chosen: _compare_cell(cell, dtype, chosen),  # type: ignore[misc]
        )
    for kind in spiking.KINDS[:2] if tiny else spiking.KINDS:
        layer: Callable[[int], StatefulModule] = getattr(spiking, kind.name)
        yield Case(kind.name, lambda layer=layer: _compare_layer(layer(13), (TIME, BATCH, 13)))  # type: ignore[misc]
    yield Case("stigmergic", lambda: _compare_layer(RecurrentStigmergicMemory(28, 15, 1, 20), (TIME, BATCH, 28)))
    yield Case("PLIF", lambda: _compare_layer(spiking.PLIF(13), (TIME, BATCH, 13)))
    yield Case("ALIF", lambda: _compare_layer(spiking.ALIF(13), (TIME, BATCH, 13)))
    yield Case("uniform numbers are those of the CPU", _compare_uniform)
    yield Case("same input, same bits", lambda: _compare_bits(cell_table(tiny)["nbrc 13"]))
    yield Case("torch.compile around a scan", lambda: _compare_compiled(cell_table(tiny)["brc 13"]))
    yield Case("a plastic network replayed", lambda: _compare_replay(20 if tiny else 100))
    if DEVICE == "cuda":
        yield Case("offsets beyond 32 bits", _compare_wide)


# comparisons


def _compare_cell(cell: Cell, dtype: torch.dtype, options: dict[str, Any]) -> Row:
    leaves = leaves_of(cell, dtype)
    found, expected = (results_of(cell.call, leaves, backend, options) for backend in (BACKEND, "reference"))
    return agreement(found, expected, TOLERANCES[dtype])


def _compare_layer(layer: StatefulModule, shape: tuple[int, ...]) -> Row:
    """Compare a spiking or stigmergic layer, called by its `over_time`: the outputs and the gradients of x and all
    parameters.
    """
    layer = layer.to(DEVICE)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(DEVICE).requires_grad_()
    leaves = [x, *layer.parameters()]

    def results(backend: str) -> list[Tensor | None]:
        torch.manual_seed(3)  # for layers with random spikes
        y, states = layer.over_time(x, backend=backend)
        return _with_gradients([y, *(state for state in states if state.is_floating_point())], leaves)

    return agreement(results(BACKEND), results("reference"), TOLERANCES[torch.float32])


def _compare_uniform() -> Row:
    shape, seed, step = (3, 70_000), 12345, 2**33
    different = int((uniform(seed, step, shape, DEVICE).cpu() != uniform(seed, step, shape)).sum())
    return {"different": different, "ok": different == 0}


def _compare_bits(cell: Cell) -> Row:
    leaves = leaves_of(cell, torch.float32)
    one, other = (results_of(cell.call, leaves, BACKEND, {}) for _ in range(2))
    pairs = zip(one, other, strict=True)
    return {"ok": all(a is b if a is None or b is None else torch.equal(a, b) for a, b in pairs)}


def _compare_compiled(cell: Cell) -> Row:
    leaves = leaves_of(cell, torch.float32)
    compiled = torch.compile(cell.call) if DEVICE == "cuda" else torch.compile(cell.call, backend="aot_eager")
    found = results_of(compiled, leaves, BACKEND, {})
    return agreement(found, results_of(cell.call, leaves, "reference", {}), TOLERANCES[torch.float32])


def _compare_replay(steps: int) -> Row:
    """Compare steps that are replayed as a CUDA graph with steps computed one by one: spikes, and weights after
    learning.
    """
    torch.manual_seed(0)
    network, x = diehl_and_cook(50).to(DEVICE), digits(4, steps).to(DEVICE)
    other = copy.deepcopy(network)
    found = network(x, backend="reference")
    with patch.object(reference, "can_replay", lambda *arguments: False):
        expected = other(x, backend="reference")
    spikes = [[spikes.float() for spikes in each.values()] for each in (found, expected)]
    ours, theirs = ([*one, *net.parameters()] for one, net in zip(spikes, (network, other), strict=True))
    return agreement(ours, theirs, 1e-5) | {"spikes": float(found["excitatory"].sum())}


def _compare_wide() -> Row:
    """Compare scans of rows whose addresses differ by 2³¹ elements."""
    storage = torch.zeros(2**31 + 4096, dtype=torch.bfloat16, device=DEVICE)
    x = storage.as_strided((TIME, 2, 64), (64, 2**31, 1))
    x.copy_(torch.randn(TIME, 2, 64))
    state, beta, theta = torch.zeros(2, 64, device=DEVICE), torch.full((64,), 0.9, device=DEVICE), torch.ones(())
    params = (beta, theta.to(DEVICE))
    found, expected = (scan(cells.lib_round, x, state, params, backend=backend) for backend in (BACKEND, "reference"))
    return agreement([*found], [*expected], TOLERANCES[torch.bfloat16])


def leaves_of(cell: Cell, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    leaves = []
    for name, shape in cell.leaves.items():
        number = torch.randn(shape, generator=generator)
        number = number.sigmoid() if name in cell.positive else number * (shape[-1] ** -0.5 if "weight" in name else 1)
        half = dtype.itemsize < 4 and not name.startswith("x")  # only the input has half precision, as under autocast
        leaves.append(number.to(DEVICE, torch.float32 if half else dtype).requires_grad_())
    return leaves


def results_of(call: Call, leaves: list[Tensor], backend: str, options: dict[str, Any]) -> list[Tensor | None]:
    y, state = call(*leaves, backend=backend, **options)
    return _with_gradients(pytree.tree_leaves((y, state)), leaves)


def _with_gradients(outputs: list[Tensor], leaves: list[Tensor]) -> list[Tensor | None]:
    """The outputs, and the gradients of the leaves for fixed gradients of the outputs."""
    generator = torch.Generator().manual_seed(1)
    cotangents = [torch.randn(leaf.shape, generator=generator).to(leaf) for leaf in outputs]
    differentiable = [(one, other) for one, other in zip(outputs, cotangents, strict=True) if one.requires_grad]
    ones, others = zip(*differentiable, strict=True)
    gradients = torch.autograd.grad(ones, leaves, others, allow_unused=True)
    return [*(leaf.detach() for leaf in outputs), *gradients]


def agreement(found: list[Tensor | None], expected: list[Tensor | None], tolerance: float) -> Row:
    """The largest difference between two tensors, relative to the largest number of the expected one (at least 1)."""
    worst, where = 0.0, ""
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        if one is None or other is None:
            present = other if one is None else one
            error = 0.0 if present is None or not bool(present.any()) else float("inf")
        elif one.shape != other.shape or one.dtype != other.dtype:
            return {"ok": False, "error": None, "worst": f"tensor {number}: {one.shape} {one.dtype}, not {other.shape}"}
        else:
            scale = max(1.0, float(other.abs().max())) if other.numel() else 1.0
            error = float((one.double() - other.double()).abs().max()) / scale if other.numel() else 0.0
        if not error <= worst:
            worst, where = float("inf") if math.isnan(error) else error, f"tensor {number} of {len(found)}"
    return {"ok": worst <= tolerance, "error": worst, "tolerance": tolerance, "worst": where}


# cells


def _brc(n: int) -> Cell:
    x = dict.fromkeys(("x0", "x1", "x2"), (TIME, BATCH, n))
    params = dict.fromkeys(("wa", "wc", "ba", "bc"), (n,))
    return Cell(
        {**x, "state": (BATCH, n), **params},
        lambda a, b, c, h, *params, **options: scan(brc_step, (a, b, c), h, params, **options),
    )


def _lif(n: int) -> Cell:
    def step(x: Tensor, v: Tensor, params: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        decay, threshold = params
        v = decay * v + x
        spike = surrogate.arctan(v - threshold)
        return spike, v - spike * threshold

    return Cell(
        {"x": (TIME, BATCH, n), "state": (BATCH, n), "decay": (n,), "threshold": ()},
        lambda x, v, decay, threshold, **options: scan(step, x, v, (decay, threshold), **options),
        positive=("decay", "threshold"),
    )


def _dsrlits(n: int) -> Cell:
    states, params = [f"state{i}" for i in range(6)], [f"param{i}" for i in range(12)]

    def call(x: Tensor, *leaves: Tensor, **options: Any) -> tuple[Any, Any]:
        state = cells.DSRLITSState(*(cells.Pair(*leaves[i : i + 2]) for i in (0, 2, 4)))
        values = cells.DSRLITSParams(*(cells.Pair(*leaves[i : i + 2]) for i in range(6, 18, 2)))
        return scan(cells.dsrlits_round, x, state, values, **options)

    leaves = {"x": (TIME, BATCH, n), **dict.fromkeys(states, (BATCH, n)), **dict.fromkeys(params, (n,))}
    return Cell(leaves, call, positive=tuple(params))


def _nbrc(n: int) -> Cell:
    x = dict.fromkeys(("x0", "x1", "x2"), (TIME, BATCH, n))
    return Cell(
        {**x, "state": (BATCH, n), "ba": (n,), "bc": (n,), "weight": (2 * n, n)},
        lambda a, b, c, h, ba, bc, weight, **o: dense_scan(nbrc_step, (a, b, c), h, (ba, bc), weight, **o),
    )


def _recurrent_lif(n: int) -> Cell:
    def step(x: Tensor, recurrent: Tensor, state: tuple[Tensor, Tensor], decay: Tensor) -> tuple[Tensor, Any]:
        _, v = state
        v = decay * v + x + recurrent
        spike = surrogate.fast_sigmoid(v - 0.5)
        return spike, (spike, v - 0.5 * spike)

    return Cell(
        {"x": (TIME, BATCH, n), "state0": (BATCH, n), "state1": (BATCH, n), "decay": (n,), "weight": (n, n)},
        lambda x, s, v, decay, weight, **options: dense_scan(step, x, (s, v), decay, weight, **options),
        positive=("decay",),
    )


def _lstm(n: int) -> Cell:
    def call(*leaves: Tensor, **options: Any) -> tuple[Any, Any]:
        x, state, params, weights = (tuple(leaves[i:j]) for i, j in ((0, 4), (4, 8), (8, 12), (12, 14)))
        return dense_scan((peephole_memory_step, peephole_output_step), x, state, params, weights, **options)

    x = {f"x{i}": (TIME, BATCH, n) for i in range(4)}
    states, biases = {f"state{i}": (BATCH, n) for i in range(4)}, {f"bias{i}": (n,) for i in range(4)}
    return Cell({**x, **states, **biases, "weight_hh": (4 * n, n), "weight_ch": (3 * n, n)}, call)
