"""What a graph computes for each element of a block, written at once in LLVM's language.

As Python it would be the largest part of a kernel, and Numba would spend most of a first call on finding out that
everything in it is a number. Numba compiles the functions of `numba_math` into it, and the kernel around it.

A stage is a list of instructions, whose results are numbered in their order:

    ("load", where, offset, place)              element offset + i from address number `where`, see below
    ("constant", value)
    ("active", length)                          whether time < length
    ("fma", a, b, c)                            a·b + c, rounded once
    (operation of a graph, *inputs)
    ("store", value, where, offset, place)

Address 0 is the block, the others are tensors, each a `place` of its own (see `numba_memory`). Inputs are numbers of
instructions.
"""

import math
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import float32, float64, int64, types
from numba.core import cgutils
from numba.core.compiler import Flags
from numba.extending import intrinsic as _intrinsic

from bionets.scan.cpu import numba_math
from bionets.scan.cpu.numba_memory import address_of, mark_place

__all__ = ["stage"]

intrinsic: Any = _intrinsic  # its type hints do not know what it does to a signature

ARITHMETIC = {"neg": "fneg", "add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
COMPARISONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "=="}  # false where either side is NaN
LOGIC = {"and": "and_", "or": "or_", "xor": "xor", "not": "not_"}
INTRINSICS = {"abs": "fabs", "sqrt": "sqrt", "round": "rint", "fma": "fma"} | {
    name: name for name in ("floor", "ceil", "trunc", "maximum", "minimum")
}


def stage(bits: int, instructions: Sequence[tuple[Any, ...]]) -> Any:
    """run(block, count, time, *addresses): the instructions for elements 0 to `count`, in floats of so many bits."""
    number = float32 if bits == 32 else float64

    @intrinsic
    def run(typing: Any, block: Any, count: Any, time: Any, *addresses: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            block, count, time, tensors = values
            places = [block, *cgutils.unpack_tuple(builder, tensors, len(addresses))]
            with cgutils.for_range(builder, count) as loop:
                element = _Element(context, builder, number, places, loop.index, time)
                for operation, *operands in instructions:
                    element.results.append(element.evaluate(operation, operands))
            return context.get_dummy_value()

        return types.void(int64, int64, number, types.StarArgTuple.from_types(addresses)), emit

    return run


class _Element:
    """The instructions of one element, in the body of the loop."""

    def __init__(self, context: Any, builder: Any, number: Any, addresses: list[Any], index: Any, time: Any) -> None:
        self.context, self.builder, self.number = context, builder, number
        self.addresses, self.index, self.time = addresses, index, time
        self.kind = ir.FloatType() if number is float32 else ir.DoubleType()
        self.results: list[Any] = []

    def evaluate(self, operation: str, operands: list[Any]) -> Any:
        if operation == "constant":
            return self.constant(*operands)
        if operation == "load":
            return self.load(*operands)
        if operation == "store":
            return self.store(self.results[operands[0]], *operands[1:])
        values, builder = [self.results[number] for number in operands], self.builder
        if operation == "active":
            return builder.fcmp_ordered("<", self.time, *values)
        if operation in ARITHMETIC or operation in LOGIC:
            return getattr(builder, ARITHMETIC.get(operation) or LOGIC[operation])(*values)
        if operation in COMPARISONS:
            return builder.fcmp_ordered(COMPARISONS[operation], *values)
        if operation == "ne":
            return builder.fcmp_unordered("!=", *values)
        if operation == "where":
            return builder.select(*values)
        if operation == "float":
            return builder.select(*values, self.constant(1.0), self.constant(0.0))
        if operation == "sign":
            return self.sign(*values)
        if operation in INTRINSICS:
            return self.intrinsic(INTRINSICS[operation], values)
        return self.function(operation, values)

    def constant(self, value: float) -> Any:
        return ir.Constant(self.kind, value)

    def load(self, where: int, offset: int, place: int) -> Any:
        instruction = self.builder.load(self.pointer(where, offset))
        mark_place(self.builder, instruction, place)
        return instruction

    def store(self, value: Any, where: int, offset: int, place: int) -> None:
        mark_place(self.builder, self.builder.store(value, self.pointer(where, offset)), place)

    def pointer(self, where: int, offset: int) -> Any:
        element = self.builder.add(self.index, ir.IntType(64)(offset))
        return address_of(self.builder, self.kind, self.addresses[where], element)

    def sign(self, value: Any) -> Any:
        zero, builder = self.constant(0.0), self.builder
        negative = builder.select(builder.fcmp_ordered("<", value, zero), self.constant(-1.0), zero)
        return builder.select(builder.fcmp_ordered(">", value, zero), self.constant(1.0), negative)

    def intrinsic(self, name: str, values: list[Any]) -> Any:
        kind = ir.FunctionType(self.kind, [self.kind] * len(values))
        return self.builder.call(self.builder.module.declare_intrinsic(f"llvm.{name}", [self.kind], kind), values)

    def function(self, operation: str, values: list[Any]) -> Any:
        prefix = "narrow" if self.kind == ir.FloatType() else "wide"
        own = getattr(numba_math, f"{prefix}_{operation}", None)
        function = _LIBRARY[operation] if own is None else own.py_func
        signature = self.number(*[self.number] * len(values))
        flags: Any = Flags()
        flags.error_model = "numpy"  # a division by zero gives infinity, without a branch
        compiled = self.context.compile_subroutine(self.builder, function, signature, flags=flags)
        return self.context.call_internal(self.builder, compiled.fndesc, signature, values)


def _power(a: Any, b: Any) -> Any:
    return math.pow(a, b)


def _sin(a: Any) -> Any:
    return math.sin(a)


def _cos(a: Any) -> Any:
    return math.cos(a)


def _atan(a: Any) -> Any:
    return math.atan(a)


def _erf(a: Any) -> Any:
    return math.erf(a)


_LIBRARY = {"pow": _power, "sin": _sin, "cos": _cos, "atan": _atan, "erf": _erf}
