"""From a printed kernel to a function that runs without the interpreter's lock."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
from numba import int64, types

from bionets.scan.numba_memory import helpers32, helpers64
from bionets.scan.numba_printer import Source, Variant, print_kernel
from bionets.scan.numba_product import product32, product64
from bionets.scan.program import Program

_lock = threading.RLock()
_kernels: dict[tuple[str, Variant], "Kernel"] = {}
_helpers: dict[tuple[str, int], Any] = {}


@dataclass(frozen=True)
class Kernel:
    """`run(table, low, high, work)`: addresses and bounds, all integers."""

    run: Callable[[int, int, int, int], None]
    source: Source


def find_kernel(program: Program, variant: Variant) -> Kernel:
    key = (program.key, variant)
    with _lock:
        if key not in _kernels:
            source = print_kernel(program, variant)
            names: dict[str, Any] = {}
            exec(compile(source.text, "<scan kernel>", "exec"), names)
            _kernels[key] = Kernel(_compile(names["kernel"], 4).ctypes, source)
        return _kernels[key]


def helper_address(name: str, bits: int) -> int:
    """The address of a helper, compiled when first asked for."""
    with _lock:
        if (name, bits) not in _helpers:
            functions = {32: helpers32 | {"product": product32}, 64: helpers64 | {"product": product64}}
            _helpers[name, bits] = _compile(functions[bits][name], 7)
        return _helpers[name, bits].address


def _compile(function: Callable[..., None], arguments: int) -> Any:
    return numba.cfunc(types.void(*[int64] * arguments), error_model="numpy")(function)
