"""The CPU backend: fills the table of a kernel with sizes and addresses, and runs it on all threads."""

import itertools

import numpy as np
import torch
from torch import Tensor

from bionets.scan.backend import Call, Gradients, shared_gradients
from bionets.scan.cpu.buffers import empty
from bionets.scan.cpu.native import LANES
from bionets.scan.cpu.numba_compile import find_kernel
from bionets.scan.cpu.numba_matrix import Pair, multiply_transposed, pack
from bionets.scan.cpu.numba_printer import Variant
from bionets.scan.cpu.threads import run_parts, split
from bionets.scan.padding import pad

CACHE_BYTES = 256 * 1024  # what the blocks walked together through time may take: half of a small second-level cache
SMALL = 1 << 20  # operations below which a second thread does not pay


def forward(call: Call, keep: bool) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """y `[T, B, N]`, the final state `[B, N]`, and the histories that backward needs beside y."""
    program = call.program
    y = [empty((call.time, call.batch, call.width), program.dtype) for _ in range(program.y)]
    final = [torch.empty(call.batch, call.width, dtype=program.dtype, device="cpu") for _ in range(program.state)]
    own = call.histories() if keep else []
    histories = [empty((call.stored_steps, call.batch, call.width), program.dtype) for _ in own]
    table = _table(call)
    table |= {f"y{i}": leaf.data_ptr() for i, leaf in enumerate(y)}
    table |= {f"final{i}": leaf.data_ptr() for i, leaf in enumerate(final)}
    table |= {f"history{i}": 0 for i in range(program.state)}
    table |= {f"history{i}": leaf.data_ptr() for i, leaf in zip(own, histories, strict=True)}
    _run(call, Variant(backward=False, masked=call.lengths is not None), table)
    return y, final, histories


def backward(
    call: Call,
    states: list[Tensor],
    grad_y: list[Tensor | None],
    grad_final: list[Tensor | None],
    needs_x: tuple[bool, ...],
    needs_params: tuple[bool, ...],
) -> Gradients:
    """Gradients of everything that is wanted. `states` holds for each state its history, which may be a y."""
    program, time, batch, width = call.program, call.time, call.batch, call.width
    total, dtype = sum(needs_x), program.dtype
    shared = shared_gradients(program.key, needs_x)
    recompute = call.checkpoint_every > 1
    grad_y = [None if leaf is None else _rows(leaf, dtype) for leaf in grad_y]
    grad_final = [None if leaf is None else leaf.to(dtype).contiguous() for leaf in grad_final]
    grad_x = empty((time, batch, total, width), dtype) if total else None
    grad_state = [torch.empty(batch, width, dtype=dtype, device="cpu") for _ in range(program.state)]
    sums = torch.empty(sum(needs_params), batch, width, dtype=dtype, device="cpu")
    blocks = [stage.blocks for stage in program.stages]
    grad_recurrent = [
        empty((time, batch, n * width), dtype) if n and where is None else None
        for n, where in zip(blocks, shared, strict=True)
    ]
    before = [empty((time, batch, width), dtype) if n and (k or recompute) else None for k, n in enumerate(blocks)]
    transposed = [pack(weight) for weight in call.weights]

    table = _table(call)
    for name, leaves in (("history", states), ("grad_initial", grad_state), ("transposed", transposed)):
        table |= {f"{name}{i}": leaf.data_ptr() for i, leaf in enumerate(leaves)}
    table |= {f"transposed{i}_row": leaf.shape[1] for i, leaf in enumerate(transposed)}
    for name, optional in (
        ("grad_y", grad_y),
        ("grad_final", grad_final),
        ("grad_recurrent", grad_recurrent),
        ("before", before),
    ):
        table |= {f"{name}{i}": 0 if leaf is None else leaf.data_ptr() for i, leaf in enumerate(optional)}
    for i, leaf in enumerate(grad_y):
        table[f"grad_y{i}_time"], table[f"grad_y{i}_row"] = (0, 0) if leaf is None else leaf.stride()[:2]
    wanted = [i for i, needed in enumerate(needs_params) if needed]
    table |= {f"grad_params{i}": leaf.data_ptr() for i, leaf in zip(wanted, sums.unbind(), strict=True)}
    table["grad_x"] = 0 if grad_x is None else grad_x.data_ptr()
    masked = call.lengths is not None
    _run(call, Variant(True, masked, recompute, needs_x, needs_params), table)

    totals = sums.sum(1)  # over the batch, in one order; for a scalar parameter over everything
    params = [
        total.sum(0, keepdim=True) if call.params[i].numel() == 1 else total
        for i, total in zip(wanted, totals.unbind(), strict=True)
    ]
    products = []
    for k in range(len(call.weights)):
        gradient, where = grad_recurrent[k], shared[k]
        if where is not None:
            assert grad_x is not None
            begin, end = where * width, (where + blocks[k]) * width  # the blocks lie side by side in each row
            gradient = grad_x.flatten(2)[:, :, begin:end]
        assert gradient is not None
        rows, columns = call.weights[k].shape
        pairs = _factors_of_weight_gradient(call, gradient, before[k], states[0])
        products.append([(left[:, :rows], right[:, :columns]) for left, right in pairs])
    return Gradients(grad_x, grad_state, params, multiply_transposed(products))


def _factors_of_weight_gradient(call: Call, gradient: Tensor, before: Tensor | None, history: Tensor) -> list[Pair]:
    """Of what products the gradient of a weight is the sum: of gradient[t].T @ state before t, over time. The state
    before t is `before`, or the history one step off."""
    gradient, history = gradient.flatten(0, 1), history.flatten(0, 1)
    one = call.batch  # rows of a step
    if before is not None:
        return [(gradient, before.flatten(0, 1))]
    if call.reverse:
        return [(gradient[-one:], call.state[0]), (gradient[:-one], history[one:])]
    return [(gradient[:one], call.state[0]), (gradient[one:], history[:-one])]


def _table(call: Call) -> dict[str, int]:
    """The fields that forward and backward share."""
    table = {
        "time": call.time,
        "width": call.width,
        "batch": call.batch,
        "reverse": int(call.reverse),
        "every": call.checkpoint_every,
        "lengths": 0 if call.lengths is None else call.lengths.data_ptr(),
    }
    for i, leaf in enumerate(call.x):
        table |= {f"x{i}": leaf.data_ptr(), f"x{i}_time": leaf.stride(0), f"x{i}_row": leaf.stride(1)}
    for i, leaf in enumerate(call.params):
        table |= {f"params{i}": leaf.data_ptr(), f"params{i}_step": int(leaf.numel() > 1)}
    table |= {f"initial{i}": leaf.data_ptr() for i, leaf in enumerate(call.state)}
    return table


def _run(call: Call, variant: Variant, table: dict[str, int]) -> None:
    kernel = find_kernel(call.program, variant)
    size, width = call.program.dtype.itemsize, call.width
    count = call.batch * width
    packed = [pack(_blocks(weight, width).mT) for weight in call.weights]
    grain = width if packed else kernel.source.width
    operations = sum(len(stage.graph.nodes) + stage.blocks * width for stage in call.program.stages)
    bounds = split(count, grain) if count * call.time * operations > SMALL else [0, count]
    largest = max(high - low for low, high in itertools.pairwise(bounds))
    most = max(1, CACHE_BYTES // kernel.source.block_bytes * kernel.source.width // grain) * grain
    ranges = -(-largest // most)
    largest = -(-largest // (ranges * grain)) * grain
    table["range"] = largest
    offset = -(-largest // kernel.source.width) * kernel.source.block_bytes

    def reserve(elements: int) -> int:
        nonlocal offset
        begin = offset
        offset += -(-elements * size // 64) * 64
        return begin

    for k, matrix in enumerate(packed):
        table[f"weight{k}"], table[f"weight{k}_row"] = matrix.data_ptr(), matrix.shape[-1]
        table[f"rows{k}"], table[f"columns{k}"] = call.weights[k].shape
        table[f"recurrent{k}"] = reserve(len(matrix) * largest + LANES)  # products write whole vectors
        table[f"back{k}"] = reserve(largest + LANES)
    if packed:
        table["carry"] = reserve(largest)
    if variant.recompute:
        table["tape"] = reserve(min(call.checkpoint_every, call.time) * call.program.state * largest)
    table |= kernel.helpers
    words = np.array([table[name] for name in kernel.source.fields], np.int64)

    # A work area for each part, at the beginning of a cache line; there is one more bound than parts, for the first.
    area = -(-offset // 64) * 64
    work = np.empty(len(bounds) * area, np.uint8)
    first = work.ctypes.data + -work.ctypes.data % 64
    run_parts(
        kernel.address,
        [(words.ctypes.data, low, high, first + i * area) for i, (low, high) in enumerate(itertools.pairwise(bounds))],
    )


def _blocks(weight: Tensor, width: int) -> Tensor:
    """One matrix for each block, `[G, N, columns]`; of a single block without the rows that it lacks."""
    rows, columns = weight.shape
    if rows <= width:
        return weight.unsqueeze(0)
    return pad(weight, rows + -rows % width, columns).unflatten(0, (-1, width))


def _rows(leaf: Tensor, dtype: torch.dtype) -> Tensor:
    """With rows that lie together in memory, and in the dtype of the program."""
    leaf = leaf.to(dtype)
    return leaf if leaf.stride(-1) == 1 or leaf.shape[-1] == 1 else leaf.contiguous()
