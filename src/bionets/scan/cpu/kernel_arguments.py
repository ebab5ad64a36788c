"""The arguments of a CPU kernel (sizes, addresses and strides by name), and the division of its work among threads."""

import functools
from array import array
from typing import NamedTuple

import torch
from torch import Tensor

from bionets.scan.arguments import pad
from bionets.scan.call import CACHE_LINE, Call
from bionets.scan.cpu.buffers import empty
from bionets.scan.cpu.delay import Steps
from bionets.scan.cpu.kernels import find_kernel
from bionets.scan.cpu.matrix import pack
from bionets.scan.cpu.target import host
from bionets.scan.cpu.threads import run_parts, split
from bionets.scan.program.schedule import Variant

CACHE_BYTES = 256 * 1024  # memory of a tile at one time step: half of a small second-level cache
COPIES = 1 << 16  # number of vector elements that must be saved to make copies of parameters for every row worthwhile
SMALL = 1 << 20  # number of operations below which a second thread is not faster


class KernelArguments:
    """The fields of a kernel's table by name. Strides are in bytes."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.size = call.program.dtype.itemsize
        row = call.width * self.size
        self.fields: dict[str, int] = {
            "time": call.time,
            "reverse": int(call.reverse),
            "every": call.checkpoint_every,
            "row": row,
            "step": call.batch * row,
        }
        self.one_row = call.batch == 1 or not call.weights  # whether all rows may be treated as one long row
        self.kept: list[Tensor] = []  # tensors that must live until the kernel has run
        for i, leaf in enumerate(call.x):
            self.add_rows(f"x{i}", leaf)
        self.add("initial", call.state)
        if call.lengths is not None:
            lengths = call.lengths.to(call.program.dtype).unsqueeze(1).expand(call.batch, call.width).contiguous()
            self.add("length", [lengths])
            self.fields["length"] = self.fields.pop("length0")

    def add(self, name: str, leaves: "list[Tensor] | list[Tensor | None]") -> None:
        """Contiguous tensors `[B, N]` or `[T, B, N]`, numbered."""
        for i, leaf in enumerate(leaves):
            if leaf is not None:
                self.fields[f"{name}{i}"] = leaf.data_ptr()
                self.kept.append(leaf)

    def add_rows(self, name: str, leaf: Tensor | None) -> None:
        """A tensor `[T, B, N]` whose rows need not be adjacent."""
        address, time, row = (0, 0, 0) if leaf is None else (leaf.data_ptr(), leaf.stride(0), leaf.stride(1))
        self.fields |= {name: address, f"{name}_time": time * self.size, f"{name}_row": row * self.size}
        self.one_row &= leaf is None or row == self.call.width or self.call.batch == 1
        if leaf is not None:
            self.kept.append(leaf)

    def add_side_by_side(self, group: str, names: list[str], leaf: Tensor) -> None:
        """Tensors that share a tensor `[T, B, len(names) * N]`."""
        row = self.fields["row"]
        self.fields |= {name: leaf.data_ptr() + i * row for i, name in enumerate(names)}
        self.fields |= {f"{group}_row": len(names) * row, f"{group}_time": self.call.batch * len(names) * row}
        self.one_row &= len(names) == 1 or self.call.batch == 1

    def add_products(self, products: list[Tensor]) -> None:
        """The stored products of each stage, block after block in each row."""
        for k, leaf in enumerate(products):
            names = [f"recurrent{k}_{i}" for i in range(leaf.shape[2] // self.call.width)]
            self.add_side_by_side(f"recurrent{k}", names, leaf)

    def add_forward_delay(self) -> list[Tensor]:
        """The history of the first state after its past, and the delayed values; both are written at each step."""
        call, (lags, past) = self.call, self.call.delay
        history = Steps.empty(call, len(lags) + call.time)
        torch.cat((past, call.state[0].unsqueeze(0)), out=history.view[: len(lags)])
        delayed = empty((call.time, call.batch, call.width), call.program.dtype)
        later = history.memory[len(lags) :].data_ptr()
        self.fields |= {"earlier": history.memory.data_ptr(), "later": later, "delayed": delayed.data_ptr()}
        self._add_lags(lags.flip(0), history)  # in the order of the history
        return [history.memory, delayed]

    def add_backward_delay(self, delayed: Tensor) -> Steps:
        """Memory for the gradients of the delayed values, with zeros for the steps after the last."""
        call, lags = self.call, self.call.delay[0]
        gradient = Steps.empty(call, call.time + len(lags) - 1)
        gradient.memory[call.time if call.weights[0].shape[1] == call.width else 0 :].zero_()
        self.fields |= {"delayed": delayed.data_ptr(), "grad_delayed": gradient.memory.data_ptr()}
        self._add_lags(lags, gradient)
        return gradient

    def _add_lags(self, lags: Tensor, steps: Steps) -> None:
        self.kept.append(lags := lags.contiguous())
        self.fields |= {"lags": lags.data_ptr(), "lag_count": len(lags), "delay_step": steps.distance}

    def run(self, variant: Variant) -> None:
        call, fields, size = self.call, self.fields, self.size
        kernel = find_kernel(call.program, variant, tuple(leaf.numel() == 1 for leaf in call.params))
        saved = call.time * call.batch * (host().padded(call.width, size) - call.width)
        self.one_row &= saved > COPIES or call.batch == 1  # treated as one long row, for which parameters are copied
        rows, columns = (1, call.batch * call.width) if self.one_row else (call.batch, call.width)
        for i, leaf in enumerate(call.params):
            if self.one_row and leaf.numel() > 1 and call.batch > 1:
                leaf = leaf.expand(call.batch, call.width).contiguous()
                self.kept.append(leaf)
            fields[f"params{i}"], fields[f"params{i}_row"] = leaf.data_ptr(), 0
        self._add_weights(variant.stored_products)
        blocks = sum(stage.blocks for stage in call.program.stages)
        work = (kernel.operations + blocks * call.width) * call.time
        values = kernel.values + (len(call.delay[0]) if call.delay else 0)
        division = divide(rows, columns, bool(call.weights), work, values, size, torch.get_num_threads())
        tile_bytes = division.tile_rows * division.pitch
        fields |= {"tile_rows": division.tile_rows, "tile_columns": division.tile_columns, "pitch": division.pitch}
        fields["tile_bytes"] = tile_bytes
        fields["work_bytes"] = fields["tape"] = kernel.work * tile_bytes
        tape = (
            min(call.checkpoint_every, call.time) * call.program.state if variant.recompute and variant.backward else 0
        )
        area = (kernel.work + tape) * tile_bytes + CACHE_LINE  # parts are a cache line apart
        memory = torch.empty(len(division.parts) * area + CACHE_LINE, dtype=torch.uint8, device="cpu")
        first = memory.data_ptr() + -memory.data_ptr() % CACHE_LINE
        table = array("q", map(fields.__getitem__, kernel.fields))
        address, _ = table.buffer_info()
        run_parts(kernel.address, [(address, *part, first + i * area) for i, part in enumerate(division.parts)])

    def _add_weights(self, stored_products: bool) -> None:
        width = self.call.width
        for k, weight in enumerate(self.call.weights):
            rows, columns = weight.shape
            packed = pack(_blocks(weight, width).mT if rows > width else weight.T)
            self.kept.append(packed)
            self.fields |= {
                f"rows{k}": rows,
                f"columns{k}": columns,
                f"weight{k}": packed.data_ptr(),
                f"weight{k}_row": packed.stride(-2) * self.size,
                f"weight{k}_block": packed.stride(0) * self.size,
                f"width{k}": width if stored_products else packed.shape[-1],  # else in rows of whole vectors
            }


def _blocks(weight: Tensor, width: int) -> Tensor:
    """One matrix for each block, `[G, N, columns]`."""
    rows, columns = weight.shape
    return pad(weight, rows + -rows % width, columns).unflatten(0, (-1, width))


class Division(NamedTuple):
    """The division of a kernel's work: a range of rows and of columns for each thread, and the size of tiles.
    pitch: bytes between two rows of a tile."""

    parts: tuple[tuple[int, int, int, int], ...]
    tile_rows: int
    tile_columns: int
    pitch: int


@functools.lru_cache(maxsize=1024)
def divide(rows: int, columns: int, weighted: bool, work: int, values: int, size: int, threads: int) -> Division:
    """The division among this number of threads; cached, because most calls are alike. work: operations of an element
    over all time steps. values: number of its carried or streamed tensors."""
    lanes, grain = host().lanes(size), host().tile_rows
    tile_columns = min(columns, max(lanes, CACHE_BYTES // (values * size) // lanes * lanes))
    tile_rows = max(1, CACHE_BYTES // (values * size * host().padded(tile_columns, size)))
    if weighted:
        tile_columns = columns
        tile_rows = max(grain, CACHE_BYTES // (values * size * columns) // grain * grain)
    if rows * columns * work <= SMALL:
        parts = [(0, rows, 0, columns)]
    elif weighted or rows >= 8 * threads:
        parts = [(*bounds, 0, columns) for bounds in split(rows, grain if weighted else 1, threads)]
    else:
        parts = [(0, rows, *bounds) for bounds in split(columns, 16, threads)]
    tile_rows = min(tile_rows, max(high - low for low, high, *_ in parts))
    return Division(tuple(parts), tile_rows, tile_columns, host().padded(tile_columns, size) * size)
