"""Moving a few numbers in vectors, the last of them masked: rows are often hardly longer than a vector, and then a loop
that LLVM has vectorised would move most of a row one by one."""

from typing import Any

from llvmlite import ir
from numba import int64, types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

from bionets.scan.cpu.native import VECTOR_BYTES

intrinsic: Any = _intrinsic  # its type hints do not know what it does to a signature

_INT, _MASKED = ir.IntType(64), ir.IntType(32)


class _Move:
    """Writes the moves in LLVM's language: a function of Numba's that others call is compiled twice."""

    def __init__(self, builder: Any, element: Any, add: bool) -> None:
        self.builder, self.element, self.add = builder, element, add
        self.size = 8 if element == ir.DoubleType() else 4
        self.lanes = VECTOR_BYTES // self.size
        self.vector = ir.VectorType(element, self.lanes)
        self.pointer = self.vector.as_pointer()

    def all(self, target: Any, source: Any, count: Any) -> None:
        """`count` elements that lie together, from one address to another."""
        builder, lanes = self.builder, _INT(self.lanes)
        rest = builder.urem(count, lanes)
        whole = builder.sub(count, rest)
        with cgutils.for_range_slice(builder, _INT(0), whole, lanes, _INT) as (done, _):
            self.one(self._after(done, target), self._after(done, source))
        with builder.if_then(builder.icmp_unsigned(">", rest, _INT(0))):
            self.one(self._after(whole, target), self._after(whole, source), rest)

    def one(self, target: Any, source: Any, count: Any | None = None) -> None:
        """One vector, or its first `count` elements."""
        builder, numbers = self.builder, ir.VectorType(_MASKED, self.lanes)
        if count is None:
            moved = builder.load(source, align=self.size)
            if self.add:
                moved = builder.fadd(builder.load(target, align=self.size), moved)
            builder.store(moved, target, align=self.size)
            return
        undefined, zeros = ir.Constant(numbers, ir.Undefined), ir.Constant(numbers, [0] * self.lanes)
        first = builder.insert_element(undefined, builder.trunc(count, _MASKED), _MASKED(0))
        counts = builder.shuffle_vector(first, first, zeros)
        mask = builder.icmp_signed("<", ir.Constant(numbers, list(range(self.lanes))), counts)
        size, nothing = _MASKED(self.size), ir.Constant(self.vector, [0.0] * self.lanes)
        moved = self._call("load", self.vector, source, size, mask, nothing)
        if self.add:
            moved = builder.fadd(self._call("load", self.vector, target, size, mask, nothing), moved)
        self._call("store", ir.VoidType(), moved, target, size, mask)

    def _after(self, elements: Any, address: Any) -> Any:
        distance = self.builder.mul(elements, _INT(self.size))
        return self.builder.inttoptr(self.builder.add(address, distance), self.pointer)

    def _call(self, action: str, result: Any, *arguments: Any) -> Any:
        name = f"llvm.masked.{action}.v{self.lanes}f{8 * self.size}.p0v{self.lanes}f{8 * self.size}"
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), arguments)


def _run(element: Any, add: bool) -> Any:
    @intrinsic
    def move(typing: Any, target: Any, source: Any, count: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            _Move(builder, element, add).all(*values)
            return context.get_dummy_value()

        return types.void(*[int64] * 3), emit

    return move


copy32, copy64 = _run(ir.FloatType(), False), _run(ir.DoubleType(), False)
add32, add64 = _run(ir.FloatType(), True), _run(ir.DoubleType(), True)
