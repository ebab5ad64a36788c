"""Reading and writing memory by address, for the printed kernels.

A kernel works on blocks: WIDTH consecutive elements of the flattened [B, N], for which every quantity has its slot at a
constant distance from the block's address. LLVM sees one base pointer and constant distances, hence no aliasing, and
vectorises. Tensors whose rows adjoin are read and written where they lie, and LLVM is told that each is a place of its
own; of others, the rows are copied in and out.
"""

import platform
from typing import Any

from llvmlite import ir
from numba import float32, float64, int32, int64, types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

from bionets.scan.cpu.native import PLACES
from bionets.scan.cpu.numba_vectors import add32, add64, copy32, copy64

intrinsic: Any = _intrinsic  # its type hints do not know what it does to a signature

LINE = 64  # bytes of a cache line


def address_of(builder: Any, kind: Any, address: Any, index: Any) -> Any:
    """The element at an index, counted from an address, as a pointer."""
    return builder.gep(builder.inttoptr(address, kind.as_pointer()), [index])


def mark_place(builder: Any, instruction: Any, place: int) -> None:
    """Tell LLVM that memory of one place is never that of another. Place 0 is the block, the others are tensors."""
    module = builder.module
    domain = module.add_metadata([ir.MetaDataString(module, "bionets.scan")])
    scopes = [module.add_metadata([ir.MetaDataString(module, f"place {i}"), domain]) for i in range(PLACES + 1)]
    instruction.set_metadata("alias.scope", module.add_metadata([scopes[place]]))
    instruction.set_metadata("noalias", module.add_metadata(scopes[:place] + scopes[place + 1 :]))


def _access(number: Any, kind: Any) -> tuple[Any, Any]:
    """load(address, index) and store(address, index, value), of memory about which LLVM knows nothing."""

    @intrinsic
    def load(typing: Any, address: Any, index: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return builder.load(address_of(builder, kind, *values))

        return number(int64, int64), emit

    @intrinsic
    def store(typing: Any, address: Any, index: Any, value: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            address, index, value = values
            builder.store(value, address_of(builder, kind, address, index))
            return context.get_dummy_value()

        return types.void(int64, int64, number), emit

    return load, store


load32, store32 = _access(float32, ir.FloatType())
load64, store64 = _access(float64, ir.DoubleType())
word, _ = _access(int64, ir.IntType(64))


def _floating_point_mode(operation: str) -> Any:
    """The x86 register that holds rounding and denormal modes; elsewhere these do nothing."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")

    def call(builder: Any, slot: Any) -> None:
        if x86:
            byte = ir.IntType(8).as_pointer()
            kind = ir.FunctionType(ir.VoidType(), [byte])
            function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{operation}mxcsr")
            builder.call(function, [builder.bitcast(slot, byte)])

    return call


_get_mode, _set_mode = _floating_point_mode("st"), _floating_point_mode("ld")


@intrinsic
def flush_denormals(typing: Any) -> Any:
    """From here on denormal numbers are zero on this thread. Returns the mode before, for `restore_mode`."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.IntType(32)
        slot = cgutils.alloca_once_value(builder, kind(0))
        _get_mode(builder, slot)
        before = builder.load(slot)
        builder.store(builder.or_(before, kind(0x8040)), slot)
        _set_mode(builder, slot)
        return before

    return int32(), emit


@intrinsic
def restore_mode(typing: Any, mode: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _set_mode(builder, cgutils.alloca_once_value(builder, values[0]))
        return context.get_dummy_value()

    return types.void(int32), emit


@intrinsic
def expect(typing: Any, address: Any, size: Any) -> Any:
    """Have so many bytes from an address on, which may be anything, brought near while other things are computed."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        byte, number, zero = ir.IntType(8).as_pointer(), ir.IntType(32), ir.IntType(64)(0)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        with cgutils.for_range_slice(builder, zero, values[1], zero.type(LINE), zero.type) as (done, _):
            place = builder.inttoptr(builder.add(values[0], done), byte)
            builder.call(function, [place, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(int64, int64), emit


def _copying(load: Any, store: Any, copy: Any, add: Any, size: int) -> dict[str, Any]:
    """Functions that move rows between a block's slot and a tensor `[B, N]` whose rows lie `row` elements apart."""

    def load_rows(block: int, slot: int, source: int, row: int, first: int, count: int, width: int) -> None:
        if source == 0:
            for i in range(count):
                store(block, slot + i, 0.0)
        elif row == width:
            source += first * size
            expect(source + count * size, count * size)
            for i in range(count):
                store(block, slot + i, load(source, i))
        else:
            batch = first // width
            column = first - batch * width
            ahead = count * row // width
            done = 0
            while done < count:
                run = min(width - column, count - done)
                start = source + (batch * row + column) * size
                expect(start + ahead * size, run * size)
                copy(block + (slot + done) * size, start, run)
                done += run
                batch += 1
                column = 0

    def add_rows(block: int, slot: int, source: int, row: int, first: int, count: int, width: int) -> None:
        if row == width:
            add(block + slot * size, source + first * size, count)
            return
        batch = first // width
        column = first - batch * width
        done = 0
        while done < count:
            run = min(width - column, count - done)
            start = source + (batch * row + column) * size
            add(block + (slot + done) * size, start, run)
            done += run
            batch += 1
            column = 0

    def store_rows(block: int, slot: int, target: int, row: int, first: int, count: int, width: int) -> None:
        if row == width:
            target += first * size
            expect(target + count * size, count * size)
            for i in range(count):
                store(target, i, load(block, slot + i))
        else:
            batch = first // width
            column = first - batch * width
            ahead = count * row // width
            done = 0
            while done < count:
                run = min(width - column, count - done)
                start = target + (batch * row + column) * size
                expect(start + ahead * size, run * size)
                copy(start, block + (slot + done) * size, run)
                done += run
                batch += 1
                column = 0

    def load_params(block: int, slot: int, source: int, step: int, first: int, count: int, width: int) -> None:
        if step == 0:
            for i in range(count):
                store(block, slot + i, load(source, 0))
            return
        column = first % width
        done = 0
        while done < count:
            run = min(width - column, count - done)
            copy(block + (slot + done) * size, source + column * size, run)
            done += run
            column = 0

    def load_lengths(block: int, slot: int, source: int, _: int, first: int, count: int, width: int) -> None:
        for i in range(count):
            store(block, slot + i, float(word(source, (first + i) // width)))

    functions = (load_rows, add_rows, store_rows, load_params, load_lengths)
    return {function.__name__: function for function in functions}


helpers32, helpers64 = _copying(load32, store32, copy32, add32, 4), _copying(load64, store64, copy64, add64, 8)
