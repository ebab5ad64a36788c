"""The threads that run kernels: torch's own threads, because two pools would compete for the cores.

An OpenMP thread that has just finished waits for more work without yielding its core, so kernels run in the same team
as torch's operations. Only the calling thread runs Python, because acquiring the interpreter's lock takes longer than
many kernels. If there is no such team (torch with another OpenMP, forked child processes), Python threads are used.
"""

import ctypes
import functools
import itertools
import os
from array import array
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import torch

_forked = False


def run_parts(function: int, parts: Sequence[tuple[int, ...]], alone: bool = False) -> None:
    """Call the function at an address, which takes integers, once for each tuple of arguments, on torch's threads or
    on this thread only."""
    arity, threads = len(parts[0]), 1 if alone else min(len(parts), torch.get_num_threads())
    if threads == 1:
        for part in parts:
            _callable(function, arity)(*part)
        return
    # the next part, the number of parts, the function, its arguments for each part; see `_member`
    task = array("q", [0, len(parts), function, *itertools.chain.from_iterable(parts)])
    (address, _), member = task.buffer_info(), _member(arity)
    team = None if _forked else _openmp()
    if team is not None:
        team(member, address, threads, 0)
        return
    run, waiting = _callable(member, 1), list[Future[None]]()
    try:
        waiting += (_executor().submit(run, address) for _ in range(threads - 1))
        run(address)
    finally:  # Ctrl-C must not free memory that a thread still uses
        wait(waiting)


def split(count: int, grain: int, threads: int | None = None) -> list[tuple[int, int]]:
    """Split `count` elements into one part for each thread (None: torch's number of threads), at multiples of `grain`.
    Returns the first element of each part and the element after its last one."""
    grains = -(-count // grain)
    parts = max(1, min(threads or torch.get_num_threads(), grains))
    return list(itertools.pairwise(min(grains * i // parts * grain, count) for i in range(parts + 1)))


@functools.cache
def _member(arity: int) -> int:
    """The address of the function that each thread of a team runs: it takes parts until none is left."""
    from bionets.scan.cpu.compile import function_address
    from bionets.scan.cpu.ir import Module
    from bionets.scan.cpu.target import host

    module = Module(host())
    f = module.function("member", {"task": "ptr"})
    task = f.arguments[0]
    parts, function = (f.load("i64", f.at(task, 8 * number)) for number in (1, 2))
    with f.loop_until() as stop:
        part = f.value("i64", f"atomicrmw add ptr {task.text}, i64 1 monotonic")
        stop(part >= parts)
        arguments = f.at(task, part * (8 * arity) + 24)
        words = ", ".join(f"i64 {f.load('i64', f.at(arguments, 8 * i)).text}" for i in range(arity))
        pointer = f.value("ptr", f"inttoptr i64 {function.text} to ptr")
        f.emit(f"call void {pointer.text}({words})")
    f.finish()
    return function_address(module, "member")


@functools.cache
def _callable(function: int, arity: int) -> Any:
    """The function at an address; it runs without the interpreter's lock."""
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arity)(function)


@functools.cache
def _openmp() -> Any:
    """GOMP_parallel(function, data, threads, flags) of torch's OpenMP library; None if torch uses another library."""
    try:
        team = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so")).GOMP_parallel
    except (OSError, AttributeError):
        return None
    team.argtypes, team.restype = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint), None
    return team


@functools.cache
def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, "bionets-scan")


def _forget() -> None:
    global _forked
    _forked = True  # OpenMP does not survive a fork
    _executor.cache_clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget)  # a forked child has only one thread
