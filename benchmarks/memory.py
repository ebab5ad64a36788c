"""Peak memory of a LIF layer's forward and backward, beyond inputs and outputs, in units of one state `[T, B, N]`.

Each contestant has a process of its own: the high-water mark of its resident memory after one forward and backward,
less what was resident before (the input, the output's gradient), less the size of the output and of the input's
gradient, whether or not both exist at the peak. Kernels are compiled before, on a few numbers; glibc is told to hand
freed buffers back at once, so that only live memory counts.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks import spiking
from benchmarks.child import in_new_process
from benchmarks.timing import Run

OUTPUTS = 2  # y and the gradient of x
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory(size: spiking.Size, threads: int) -> Iterator[tuple[str, float | None, str | None]]:
    """Name, peak in states, and why there is none, for every contestant of `lif-round`."""
    for contestant in spiking.lif("round", size).contestants:
        try:
            peak = in_new_process(
                "benchmarks.memory", contestant.name, threads, *size, MALLOC_MMAP_THRESHOLD_=str(64 * 1024)
            )
            yield contestant.name, peak, None
        except (RuntimeError, OSError, ValueError) as error:
            yield contestant.name, None, str(error)


def _measure(name: str, size: spiking.Size) -> float:
    few = (3, 2, size[2])
    _build(name, few)()
    run = _build(name, size)
    CLEAR.write_text("5")  # resets the high-water mark
    before = _high_water_mark()
    run()
    state = 4 * size[0] * size[1] * size[2]
    return (_high_water_mark() - before) / state - OUTPUTS


def _build(name: str, size: spiking.Size) -> Run:
    return next(c for c in spiking.lif("round", size).contestants if c.name == name).build()


def _high_water_mark() -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    _, name, threads, *size = sys.argv
    torch.set_num_threads(int(threads))
    time, batch, neurons = map(int, size)
    print(json.dumps(_measure(name, (time, batch, neurons))))
