"""From a printed kernel to one that runs on tiles of a tensor: compiled once, its launch sized for the device."""

import hashlib
import importlib.util
import linecache
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from bionets.scan.program import Program
from bionets.scan.triton_printer import Source, Variant

STAGES = 4  # time steps whose loads are under way at once
ENOUGH = 1024  # instances of a kernel that keep a GPU busy
LANES = 128  # elements of a block that one warp takes

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


def launch_elements(kernel: Kernel, values: Mapping[str, Any], total: int, wide: bool) -> None:
    """Run a kernel on `total` elements in blocks."""
    block = 32
    while block < 1024 and total > ENOUGH * block:
        block *= 2
    _launch(kernel, values, -(-total // block), max(1, block // LANES), wide, BLOCK=block)


def launch_rows(kernel: Kernel, values: Mapping[str, Any], tile: "RowTile", batch: int, wide: bool) -> None:
    """Run a kernel on whole rows."""
    sizes = {"ROWS": tile.rows, "WIDTH": tile.width, "PRECISION": tile.precision}
    _launch(kernel, values, -(-batch // tile.rows), tile.warps, wide, **sizes)


@dataclass(frozen=True)
class RowTile:
    """The rows that one instance takes, their padded width, and how their matrix products are computed."""

    rows: int
    width: int
    precision: str
    warps: int


def row_tile(program: Program, width: int, batch: int) -> RowTile:
    """One row an instance while the device has room for all; then 16, on tensor cores.

    float32 products are as exact as torch's own by default; `torch.set_float32_matmul_precision("high")` lets them be
    TF32. A weight takes 64 registers of each thread at most, as far as there are threads.
    """
    padded = max(16, 1 << (width - 1).bit_length())
    blocks = sum(stage.blocks for stage in program.stages)
    warps = min(16, max(1, blocks * padded * padded // (32 * 64)))
    if batch <= ENOUGH // 4 or program.dtype == torch.float64:
        return RowTile(1, padded, "ieee", warps)
    exact = torch.get_float32_matmul_precision() == "highest"
    return RowTile(16, padded, "tf32x3" if exact else "tf32", max(4, warps))


def _launch(kernel: Kernel, values: Mapping[str, Any], instances: int, warps: int, wide: bool, **sizes: Any) -> None:
    import triton.language as tl

    arguments = {name: values[name] for name in kernel.source.arguments}
    offset = tl.int64 if wide else tl.int32
    device = next(value.device for value in arguments.values() if isinstance(value, torch.Tensor))
    with torch.cuda.device(device if device.type == "cuda" else -1):
        kernel.function[(instances,)](
            **arguments, **sizes, OFFSET=offset, STAGES=STAGES, num_warps=warps, enable_fp_fusion=False
        )
