"""From a printed kernel to machine code that runs without the interpreter's lock, compiled once and kept on disk."""

import functools
import hashlib
import importlib.metadata
import inspect
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bionets.scan.cpu import cache
from bionets.scan.cpu.native import host, load_object
from bionets.scan.cpu.numba_printer import Variant, print_kernel
from bionets.scan.cpu.numba_writer import HELPERS, Source
from bionets.scan.program import Program

_lock = threading.RLock()
_kernels: dict[tuple[str, Variant], "Kernel"] = {}
_helpers: dict[tuple[str, int], int] = {}


@dataclass(frozen=True)
class Kernel:
    """The address of `kernel(table, low, high, work)`: addresses and bounds, all integers. And the addresses of the
    helpers that it calls."""

    address: int
    source: Source
    helpers: dict[str, int]


def find_kernel(program: Program, variant: Variant) -> Kernel:
    """The kernel of a program: from this process, from the disk, or compiled now."""
    with _lock:
        kernel = _kernels.get((program.key, variant))
        if kernel is None:
            source = print_kernel(program, variant)
            bits = 8 * program.dtype.itemsize
            helpers = {name: helper_address(name, bits) for name in source.fields if name in HELPERS}
            kernel = Kernel(compile_function(source.text, "kernel"), source, helpers)
            _kernels[program.key, variant] = kernel
        return kernel


def helper_address(name: str, bits: int) -> int:
    """The address of a helper, which kernels call."""
    with _lock:
        if (name, bits) not in _helpers:
            _helpers[name, bits] = _address(f"{name} {bits}", lambda: _helper_function(name, bits))
        return _helpers[name, bits]


def compile_function(text: str, name: str) -> int:
    """The address of a function of integers, given its source."""
    with _lock:
        return _address(text, lambda: _function_of(text, name))


def _address(text: str, function: Callable[[], Any]) -> int:
    key = hashlib.sha256(f"{_environment()}\n{text}".encode()).hexdigest()[:32]
    stored = cache.read(key)
    if stored is None:
        symbol, code = _compile(function())
        cache.write(key, symbol.encode() + b"\n" + code)
    else:
        name, _, code = stored.partition(b"\n")
        symbol = name.decode()
    return load_object(code, symbol)


@functools.cache
def _environment() -> str:
    """Everything but the kernel's own text that the machine code depends on."""
    parts = ("calls", "math", "memory", "product", "stage", "vectors")
    paths = [Path(__file__).with_name(name) for name in ("native.py", *(f"numba_{part}.py" for part in parts))]
    sources = b"".join(path.read_bytes() for path in paths)
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("numba", "llvmlite")]
    return "\n".join([*versions, host(), hashlib.sha256(sources).hexdigest()])


def _function_of(text: str, name: str) -> Any:
    names: dict[str, Any] = {}
    exec(compile(text, "<scan kernel>", "exec"), names)
    return names[name]


def _helper_function(name: str, bits: int) -> Any:
    from bionets.scan.cpu.numba_memory import helpers32, helpers64
    from bionets.scan.cpu.numba_product import products32, products64

    return {32: helpers32 | products32, 64: helpers64 | products64}[bits][name]


def _compile(function: Any) -> tuple[str, bytes]:
    """The name and the object file of a function of integers, without result."""
    import numba  # only here: code from the disk needs no compiler

    signature = numba.types.void(*[numba.int64] * len(inspect.signature(function).parameters))
    compiled: Any = numba.cfunc(signature, error_model="numpy")(function)
    _, _, (code, _) = compiled._library.serialize_using_object_code()
    return compiled._wrapper_name, code


def _forget_lock() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_lock)  # another thread may have held it
