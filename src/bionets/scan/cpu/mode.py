"""The processor's mode for denormal numbers, set in the registers of x86 (MXCSR) and ARM (FPCR)."""

import contextlib
from collections.abc import Iterator

from bionets.scan.cpu.ir import Function

FLUSH = {"x86_64": 0x8040, "aarch64": 1 << 24}  # flush to zero, on x86 also denormals-are-zero


@contextlib.contextmanager
def denormals_flushed(function: Function) -> Iterator[None]:
    """Flush denormal numbers to zero on this thread within the context, and restore the mode afterwards."""
    architecture = function.module.target.architecture
    if architecture == "x86_64":
        slot = function.stack("i32")
        before = function.stack("i32")
        function.call_external("llvm.x86.sse.stmxcsr", "void", before)
        mode = function.load("i32", before)
        function.store(mode | FLUSH[architecture], slot)
        function.call_external("llvm.x86.sse.ldmxcsr", "void", slot)
        yield
        function.call_external("llvm.x86.sse.ldmxcsr", "void", before)
    elif architecture == "aarch64":
        mode = function.call_external("llvm.aarch64.get.fpcr", "i64")
        function.call_external("llvm.aarch64.set.fpcr", "void", mode | FLUSH[architecture])
        yield
        function.call_external("llvm.aarch64.set.fpcr", "void", mode)
    else:
        yield
