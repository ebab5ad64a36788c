"""Peak memory of a LIF layer and of a spiking convolutional network, forward and backward.

Each library has its own process. The measurement is the largest resident memory of one run, less the resident memory
before it (inputs, parameters). Kernels are compiled before, on a few numbers, and glibc returns freed buffers at once,
so that only memory in use counts. For the LIF layer, the unit is one state `[T, B, N]`, and the sizes of the output and
of the input's gradient are subtracted, whether or not both exist at the peak.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.child import in_new_process
from benchmarks.spiking import lif
from benchmarks.spiking_conv import spiking_conv
from benchmarks.timing import Comparison, Run

LIF_SIZE, CONV_SIZE = (100, 64, 1024), (25, 32)
OUTPUTS = 2  # y and the gradient of x
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
Peak = tuple[str, float | None, str | None]  # library, peak, reason of a failure


def lif_peaks(threads: int) -> Iterator[Peak]:
    """Peak memory of every library of `lif-round`, in states."""
    state = 4 * LIF_SIZE[0] * LIF_SIZE[1] * LIF_SIZE[2]
    for name, peak, reason in _peaks("lif", lif("round", LIF_SIZE), threads):
        yield name, None if peak is None else peak / state - OUTPUTS, reason


def conv_peaks(threads: int) -> Iterator[Peak]:
    """Peak memory of every library of `spiking-conv-round`, in MiB."""
    for name, peak, reason in _peaks("spiking-conv", spiking_conv("round", CONV_SIZE), threads):
        yield name, None if peak is None else peak / 2**20, reason


def _peaks(what: str, comparison: Comparison, threads: int) -> Iterator[Peak]:
    keep_nothing: dict[str, Any] = {"MALLOC_MMAP_THRESHOLD_": str(64 * 1024)}
    for contestant in comparison.contestants:
        try:
            peak = in_new_process("benchmarks.memory", what, contestant.name, threads, **keep_nothing)
            yield contestant.name, peak, None
        except (RuntimeError, OSError, ValueError) as error:
            yield contestant.name, None, str(error)


def _measure(what: str, name: str) -> int:
    """Peak memory of one library, in bytes."""
    few = lif("round", (3, 2, LIF_SIZE[2])) if what == "lif" else spiking_conv("round", (3, 2))
    _build(few, name)()
    run = _build(lif("round", LIF_SIZE) if what == "lif" else spiking_conv("round", CONV_SIZE), name)
    CLEAR.write_text("5")  # resets the high-water mark
    before = _high_water_mark()
    run()
    return _high_water_mark() - before


def _build(comparison: Comparison, name: str) -> Run:
    return next(contestant for contestant in comparison.contestants if contestant.name == name).build()


def _high_water_mark() -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    _, what, name, threads = sys.argv
    torch.set_num_threads(int(threads))
    print(json.dumps(_measure(what, name)))
