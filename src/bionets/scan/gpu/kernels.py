"""Compiles printed kernels, each once, and launches them with sizes that suit the device."""

import contextlib
import hashlib
import importlib.util
import linecache
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bionets.scan.compile_time import compiling
from bionets.scan.gpu.printer import Source
from bionets.scan.locks import ForkSafeLock
from bionets.scan.program import Program

STAGES = (4, 8, 16)  # time steps whose loads are in flight at once; fewer elements need more steps
IN_FLIGHT = 1 << 20  # elements that should be in flight: about a GPU's bandwidth times its latency
ENOUGH = 1024  # number of instances of a kernel that use the whole GPU
LANES = 128  # elements of a block for each warp: loads are then 16 bytes wide
FEWER_LANES = 64  # the same for kernels with more than MANY numbers per element: fewer registers for a thread
MANY = 21
COLUMNS, CHUNK_WARPS = 32, 8  # size of a tile of time steps and elements: loads are then 128 bytes wide for each step
WEIGHTS = 64  # number of weights in a thread, if there are enough threads

_lock = ForkSafeLock()
_kernels: dict[Any, "Kernel"] = {}


@dataclass(frozen=True)
class Kernel:
    """`function` is the result of `triton.jit`.

    compiled: the kernels compiled by Triton, by the properties of the arguments on which they depend; see `_identity`.
    """

    function: Any
    source: Source
    compiled: dict[Any, Any] = field(default_factory=dict)

    @property
    def fuses(self) -> bool:
        """Whether sums and products may be contracted into fused multiply-adds. They are not contracted in elementwise
        recurrences, so that the same values cross a threshold as in eager PyTorch. Matrix products are summed in
        another order than in PyTorch anyway, and need half of the instructions when contracted.
        """
        return self.source.rows


def find_kernel(printer: Callable[..., Source], program: Program, *options: Any) -> Kernel:
    """The kernel printed by `printer(program, *options)`, created at most once in this process."""
    key = (printer, program.key, *options)
    with _lock:
        if key not in _kernels:
            _kernels[key] = load_kernel(printer(program, *options))
        return _kernels[key]


def load_kernel(source: Source) -> Kernel:
    """Run the source. Triton reads it again by its file name, for which `linecache` returns it; no file is written.

    Triton stores compiled kernels on disk under a hash of the source.
    """
    if importlib.util.find_spec("triton") is None:
        raise ImportError("backend 'triton' needs the package triton; install it or use backend='auto'")
    name = f"<bionets scan kernel {hashlib.sha256(source.text.encode()).hexdigest()[:24]}>"
    linecache.cache[name] = (len(source.text), None, source.text.splitlines(keepends=True), name)
    names: dict[str, Any] = {"__name__": "bionets.scan.printed_kernel"}
    exec(compile(source.text, name, "exec"), names)
    return Kernel(names["kernel"], source)


def padded(width: int) -> int:
    """The next power of two, because Triton's tiles have such sizes."""
    return max(16, 1 << (width - 1).bit_length())


def launch_elements(kernel: Kernel, values: Mapping[str, Any], wide: bool) -> None:
    """Run a kernel on the elements of [B, N] in blocks."""
    total, block = values["total"], 32
    lanes, largest = (FEWER_LANES, 256) if kernel.source.held > MANY else (LANES, 512)
    while block < largest and total > ENOUGH * block:
        block *= 2
    stages = next((stages for stages in STAGES if stages * total >= IN_FLIGHT), STAGES[-1])
    _launch(kernel, values, -(-total // block), max(1, block // lanes), wide, block, stages)


def launch_chunks(kernel: Kernel, values: Mapping[str, Any], wide: bool) -> None:
    """Run a kernel that computes many time steps of a few elements in parallel, in `segments` of time."""
    instances = columns_of(values["total"]) * values["segments"]
    _launch(kernel, values, instances, CHUNK_WARPS, wide, COLUMNS, STAGES[0])


def columns_of(total: int) -> int:
    """The number of blocks of elements in such a kernel."""
    return -(-total // COLUMNS)


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
    import triton.language as tl  # only if the backend is used

    arguments = [values[name] for name in kernel.source.arguments]
    constants = (block, tl.int64 if wide else tl.int32, stages)
    device = next(value.device for value in arguments if isinstance(value, Tensor))
    index = device.index if device.type == "cuda" else None
    here = index is None or index == torch.cuda.current_device()
    with contextlib.nullcontext() if here else torch.cuda.device(index):
        identity = (index, warps, wide, block, stages, *_identity(kernel, arguments))
        compiled = kernel.compiled.get(identity)
        if compiled is not None:
            compiled[(instances, 1, 1)](*arguments, *constants)
            return
        options = {"num_warps": warps, "enable_fp_fusion": kernel.fuses}
        with contextlib.nullcontext() if index is None else compiling():  # Triton's interpreter compiles nothing
            found = kernel.function[(instances,)](*arguments, *constants, **options)
        if index is not None:
            kernel.compiled[identity] = found


def _identity(kernel: Kernel, arguments: list[Any]) -> Iterator[Any]:
    """The properties of the arguments on which a compiled kernel may depend: dtypes and alignment, and whether a number
    is 1, a multiple of 16 or larger than 32 bits. Triton determines them at each launch, which takes longer than a
    short kernel.
    """
    for name, value in zip(kernel.source.arguments, arguments, strict=True):
        if isinstance(value, Tensor):
            yield value.dtype, value.data_ptr() % 16 == 0
        elif name in kernel.source.plain:
            yield -(2**31) <= value < 2**31
        else:
            yield value == 1, value % 16 == 0, -(2**31) <= value < 2**31
