"""Threads, processes, forks, and cache folders that cannot be trusted."""

import math
import multiprocessing
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from bionets.scan import scan, split_gates
from bionets.scan.cpu.compile import function_address
from bionets.scan.cpu.ir import Module
from bionets.scan.cpu.target import host
from bionets.scan.cpu.threads import run_parts, split

from .cells import brc

SCRIPT = """
import time, torch
from bionets.scan import scan
from bionets.scan.cpu import compile
compiled, optimise = [], compile.optimise
compile.optimise = lambda *arguments: compiled.append(1) or optimise(*arguments)
def step(x, h, params):
    h = torch.tanh(h * params + x)
    return h, h
x = torch.linspace(-1, 1, 5 * 2 * 3).view(5, 2, 3).requires_grad_()
start = time.perf_counter()
y, _ = scan(step, x, torch.zeros(2, 3), torch.tensor(0.5), backend="cpu")
y.square().sum().backward()
print(time.perf_counter() - start, bool(compiled))
expected, _ = scan(step, x, torch.zeros(2, 3), torch.tensor(0.5), backend="reference")
torch.testing.assert_close(y, expected)
"""


def start(cache: Path | str) -> subprocess.Popen[str]:
    environment = os.environ | {"BIONETS_CACHE": str(cache)}
    return subprocess.Popen([sys.executable, "-c", SCRIPT], env=environment, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[float, bool]:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    seconds, compiled = output.split()
    return float(seconds), compiled == "True"


def test_the_cache_is_used_by_the_next_process_and_recovers_from_damage(tmp_path: Path) -> None:
    together = [start(tmp_path), start(tmp_path)]  # two processes fill one folder
    found = [finish(process) for process in together]
    assert any(compiled for _, compiled in found)
    _, compiled = finish(start(tmp_path))
    assert not compiled
    for number, file in enumerate(sorted(tmp_path.iterdir())):
        whole = file.read_bytes()
        file.write_bytes([b"", whole[: len(whole) // 2], whole[:-9] + b"corrupted"][number % 3])
    _, compiled = finish(start(tmp_path))
    assert compiled
    _, compiled = finish(start(tmp_path))
    assert not compiled


def test_a_cache_folder_that_cannot_be_written_is_ignored(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    for process in [start(blocked / "below"), start(locked)]:
        finish(process)


def gradient_of(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(50, 20, 3 * 40, generator=generator, requires_grad=True)
    w = torch.ones(40)
    y, _ = scan(brc, split_gates(x, 3), torch.zeros(20, 40), (w, w), backend="cpu")
    return torch.autograd.grad(y.square().sum(), x)[0]


def test_many_threads_give_the_gradients_of_one() -> None:
    expected = [gradient_of(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(gradient_of, [seed % 4 for seed in range(24)]))
    assert all(torch.equal(gradient, expected[number % 4]) for number, gradient in enumerate(found))


def _in_child(leaves: tuple[torch.Tensor, ...], queue: "multiprocessing.Queue[list[float]]") -> None:
    x, w, cotangent = leaves
    y, _ = scan(brc, split_gates(x, 3), torch.zeros(20, 40), (w, w), backend="cpu")
    queue.put(torch.autograd.grad(y, x, cotangent)[0].flatten()[:10].tolist())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_children_give_the_same_results() -> None:
    """Only the scan uses threads in the child: torch's own OpenMP does not survive a fork."""
    leaves = (torch.randn(50, 20, 120, requires_grad=True), torch.ones(40), torch.randn(50, 20, 40))
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[list[float]] = context.Queue()
    _in_child(leaves, queue)  # the parent's workers exist by now
    expected = queue.get(timeout=60)
    children = [context.Process(target=_in_child, args=(leaves, queue)) for _ in range(2)]
    for child in children:
        child.start()
    results = [queue.get(timeout=60) for _ in children]
    for child in children:
        child.join()
    assert results == [expected, expected]


def test_memory_is_reused_only_when_no_view_of_it_exists() -> None:
    x = torch.randn(100, 64, 64)
    w = torch.ones(64)
    kept = []
    for _ in range(4):
        y, _ = scan(brc, (x, x, x), torch.zeros(64, 64), (w, w), backend="cpu")
        kept.append((y[3, 2], y[3, 2].clone()))
        del y
    x = x + 1
    scan(brc, (x, x, x), torch.zeros(64, 64), (w, w), backend="cpu")
    assert all(torch.equal(view, copy) for view, copy in kept)


def test_run_parts_runs_every_part_once() -> None:
    module = Module(host())
    f = module.function("count", {"place": "ptr", "step": "i64", "times": "i64"})
    place, step, times = f.arguments
    with f.loop(0, times):
        f.value("i64", f"atomicrmw add ptr {f.at(place, step * 8).text}, i64 1 monotonic")
    f.finish()
    counts = np.zeros(5, np.int64)
    function = function_address(module, "count")
    for parts in ([(0, 3)], [(0, 1), (1, 2), (4, 100_000)]):
        run_parts(function, [(counts.ctypes.data, *part) for part in parts])
    assert counts.tolist() == [4, 2, 0, 0, 100_000]


@pytest.mark.parametrize(
    ("count", "grain", "threads"), [(100, 8, 4), (17, 8, 4), (64, 8, 3), (5, 8, 4), (0, 8, 4), (9, 1, 9)]
)
def test_split_gives_every_thread_the_same_share_to_one_grain(count: int, grain: int, threads: int) -> None:
    parts = split(count, grain, threads)
    assert parts[0][0] == 0 and parts[-1][1] == count
    assert all(end == begin for (_, end), (begin, _) in pairwise(parts))
    assert len(parts) == max(1, min(threads, math.ceil(count / grain)))
    assert all(begin % grain == 0 for begin, _ in parts)
    shares = [math.ceil((end - begin) / grain) for begin, end in parts]
    assert max(shares) - min(shares) <= 1
