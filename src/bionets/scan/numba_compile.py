"""From a printed kernel to a function that runs without the interpreter's lock."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numba
from numba import int64, types

from bionets.scan.numba_printer import Source, Variant, print_kernel
from bionets.scan.program import Program

_lock = threading.RLock()
_kernels: dict[tuple[str, Variant], "Kernel"] = {}


@dataclass(frozen=True)
class Kernel:
    """`run(table, low, high, work)`: addresses and bounds, all integers."""

    run: Callable[[int, int, int, int], None]
    source: Source


def find_kernel(program: Program, variant: Variant) -> Kernel:
    key = (program.key, variant)
    with _lock:
        if key not in _kernels:
            _kernels[key] = _compile(print_kernel(program, variant))
        return _kernels[key]


def _compile(source: Source) -> Kernel:
    names: dict[str, object] = {}
    exec(compile(source.text, "<scan kernel>", "exec"), names)
    signature = types.void(int64, int64, int64, int64)
    compiled = numba.cfunc(signature, error_model="numpy")(names["kernel"])
    return Kernel(compiled.ctypes, source)
