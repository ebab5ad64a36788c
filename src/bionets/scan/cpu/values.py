"""The values of a function in LLVM IR, with operators that add instructions.

Types are LLVM's own names, "<16 x float>" or "i64"; addresses are of type "ptr", distances are in bytes.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bionets.scan.cpu.ir import Function

SIZES = {"float": 4, "double": 8, "i1": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8}
INDEX = "i64"


def element(kind: str) -> str:
    """The type of the elements of a vector type; of any other, itself."""
    return kind.rpartition(" x ")[2].removesuffix(">")


def like(kind: str, other: str) -> str:
    """The type with elements of type `other`, as many as `kind` has."""
    return f"{kind.rpartition(' x ')[0]} x {other}>" if kind.startswith("<") else other


def is_float(kind: str) -> bool:
    return element(kind) in ("float", "double")


def suffix(kind: str) -> str:
    """The name of a type in those of functions: "<16 x float>" is "v16f32"."""
    name = {"float": "f32", "double": "f64", "ptr": "p0"}.get(element(kind), element(kind))
    return f"v{kind[1:].partition(' ')[0]}{name}" if kind.startswith("<") else name


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

    def __add__(self, other: Any) -> "Value":
        return self.apply("fadd", "add", other)

    def __sub__(self, other: Any) -> "Value":
        return self.apply("fsub", "sub", other)

    def __mul__(self, other: Any) -> "Value":
        return self.apply("fmul", "mul", other)

    def __truediv__(self, other: Any) -> "Value":
        return self.apply("fdiv", "sdiv", other)

    def __mod__(self, other: Any) -> "Value":
        return self.apply("frem", "srem", other)

    def __rsub__(self, other: Any) -> "Value":
        return self.function.constant(self.kind, other) - self

    def __rtruediv__(self, other: Any) -> "Value":
        return self.function.constant(self.kind, other) / self

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> "Value":
        if is_float(self.kind):
            return self.function.value(self.kind, f"fneg {self.kind} {self.text}")
        return 0 - self

    def __and__(self, other: Any) -> "Value":
        return self.apply("", "and", other)

    def __or__(self, other: Any) -> "Value":
        return self.apply("", "or", other)

    def __xor__(self, other: Any) -> "Value":
        return self.apply("", "xor", other)

    def __invert__(self) -> "Value":
        return self ^ (1 if element(self.kind) == "i1" else -1)

    def __lshift__(self, other: Any) -> "Value":
        return self.apply("", "shl", other)

    def __rshift__(self, other: Any) -> "Value":
        return self.apply("", "ashr", other)

    def unsigned_shift(self, other: Any) -> "Value":
        return self.apply("", "lshr", other)

    def __lt__(self, other: Any) -> "Value":
        return self.compare("lt", other)

    def __le__(self, other: Any) -> "Value":
        return self.compare("le", other)

    def __gt__(self, other: Any) -> "Value":
        return self.compare("gt", other)

    def __ge__(self, other: Any) -> "Value":
        return self.compare("ge", other)

    def equals(self, other: Any) -> "Value":
        return self.compare("eq", other)

    def differs(self, other: Any) -> "Value":
        return self.compare("ne", other)

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
