"""The processor's mode for denormal numbers, for Numba kernels: by MXCSR on x86, by FPCR on ARM."""

import platform
from typing import Any

from llvmlite import ir
from numba import int64, types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

from bionets.scan.cpu.mode import FLUSH

intrinsic: Any = _intrinsic  # its type hints do not know what it does to a signature

ARCHITECTURE = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}.get(
    platform.machine().lower()
)
_LONG, _INT = ir.IntType(64), ir.IntType(32)


def _call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _mxcsr(builder: Any, operation: str, slot: Any) -> None:
    pointer = builder.bitcast(slot, ir.IntType(8).as_pointer())
    _call(builder, f"llvm.x86.sse.{operation}mxcsr", ir.VoidType(), pointer)


def _set(builder: Any, mode: Any) -> None:
    if ARCHITECTURE == "x86_64":
        _mxcsr(builder, "ld", cgutils.alloca_once_value(builder, builder.trunc(mode, _INT)))
    elif ARCHITECTURE == "aarch64":
        _call(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), mode)


def _get(builder: Any) -> Any:
    if ARCHITECTURE == "x86_64":
        slot = cgutils.alloca_once_value(builder, _INT(0))
        _mxcsr(builder, "st", slot)
        return builder.zext(builder.load(slot), _LONG)
    return _call(builder, "llvm.aarch64.get.fpcr", _LONG) if ARCHITECTURE == "aarch64" else _LONG(0)


@intrinsic
def flush_denormals(typing: Any) -> Any:
    """From here on denormal numbers are zero on this thread. Returns the mode before, for `restore_mode`."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        before = _get(builder)
        _set(builder, builder.or_(before, _LONG(FLUSH.get(ARCHITECTURE or "", 0))))
        return before

    return int64(), emit


@intrinsic
def restore_mode(typing: Any, mode: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _set(builder, values[0])
        return context.get_dummy_value()

    return types.void(int64), emit
