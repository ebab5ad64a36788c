"""The values of a function in LLVM IR, with operators that add instructions.

Types are LLVM's own names, "<16 x float>" or "i64"; addresses are of type "ptr", distances are in bytes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bionets.scan.cpu.ir import Function

SIZES = {"float": 4, "double": 8, "i1": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8}
INDEX = "i64"


def element(kind: str) -> str:
    """The type of the elements of a vector type; any other type is returned unchanged."""
    return kind.rpartition(" x ")[2].removesuffix(">")


def like(kind: str, other: str) -> str:
    """The type with elements of type `other`, as many as `kind` has."""
    return f"{kind.rpartition(' x ')[0]} x {other}>" if kind.startswith("<") else other


def is_float(kind: str) -> bool:
    return element(kind) in ("float", "double")


def suffix(kind: str) -> str:
    """The name of a type in the names of functions: "<16 x float>" is "v16f32"."""
    name = {"float": "f32", "double": "f64", "ptr": "p0"}.get(element(kind), element(kind))
    return f"v{kind[1:].partition(' ')[0]}{name}" if kind.startswith("<") else name


def _operator(floats: str, integers: str) -> Callable[["Value", Any], "Value"]:
    return lambda value, other: value.apply(floats, integers, other)


def _comparison(name: str) -> Callable[["Value", Any], "Value"]:
    return lambda value, other: value.compare(name, other)


class Value:
    """A value of a function. Operators add an instruction; plain numbers become constants of the same type."""

    __slots__ = ("function", "kind", "text")

    def __init__(self, function: "Function", kind: str, text: str) -> None:
        self.function, self.kind, self.text = function, kind, text

    def apply(self, floats: str, integers: str, other: Any) -> "Value":
        other = self.function.constant(self.kind, other)
        name = floats if is_float(self.kind) else integers
        return self.function.value(self.kind, f"{name} {self.kind} {self.text}, {other.text}")

    def compare(self, name: str, other: Any) -> "Value":
        """lt, le, gt, ge and eq are false where either side is NaN, ne is true."""
        other = self.function.constant(self.kind, other)
        if is_float(self.kind):
            text = f"fcmp {'u' if name == 'ne' else 'o'}{name}"
        else:
            text = f"icmp {name if name in ('eq', 'ne') or name.startswith('u') else 's' + name}"
        return self.function.value(like(self.kind, "i1"), f"{text} {self.kind} {self.text}, {other.text}")

    __add__ = __radd__ = _operator("fadd", "add")
    __sub__ = _operator("fsub", "sub")
    __mul__ = __rmul__ = _operator("fmul", "mul")
    __truediv__ = _operator("fdiv", "sdiv")
    __mod__ = _operator("frem", "srem")
    __and__ = _operator("", "and")
    __or__ = _operator("", "or")
    __xor__ = _operator("", "xor")
    __lshift__ = _operator("", "shl")
    __rshift__ = _operator("", "ashr")
    unsigned_shift = _operator("", "lshr")
    __lt__ = _comparison("lt")
    __le__ = _comparison("le")
    __gt__ = _comparison("gt")
    __ge__ = _comparison("ge")
    equals = _comparison("eq")
    differs = _comparison("ne")

    def __rsub__(self, other: Any) -> "Value":
        return self.function.constant(self.kind, other) - self

    def __rtruediv__(self, other: Any) -> "Value":
        return self.function.constant(self.kind, other) / self

    def __neg__(self) -> "Value":
        return self.function.value(self.kind, f"fneg {self.kind} {self.text}") if is_float(self.kind) else 0 - self

    def __invert__(self) -> "Value":
        return self ^ (1 if element(self.kind) == "i1" else -1)

    def convert(self, name: str, kind: str) -> "Value":
        """An instruction that converts the elements, or "bitcast"."""
        kind = like(self.kind, kind)
        return self.function.value(kind, f"{name} {self.kind} {self.text} to {kind}")


def select(condition: Value, a: Value, b: Any) -> Value:
    b = a.function.constant(a.kind, b)
    text = f"select {condition.kind} {condition.text}, {a.kind} {a.text}, {b.kind} {b.text}"
    return a.function.value(a.kind, text)


def fma(a: Value, b: Any, c: Any) -> Value:
    """a·b + c, rounded once. Without such an instruction float32 goes through float64, and float64 is rounded twice."""
    function, kind = a.function, a.kind
    b, c = function.constant(kind, b), function.constant(kind, c)
    if function.module.target.fused:
        return function.intrinsic("fma", a, b, c)
    if element(kind) == "double":
        return a * b + c
    a, b, c = (each.convert("fpext", "double") for each in (a, b, c))
    return (a * b + c).convert("fptrunc", "float")


def at_most(a: Value, b: Value | int) -> Value:
    """The smaller of two integers."""
    return select(a < b, a, b)
