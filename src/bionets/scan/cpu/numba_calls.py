"""What a printed kernel does between its stages: find where tensors lie at a time step, and call helpers by address.
And how a thread takes and calls its parts.

All of it is intrinsics, a line instead of several, for it is the lines of a kernel that a first call waits for.
"""

from typing import Any

from llvmlite import ir
from numba import int64, types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

from bionets.scan.cpu.numba_memory import address_of

__all__ = ["addresses32", "addresses64", "call_with", "invoke", "take"]

intrinsic: Any = _intrinsic  # its type hints do not know what it does to a signature

_WORD = ir.IntType(64)


def _invoke(builder: Any, address: Any, arguments: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [_WORD] * len(arguments))
    builder.call(builder.inttoptr(address, kind.as_pointer()), arguments)


@intrinsic
def invoke(typing: Any, address: Any, *arguments: Any) -> Any:
    """Call the compiled helper at an address. So helpers are compiled once and not into every kernel."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address, words = values
        _invoke(builder, address, cgutils.unpack_tuple(builder, words, len(arguments)))
        return context.get_dummy_value()

    return types.void(int64, types.StarArgTuple.from_types(arguments)), emit


def _addresses(size: int) -> dict[str, Any]:
    """The intrinsics that know how many bytes an element has."""

    def after(builder: Any, address: Any, elements: Any) -> Any:
        return builder.add(address, builder.mul(elements, _WORD(size)))

    def given(builder: Any, address: Any) -> Any:
        return builder.icmp_unsigned("!=", address, _WORD(0))

    def place(builder: Any, block: Any, slot: Any, address: Any, row: Any, start: Any, *sizes: Any) -> tuple[Any, Any]:
        """Whether a tensor is there, its rows adjoin, and the block is a whole one. And accordingly where its elements
        are read or written: where they belong, or in the slot."""
        count, width, whole = sizes
        same_row, full = builder.icmp_unsigned("==", row, width), builder.icmp_unsigned("==", count, whole)
        direct = builder.and_(given(builder, address), builder.and_(same_row, full))
        return direct, builder.select(direct, after(builder, address, start), after(builder, block, slot))

    @intrinsic
    def moved(typing: Any, address: Any, steps: Any, stride: Any) -> Any:
        """The address so many strides on; 0, of a tensor that is not there, stays 0."""

        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            address, steps, stride = values
            there = after(builder, address, builder.mul(steps, stride))
            return builder.select(given(builder, address), there, _WORD(0))

        return int64(int64, int64, int64), emit

    @intrinsic
    def fetch(
        typing: Any,
        load: Any,
        block: Any,
        slot: Any,
        address: Any,
        row: Any,
        start: Any,
        count: Any,
        width: Any,
        whole: Any,
    ) -> Any:
        """Where a stage reads an input: where it lies, or in its slot, to which the helper `load` copies it."""

        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            load, *arguments, whole = values
            direct, found = place(builder, *arguments, whole)
            with builder.if_then(builder.not_(direct)):
                _invoke(builder, load, arguments)
            return found

        return int64(*[int64] * 9), emit

    @intrinsic
    def room(
        typing: Any, block: Any, slot: Any, address: Any, row: Any, start: Any, count: Any, width: Any, whole: Any
    ) -> Any:
        """Where a stage writes an output: to where it belongs, or to its slot, from which `settle` copies it."""

        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return place(builder, *values)[1]

        return int64(*[int64] * 8), emit

    @intrinsic
    def settle(
        typing: Any,
        store: Any,
        written: Any,
        block: Any,
        slot: Any,
        address: Any,
        row: Any,
        start: Any,
        count: Any,
        width: Any,
    ) -> Any:
        """Copy an output by the helper `store`, where it was written to its slot and is wanted."""

        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            store, written, block, slot, address, row, start, count, width = values
            in_slot = builder.icmp_unsigned("==", written, after(builder, block, slot))
            with builder.if_then(builder.and_(in_slot, given(builder, address))):
                _invoke(builder, store, [block, slot, address, row, start, count, width])
            return context.get_dummy_value()

        return types.void(*[int64] * 9), emit

    return {"moved": moved, "fetch": fetch, "room": room, "settle": settle}


addresses32, addresses64 = _addresses(4), _addresses(8)


def call_with(count: int) -> Any:
    """call(address, words): call the function at an address with `count` integers, which lie at `words`."""

    @intrinsic
    def call(typing: Any, address: Any, words: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kind = ir.FunctionType(ir.VoidType(), [_WORD] * count)
            arguments = [builder.load(address_of(builder, _WORD, values[1], _WORD(i))) for i in range(count)]
            builder.call(builder.inttoptr(values[0], kind.as_pointer()), arguments)
            return context.get_dummy_value()

        return types.void(int64, int64), emit

    return call


@intrinsic
def take(typing: Any, address: Any) -> Any:
    """The integer at an address, which becomes one more; no two threads get the same."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = builder.inttoptr(values[0], _WORD.as_pointer())
        return builder.atomic_rmw("add", place, _WORD(1), "monotonic")

    return int64(int64), emit
