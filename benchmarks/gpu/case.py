"""A measurement of a part, its device, and its timing by CUDA events."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BACKEND = "triton"  # given by name, so that no scan falls back to the reference; on the CPU with TRITON_INTERPRET=1
SECONDS = 1.5  # of the rounds of a library
PROFILED = 0.1  # a longer run has more kernels than the profiler can list in the given time
KERNELS = 6  # number of kernels that are listed, the slowest ones

Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A measurement. `run` returns the entries of the row of this name; an exception that it raises becomes the row's
    `failure`.
    """

    name: str
    run: Callable[[], Row]


def time_run(run: Callable[[], object], rounds: int) -> Row:
    """Median and all times of `run` in seconds, and its kernels. `busy_s` is the time in which the device computes.

    Times are measured between CUDA events, so `median_s` includes the gaps between the launches of short kernels, and
    `busy_s` does not.
    """
    start = time.perf_counter()
    run()
    _synchronise()
    first = time.perf_counter() - start
    run()
    _synchronise()
    seconds: list[float] = []
    begin = time.perf_counter()
    while len(seconds) < rounds and (not seconds or time.perf_counter() - begin < SECONDS):
        seconds.append(_seconds(run))
    median = statistics.median(seconds)
    row: Row = {"median_s": median, "rounds_s": seconds, "first_s": first}
    return row | (_kernels(run) if median < PROFILED else {})


def graphed(run: Callable[[], object]) -> Callable[[], object]:
    """`run` captured as a CUDA graph, which replays its kernels without Python. On the CPU, `run` itself."""
    if DEVICE == "cpu":
        return run
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def peak_memory(run: Callable[[], object]) -> int | None:
    """Bytes allocated at the peak of `run`, less those that were allocated before."""
    if DEVICE == "cpu":
        return None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _seconds(run: Callable[[], object]) -> float:
    if DEVICE == "cpu":
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    torch.cuda.synchronize()
    events[0].record()
    run()
    events[1].record()
    torch.cuda.synchronize()
    return events[0].elapsed_time(events[1]) / 1e3


def _synchronise() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def _kernels(run: Callable[[], object]) -> Row:
    """The device time of one run by PyTorch's profiler, and its slowest kernels with their calls and seconds."""
    if DEVICE == "cpu":
        return {}
    try:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            run()
            torch.cuda.synchronize()
        found = [(event.key, event.count, event.self_device_time_total / 1e6) for event in profile.key_averages()]
        kernels = sorted((each for each in found if each[2] > 0), key=lambda each: -each[2])
        busy, launches = sum(each[2] for each in kernels), sum(each[1] for each in kernels)
        listed = [{"name": name[:80], "calls": calls, "seconds": s} for name, calls, s in kernels[:KERNELS]]
        return {"busy_s": busy, "launches": launches, "kernels": listed}
    except Exception as error:  # the times are valid without the profiler
        return {"profile_failure": f"{type(error).__name__}: {error}"}
