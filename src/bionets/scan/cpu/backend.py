"""The CPU backend: fills the table of a kernel with sizes and addresses, and runs it on all threads."""

import itertools

import numpy as np
import torch
from torch import Tensor

from bionets.scan.arguments import pad
from bionets.scan.backend import Call, Gradients, shared_gradients
from bionets.scan.cpu.buffers import empty
from bionets.scan.cpu.delay import Steps, correlation, delayed_sum
from bionets.scan.cpu.kernels import find_kernel
from bionets.scan.cpu.matrix import Pair, multiply_transposed, pack
from bionets.scan.cpu.target import host
from bionets.scan.cpu.threads import run_parts, split
from bionets.scan.program.schedule import Variant
from bionets.scan.program.scheduler import needs_before

CACHE_BYTES = 256 * 1024  # what a tile may take at one time step: half of a small second-level cache
COPIES = 1 << 16  # elements of vectors that must be saved before parameters are copied for every row
SMALL = 1 << 20  # operations below which a second thread does not pay


def forward(call: Call, keep: bool) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """y `[T, B, N]`, the final state `[B, N]`, and the histories and delayed values that backward needs beside y."""
    program = call.program
    y = [empty((call.time, call.batch, call.width), program.dtype) for _ in range(program.y)]
    final = [leaf.clone() for leaf in call.state]  # what is carried lies where it ends
    own = call.histories() if keep else []
    histories = [empty((call.stored_steps, call.batch, call.width), program.dtype) for _ in own]
    table = _Table(call)
    table.add("y", y)
    table.add("state0_", final)
    table.words |= {f"history{i}": leaf.data_ptr() for i, leaf in zip(own, histories, strict=True)}
    masked, recompute = call.lengths is not None, bool(own) and call.checkpoint_every > 1
    delayed = table.add_forward_delay() if call.delay else []
    table.run(Variant(False, masked, recompute, bool(call.delay), histories=tuple(own)))
    return y, final, [*histories, *(delayed if keep else [])]


def backward(
    call: Call,
    states: list[Tensor],
    grad_y: list[Tensor | None],
    grad_final: list[Tensor | None],
    needs_x: tuple[bool, ...],
    needs_params: tuple[bool, ...],
    needs_delay: tuple[bool, ...],
) -> Gradients:
    """Gradients of everything that is wanted. `states` holds for each state its history, which may be a y, and with
    delays that of the first state behind the past, and the delayed values."""
    program, time, batch, width = call.program, call.time, call.batch, call.width
    total, dtype = sum(needs_x), program.dtype
    shared = shared_gradients(program.key, needs_x)
    recompute = call.checkpoint_every > 1
    rows = [None if leaf is None else _rows(leaf, dtype) for leaf in grad_y]
    grad_x = empty((time, batch, total, width), dtype) if total else None
    grad_state = [  # what is carried lies where it ends
        torch.zeros_like(state) if leaf is None else leaf.to(dtype, copy=True, memory_format=torch.contiguous_format)
        for state, leaf in zip(call.state, grad_final, strict=True)
    ]
    sums = torch.zeros(sum(needs_params), batch, width, dtype=dtype, device="cpu")
    blocks = [stage.blocks for stage in program.stages]
    grad_recurrent = [
        empty((time, batch, n * width), dtype) if n and where is None else None
        for n, where in zip(blocks, shared, strict=True)
    ]
    before = [
        empty((time, batch, width), dtype) if needs_before(program, recompute, k) else None for k in range(len(blocks))
    ]
    transposed = [pack(weight) for weight in call.weights]
    history, delayed = None, None
    if call.delay:
        *states, history, delayed = states
        before[0] = delayed

    table = _Table(call)
    table.add("history", states)
    table.add("grad0_", grad_state)
    table.add("before", before)
    table.add("transposed", transposed)
    for i, leaf in enumerate(transposed):
        table.words[f"transposed{i}_row"] = leaf.stride(0) * leaf.element_size()
    for i, gradient in enumerate(rows):
        table.add_rows(f"grad_y{i}", gradient)
    for k, gradient in enumerate(grad_recurrent):
        if gradient is not None:
            names = [f"grad_recurrent{k}_{i}" for i in range(blocks[k])]
            table.add_side_by_side(f"grad_recurrent{k}", names, gradient)
    if grad_x is not None:
        names = [f"grad_x{i}" for i, needed in enumerate(needs_x) if needed]
        table.add_side_by_side("grad_x", names, grad_x.flatten(2))
    wanted = [i for i, needed in enumerate(needs_params) if needed]
    table.words |= {f"sum{i}": leaf.data_ptr() for i, leaf in zip(wanted, sums.unbind(), strict=True)}
    masked = call.lengths is not None
    through_delay = None if delayed is None else table.add_backward_delay(delayed)
    table.run(Variant(True, masked, recompute, bool(call.delay), needs_x=needs_x, needs_params=needs_params))

    totals = sums.sum(1)  # over the batch, in one order; for a scalar parameter over everything
    params = [
        leaf.sum(0, keepdim=True) if call.params[i].numel() == 1 else leaf
        for i, leaf in zip(wanted, totals.unbind(), strict=True)
    ]
    products = []
    for k in range(len(call.weights)):
        gradient, where = grad_recurrent[k], shared[k]
        if where is not None:
            assert grad_x is not None
            begin, end = where * width, (where + blocks[k]) * width  # the blocks lie side by side in each row
            gradient = grad_x.flatten(2)[:, :, begin:end]
        assert gradient is not None
        height, columns = call.weights[k].shape
        pairs = _factors_of_weight_gradient(call, gradient, before[k], states[0])
        products.append([(left[:, :height], right[:, :columns]) for left, right in pairs])
    delay = []
    if through_delay is not None and history is not None:
        delay = _gradients_of_delay(call, through_delay, Steps(history, batch, width), needs_delay)
    return Gradients(grad_x, grad_state, params, multiply_transposed(products), delay)


def _gradients_of_delay(call: Call, gradient: Steps, history: Steps, needs: tuple[bool, ...]) -> list[Tensor]:
    """The wanted gradients of lags and past, given those of the delayed values, with zeros for the steps after."""
    (lags, past), found = call.delay, []
    if needs[0]:
        found.append(correlation(gradient, history, call.time, len(lags)).flip(0))
    if needs[1]:
        reached = Steps.empty(call, 2 * len(past))
        reached.view[: len(past)] = 0
        reached.view[len(past) :] = gradient.view[: len(past)]
        found.append(delayed_sum(lags, reached, len(past)))
    return found


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


class _Table:
    """The fields of a kernel's table by name. Strides are in bytes."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.size = call.program.dtype.itemsize
        row = call.width * self.size
        self.words: dict[str, int] = {
            "time": call.time,
            "reverse": int(call.reverse),
            "every": call.checkpoint_every,
            "row": row,
            "step": call.batch * row,
        }
        self.one_row = call.batch == 1 or not call.weights  # whether all rows may be taken as one long row
        self.kept: list[Tensor] = []  # until the kernel has run
        for i, leaf in enumerate(call.x):
            self.add_rows(f"x{i}", leaf)
        self.add("initial", call.state)
        if call.lengths is not None:
            lengths = call.lengths.to(call.program.dtype).unsqueeze(1).expand(call.batch, call.width).contiguous()
            self.add("length", [lengths])
            self.words["length"] = self.words.pop("length0")

    def add(self, name: str, leaves: "list[Tensor] | list[Tensor | None]") -> None:
        """Contiguous tensors `[B, N]` or `[T, B, N]`, numbered."""
        for i, leaf in enumerate(leaves):
            if leaf is not None:
                self.words[f"{name}{i}"] = leaf.data_ptr()
                self.kept.append(leaf)

    def add_rows(self, name: str, leaf: Tensor | None) -> None:
        """A tensor `[T, B, N]` whose rows may lie apart."""
        address, time, row = (0, 0, 0) if leaf is None else (leaf.data_ptr(), leaf.stride(0), leaf.stride(1))
        self.words |= {name: address, f"{name}_time": time * self.size, f"{name}_row": row * self.size}
        self.one_row &= leaf is None or row == self.call.width or self.call.batch == 1

    def add_side_by_side(self, group: str, names: list[str], leaf: Tensor) -> None:
        """Tensors that share a tensor `[T, B, len(names) * N]`."""
        row = self.words["row"]
        self.words |= {name: leaf.data_ptr() + i * row for i, name in enumerate(names)}
        self.words |= {f"{group}_row": len(names) * row, f"{group}_time": self.call.batch * len(names) * row}
        self.one_row &= len(names) == 1 or self.call.batch == 1

    def add_forward_delay(self) -> list[Tensor]:
        """The history of the first state behind the past, and the delayed values, both made at each step."""
        call, (lags, past) = self.call, self.call.delay
        history = Steps.empty(call, len(lags) + call.time)
        torch.cat((past, call.state[0].unsqueeze(0)), out=history.view[: len(lags)])
        delayed = empty((call.time, call.batch, call.width), call.program.dtype)
        later = history.memory[len(lags) :].data_ptr()
        self.words |= {"earlier": history.memory.data_ptr(), "later": later, "delayed": delayed.data_ptr()}
        self._add_lags(lags.flip(0), history)  # in the order of the history
        return [history.memory, delayed]

    def add_backward_delay(self, delayed: Tensor) -> Steps:
        """Memory for the gradients of the delayed values, with zeros for the steps after the last."""
        call, lags = self.call, self.call.delay[0]
        gradient = Steps.empty(call, call.time + len(lags) - 1)
        gradient.memory[call.time if call.weights[0].shape[1] == call.width else 0 :].zero_()
        self.words |= {"delayed": delayed.data_ptr(), "grad_delayed": gradient.memory.data_ptr()}
        self._add_lags(lags, gradient)
        return gradient

    def _add_lags(self, lags: Tensor, steps: Steps) -> None:
        self.kept.append(lags := lags.contiguous())
        self.words |= {"lags": lags.data_ptr(), "lag_count": len(lags), "delay_step": steps.distance}

    def run(self, variant: Variant) -> None:
        call, words, size = self.call, self.words, self.size
        kernel = find_kernel(call.program, variant, tuple(leaf.numel() == 1 for leaf in call.params))
        saved = call.time * call.batch * (host().padded(call.width, size) - call.width)
        self.one_row &= saved > COPIES or call.batch == 1  # as one long row, for which parameters are copied
        rows, columns = (1, call.batch * call.width) if self.one_row else (call.batch, call.width)
        for i, leaf in enumerate(call.params):
            if self.one_row and leaf.numel() > 1 and call.batch > 1:
                leaf = leaf.expand(call.batch, call.width).contiguous()
                self.kept.append(leaf)
            words[f"params{i}"], words[f"params{i}_row"] = leaf.data_ptr(), 0
        self._add_weights()
        lanes, values = host().lanes(size), kernel.values + (len(call.delay[0]) if call.delay else 0)
        tile_columns = min(columns, max(lanes, CACHE_BYTES // (values * size) // lanes * lanes))
        tile_rows = max(1, CACHE_BYTES // (values * size * host().padded(tile_columns, size)))
        if call.weights:
            tile_columns, grain = columns, host().tile_rows
            tile_rows = max(grain, CACHE_BYTES // (values * size * columns) // grain * grain)
        operations = kernel.operations + sum(stage.blocks for stage in call.program.stages) * call.width
        alone = rows * columns * call.time * operations <= SMALL
        parts = self._parts(rows, columns, alone)
        tile_rows = min(tile_rows, max(high - low for low, high, *_ in parts))
        pitch = host().padded(tile_columns, size) * size
        words |= {"tile_rows": tile_rows, "tile_columns": tile_columns, "pitch": pitch}
        words["tile_bytes"] = tile_bytes = tile_rows * pitch
        words["work_bytes"] = words["tape"] = kernel.work * tile_bytes
        tape = (
            min(call.checkpoint_every, call.time) * call.program.state if variant.recompute and variant.backward else 0
        )
        area = (kernel.work + tape) * tile_bytes + 64  # parts are a cache line apart
        first = 0
        if area > 64:
            work = np.empty(len(parts) * area + 64, np.uint8)
            first = work.ctypes.data + -work.ctypes.data % 64
        table = np.array([words[name] for name in kernel.fields], np.int64)
        address = table.ctypes.data
        run_parts(kernel.address, [(address, *part, first + i * area) for i, part in enumerate(parts)])

    def _parts(self, rows: int, columns: int, alone: bool) -> list[tuple[int, int, int, int]]:
        """Ranges of rows and of columns, one for each thread."""
        if alone:
            return [(0, rows, 0, columns)]
        grain = host().tile_rows if self.call.weights else 1
        if self.call.weights or rows >= 8 * torch.get_num_threads():
            return [(low, high, 0, columns) for low, high in itertools.pairwise(split(rows, grain))]
        return [(0, rows, low, high) for low, high in itertools.pairwise(split(columns, 16))]

    def _add_weights(self) -> None:
        width = self.call.width
        for k, weight in enumerate(self.call.weights):
            packed = pack(_blocks(weight, width).mT)
            self.kept.append(packed)
            self.words |= {f"rows{k}": weight.shape[0], f"columns{k}": weight.shape[1]}
            self.words |= {
                f"weight{k}": packed.data_ptr(),
                f"weight{k}_row": packed.stride(1) * self.size,
                f"weight{k}_block": packed.stride(0) * self.size,
                f"width{k}": packed.shape[2],
            }


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
