"""Moving a few numbers in vectors, the last of them masked: rows are often hardly longer than a vector, and then a loop
that LLVM has vectorised would move most of a row one by one."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import int64, njit, types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

from bionets.scan.native import VECTOR_BYTES

intrinsic: Any = _intrinsic  # its type hints do not know what it does to a signature

_INT = ir.IntType(32)


def _one_vector(element: Any, add: bool, masked: bool) -> Any:
    """move(target, source, count) for one vector, or for its first `count` elements if it is masked."""
    size = 8 if element == ir.DoubleType() else 4
    lanes = VECTOR_BYTES // size
    vector, numbers = ir.VectorType(element, lanes), ir.VectorType(_INT, lanes)
    pointer = vector.as_pointer()
    suffix = f"v{lanes}f{8 * size}.p0v{lanes}f{8 * size}"

    @intrinsic
    def move(typing: Any, target: Any, source: Any, count: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            target, source = (builder.inttoptr(address, pointer) for address in values[:2])
            first = builder.insert_element(ir.Constant(numbers, ir.Undefined), builder.trunc(values[2], _INT), _INT(0))
            counts = builder.shuffle_vector(first, first, ir.Constant(numbers, [0] * lanes))
            mask = builder.icmp_signed("<", ir.Constant(numbers, list(range(lanes))), counts)

            def call(name: str, result: Any, *arguments: Any) -> Any:
                kind = ir.FunctionType(result, [argument.type for argument in arguments])
                return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)

            def load(address: Any) -> Any:
                if masked:
                    zero = ir.Constant(vector, [0.0] * lanes)
                    return call(f"llvm.masked.load.{suffix}", vector, address, _INT(size), mask, zero)
                return builder.load(address, align=size)

            moved = builder.fadd(load(target), load(source)) if add else load(source)
            if masked:
                call(f"llvm.masked.store.{suffix}", ir.VoidType(), moved, target, _INT(size), mask)
            else:
                builder.store(moved, target, align=size)
            return context.get_dummy_value()

        return types.void(*[int64] * 3), emit

    return move


def _run(element: Any, add: bool) -> Callable[[int, int, int], None]:
    """move(target, source, count): `count` elements that lie together, from one address to another."""
    size = 8 if element == ir.DoubleType() else 4
    lanes = VECTOR_BYTES // size
    whole, part = _one_vector(element, add, False), _one_vector(element, add, True)

    @njit(error_model="numpy")
    def move(target: int, source: int, count: int) -> None:
        done = 0
        while done + lanes <= count:
            whole(target + done * size, source + done * size, lanes)
            done += lanes
        if done < count:
            part(target + done * size, source + done * size, count - done)

    return move


copy32, copy64 = _run(ir.FloatType(), False), _run(ir.DoubleType(), False)
add32, add64 = _run(ir.FloatType(), True), _run(ir.DoubleType(), True)
