"""Time until the first call of a cell has ended, forward and backward: compiled, and loaded from the disk cache.

Every call has its own process, and the clock starts after torch and bionets are imported.
"""

import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks import cells
from benchmarks.child import in_new_process
from bionets.scan import dense_scan, scan, surrogate
from bionets.scan.cpu.kernels import product_addresses

SIZE = (10, 4, 8)
FRESH, USED = "on a fresh machine", "after other cells"
SHARED = "what all cells share"


def first_calls(rounds: int) -> Iterator[tuple[str, float | None, float | None, str | None]]:
    """The cell, the median seconds with an empty cache and with its kernel in the cache, and the reason if there are
    none. Each cell is compiled in an empty cache, and in a cache that holds the functions that all cells share.
    """
    for cell in CELLS:
        for machine in (FRESH, USED):
            try:
                times = [_compile_and_read(cell, machine) for _ in range(rounds)]
                compiled, cached = (statistics.median(each) for each in zip(*times, strict=True))
                yield f"{cell}, {machine}", compiled, cached, None
            except (RuntimeError, OSError, ValueError) as error:
                yield f"{cell}, {machine}", None, None, str(error)


def _compile_and_read(cell: str, machine: str) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        if machine == USED:
            in_new_process("benchmarks.first_call", SHARED, **_cache_in(folder))
        compiled, cached = (in_new_process("benchmarks.first_call", cell, **_cache_in(folder)) for _ in range(2))
    return compiled, cached


def _cache_in(folder: str) -> dict[str, str]:
    return {"BIONETS_CACHE": folder}


def adaptive_lif(
    x: Tensor, state: tuple[Tensor, Tensor], params: tuple[Tensor, Tensor]
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """v = α·v + x, spike where v ≥ 1 + a; v −= spike·(1 + a), a = ρ·a + spike."""
    v, a = state
    alpha, rho = params
    v = alpha * v + x
    spike = surrogate.arctan(v - 1 - a)
    return spike, (v - spike * (1 + a), rho * a + spike)


def recurrent_lif(
    x: Tensor, recurrent: Tensor, state: tuple[Tensor, Tensor], params: tuple[()]
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """v = 0.9·v + x + W s, where s are the spikes of the previous step; spike where v ≥ 1; v −= spike."""
    _, v = state
    v = 0.9 * v + x + recurrent
    spike = surrogate.arctan(v - 1)
    return spike, (spike, v - spike)


def _run_adaptive_lif() -> None:
    decay = torch.full(SIZE[2:], 0.9, requires_grad=True)
    zeros = torch.zeros(SIZE[1:])
    scan(adaptive_lif, torch.randn(SIZE, requires_grad=True), (zeros, zeros), (decay, decay))[0].sum().backward()


def _run_dsrlits() -> None:
    zeros, half = torch.zeros(SIZE[1:]), torch.full(SIZE[2:], 0.5, requires_grad=True)
    pair, params = cells.Pair(zeros, zeros), cells.DSRLITSParams(*[cells.Pair(half, half)] * 6)
    x = torch.randn(SIZE, requires_grad=True)
    scan(cells.dsrlits_round, x, cells.DSRLITSState(pair, pair, pair), params)[0].sum().backward()


def _run_recurrent_lif() -> None:
    x, weight = torch.randn(SIZE, requires_grad=True), torch.randn(SIZE[2], SIZE[2], requires_grad=True)
    zeros = torch.zeros(SIZE[1:])
    dense_scan(recurrent_lif, x, (zeros, zeros), (), weight)[0].sum().backward()


def _compile_shared() -> None:
    product_addresses(4)


CELLS = {"adaptive LIF": _run_adaptive_lif, "recurrent LIF": _run_recurrent_lif, "DSRLITS": _run_dsrlits}

if __name__ == "__main__":
    warnings.simplefilter("error")  # a scan that uses the reference backend is not measured
    start = time.perf_counter()
    {**CELLS, SHARED: _compile_shared}[sys.argv[1]]()
    print(json.dumps(time.perf_counter() - start))
