"""Weighted sums over delayed steps on the CPU, and their gradients."""

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from bionets.scan.call import Call
from bionets.scan.cpu.buffers import empty
from bionets.scan.cpu.compile import function_addresses
from bionets.scan.cpu.ir import Function, Module
from bionets.scan.cpu.target import host
from bionets.scan.cpu.threads import run_parts, split
from bionets.scan.cpu.values import Value, at_most, fma

NAMES = ("add_delayed", "set_delayed", "correlate")
ROWS, VECTORS = 4, 2  # size of a tile whose sums stay in registers
LAGS = 8  # number of lags whose correlations stay in registers
NEAR_ROWS, NEAR_STEPS = 8, 16  # rows and steps that are combined with all lags before the next ones are read
SMALL = 1 << 20  # number of multiplications below which a second thread is not faster


@functools.cache
def delay_addresses(size: int) -> dict[str, int]:
    """The addresses of the functions of `NAMES`, for floats with this number of bytes. All distances are in bytes;
    `lag` is the distance of steps.

    add_delayed, set_delayed:  out[r, j] (+)= sum over l < lags of k[l, j] · a[r + l · lag, j]
    correlate:                 out[l, j] += sum over t < steps and r < rows of g[t, r, j] · a[t + l, r, j]
    """
    module = Module(host())
    for name in NAMES:
        sizes = ("lag", "columns", "rows", "lags", *(("steps",) if name == "correlate" else ()))
        names = ("out", "out_row", "left", "left_row", "a", "a_row", *sizes)
        f = module.function(name, {each: "ptr" if each in ("out", "left", "a") else "i64" for each in names})
        if name == "correlate":
            _correlate(f, size)
        else:
            _delayed(f, size, add=name == "add_delayed")
        f.finish()
    return function_addresses(module, NAMES, f"delays{8 * size}")


def _vector(size: int) -> tuple[str, int]:
    lanes = host().lanes(size)
    return f"<{lanes} x {'float' if size == 4 else 'double'}>", lanes


def _delayed(f: Function, size: int, add: bool) -> None:
    out, out_row, kernel, kernel_row, a, a_row, lag, columns, rows, lags = f.arguments
    kind, lanes = _vector(size)

    def tile(column: Value, first: Value, height: int) -> None:
        offset, left = column * size, columns - column
        targets = [f.at(out, (first + r) * out_row + offset) for r in range(height)]
        sources = [f.at(a, (first + r) * a_row + offset) for r in range(height)]
        sums = {(r, v): f.stack(kind) for r in range(height) for v in range(VECTORS)}

        def load(row: Value, v: int) -> Value:
            return f.load_part(kind, f.at(row, v * lanes * size), left - v * lanes)

        for (r, v), place in sums.items():
            f.store(load(targets[r], v) if add else f.constant(kind, 0), place)
        with f.loop(0, lags) as number:
            row = f.at(kernel, number * kernel_row + offset)
            factors = [load(row, v) for v in range(VECTORS)]
            now = [f.at(source, number * lag) for source in sources]
            for (r, v), place in sums.items():
                f.store(fma(factors[v], load(now[r], v), f.load(kind, place)), place)
        for (r, v), place in sums.items():
            f.store_part(f.load(kind, place), f.at(targets[r], v * lanes * size), left - v * lanes)

    with f.loop(0, columns, VECTORS * lanes) as column:
        whole = rows - rows % ROWS
        with f.loop(0, whole, ROWS) as first:
            tile(column, first, ROWS)
        with f.loop(whole, rows) as first:
            tile(column, first, 1)


def _correlate(f: Function, size: int) -> None:
    out, out_row, gradient, gradient_row, a, a_row, lag, columns, rows, lags, steps = f.arguments
    kind, lanes = _vector(size)

    def some(first: Value, count: int, row: Value, step: Value, column: Value) -> None:
        offset, left = column * size, columns - column
        sums = [f.stack(kind) for _ in range(count)]
        for place in sums:
            f.store(f.constant(kind, 0), place)
        ends = step + at_most(steps - step, NEAR_STEPS), row + at_most(rows - row, NEAR_ROWS)
        with f.loop(step, ends[0]) as t, f.loop(row, ends[1]) as r:
            factor = f.load_part(kind, f.at(gradient, t * lag + r * gradient_row + offset), left)
            now = f.at(a, (t + first) * lag + r * a_row + offset)
            for number, place in enumerate(sums):
                f.store(fma(factor, f.load_part(kind, f.at(now, lag * number), left), f.load(kind, place)), place)
        for number, place in enumerate(sums):
            target = f.at(out, (first + number) * out_row + offset)
            f.store_part(f.load_part(kind, target, left) + f.load(kind, place), target, left)

    with f.loop(0, rows, NEAR_ROWS) as row, f.loop(0, steps, NEAR_STEPS) as step, f.loop(0, columns, lanes) as column:
        whole = lags - lags % LAGS
        with f.loop(0, whole, LAGS) as first:
            some(first, LAGS, row, step, column)
        with f.loop(whole, lags) as first:
            some(first, 1, row, step, column)


class Steps(NamedTuple):
    """`[steps, B, H]` in memory `[steps, spread_step]`; see `Call`."""

    memory: Tensor
    batch: int
    width: int

    @classmethod
    def empty(cls, call: Call, steps: int) -> "Steps":
        return cls(empty((steps, call.spread_step), call.program.dtype), call.batch, call.width)

    @property
    def view(self) -> Tensor:
        """`[steps, B, H]`."""
        return self.memory[:, : self.batch * self.width].unflatten(1, (self.batch, self.width))

    @property
    def distance(self) -> int:
        """Distance between two steps, in bytes."""
        return self.memory.stride(0) * self.memory.element_size()


def delayed_sum(kernel: Tensor, history: Steps, steps: int) -> Tensor:
    """out[t] = Σ_l kernel[l] ∘ history[t + l], `[steps, B, H]`."""
    out = torch.empty(steps, history.batch, history.width, dtype=kernel.dtype)
    size, row = out.element_size(), history.width * out.element_size()
    for t, target in enumerate(out.unbind(0)):
        source = history.memory.data_ptr() + t * history.distance
        sizes = (history.distance, history.width, history.batch, len(kernel))
        arguments = (target.data_ptr(), row, kernel.data_ptr(), row, source, row, *sizes)
        run_parts(delay_addresses(size)["set_delayed"], [arguments])
    return out


def correlation(gradient: Steps, history: Steps, steps: int, lags: int) -> Tensor:
    """out[l] = Σ_t Σ_b gradient[t] ∘ history[t + l], `[lags, H]`, over the first steps.

    Each thread computes a range of columns, so that the bits do not depend on the number of threads.
    """
    batch, width, memory = history.batch, history.width, history.memory
    out = memory.new_zeros(lags, width)
    size, row = out.element_size(), width * out.element_size()

    def part(low: int, high: int) -> tuple[int, ...]:
        starts = [leaf.data_ptr() + low * size for leaf in (out, gradient.memory, memory)]
        return (starts[0], row, starts[1], row, starts[2], row, history.distance, high - low, batch, lags, steps)

    parts = [part(*bounds) for bounds in split(width, host().lanes(size))]
    run_parts(delay_addresses(size)["correlate"], parts, alone=steps * batch * width * lags < SMALL)
    return out
