"""From a printed kernel to one that runs on tiles of a tensor: compiled once, its launch sized for the device."""

import hashlib
import importlib.util
import linecache
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bionets.scan.gpu.printer import Source
from bionets.scan.program import Program

STAGES = (4, 8, 16)  # time steps whose loads are under way at once: the fewer elements, the more steps it takes
IN_FLIGHT = 1 << 20  # elements that should be under way, about a GPU's bandwidth times its latency
ENOUGH = 1024  # instances of a kernel that keep a GPU busy
LANES = 128  # elements of a block that one warp takes
WEIGHTS = 64  # weights that one thread keeps, as long as there are threads

_lock = threading.RLock()
_kernels: dict[Any, "Kernel"] = {}


@dataclass(frozen=True)
class Kernel:
    """`function` is what `triton.jit` made of the source."""

    function: Any
    source: Source


def find_kernel(printer: Callable[..., Source], program: Program, *options: Any) -> Kernel:
    """The kernel that `printer(program, *options)` prints, made at most once in this process."""
    key = (printer, program.key, *options)
    with _lock:
        if key not in _kernels:
            _kernels[key] = load_kernel(printer(program, *options))
        return _kernels[key]


def load_kernel(source: Source) -> Kernel:
    """Run the source. Triton reads it again by its file name, which `linecache` answers: no file, so none can be stale.

    Triton itself keeps what it has compiled on disk, under a hash of the source.
    """
    if importlib.util.find_spec("triton") is None:
        raise ImportError("backend 'triton' needs the package triton; install it or use backend='auto'")
    name = f"<bionets scan kernel {hashlib.sha256(source.text.encode()).hexdigest()[:24]}>"
    linecache.cache[name] = (len(source.text), None, source.text.splitlines(keepends=True), name)
    names: dict[str, Any] = {"__name__": "bionets.scan.printed_kernel"}
    exec(compile(source.text, name, "exec"), names)
    return Kernel(names["kernel"], source)


def padded(width: int) -> int:
    """The next power of two, of which Triton's tiles are made."""
    return max(16, 1 << (width - 1).bit_length())


def launch_elements(kernel: Kernel, values: Mapping[str, Any], wide: bool) -> None:
    """Run a kernel on the elements of [B, N] in blocks."""
    total, block = values["total"], 32
    while block < 1024 and total > ENOUGH * block:
        block *= 2
    stages = next((stages for stages in STAGES if stages * total >= IN_FLIGHT), STAGES[-1])
    _launch(kernel, values, -(-total // block), max(1, block // LANES), wide, block, stages)


def launch_rows(kernel: Kernel, values: Mapping[str, Any], weight_blocks: int, wide: bool) -> None:
    """Run a kernel on whole rows, one for each instance, that keeps this many blocks [H, H] of weights."""
    total, width = values["total"], values["width"]
    block = padded(width)
    warps = 1
    while warps < 16 and 32 * warps * WEIGHTS < weight_blocks * block * block:
        warps *= 2
    _launch(kernel, values, total // width, warps, wide, block, STAGES[0])


def _launch(
    kernel: Kernel, values: Mapping[str, Any], instances: int, warps: int, wide: bool, block: int, stages: int
) -> None:
    import triton.language as tl  # only where the backend is used

    arguments = {name: values[name] for name in kernel.source.arguments}
    offset = tl.int64 if wide else tl.int32
    device = next(value.device for value in arguments.values() if isinstance(value, Tensor))
    with torch.cuda.device(device if device.type == "cuda" else -1):
        kernel.function[(instances,)](
            **arguments, BLOCK=block, OFFSET=offset, STAGES=stages, num_warps=warps, enable_fp_fusion=False
        )
