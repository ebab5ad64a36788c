"""LLVM IR as text: values with operators, functions with loops, modules.

Types are LLVM's own names, "<16 x float>" or "i64"; addresses are of type "ptr", distances are in bytes.
"""

import contextlib
import struct
from collections.abc import Callable, Iterator
from typing import Any

from bionets.scan.cpu.target import Target

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


class Module:
    """The functions of a module; those that compute on vectors are made once for each type that is used."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.functions: dict[str, Function] = {}
        self.declarations: dict[str, None] = {}

    def function(self, name: str, arguments: dict[str, str], private: bool = False) -> "Function":
        """A new function without a result; a private one is called within the module alone."""
        self.functions[name] = function = Function(self, name, arguments, "void", "noinline" if private else "")
        return function

    def inlined(self, name: str, arguments: dict[str, str], result: str, body: Callable[..., Value | None]) -> None:
        """Define a function once; the body gets its arguments as values, and returns the result."""
        if name not in self.functions:
            function = Function(self, name, arguments, result, "alwaysinline")
            function.finish(body(*function.arguments))
            self.functions[name] = function

    def __str__(self) -> str:
        texts = [str(function) for function in self.functions.values()]
        return "\n".join([f'target triple = "{self.target.triple}"', "", *self.declarations, "", *texts])


class Function:
    """`attribute`: "" for a function that is called from outside, "alwaysinline" or "noinline" for another."""

    def __init__(self, module: Module, name: str, arguments: dict[str, str], result: str, attribute: str) -> None:
        self.module, self.name, self.result, self.attribute = module, name, result, attribute
        self.arguments = [Value(self, kind, f"%{argument}") for argument, kind in arguments.items()]
        self.first_lines: list[str] = []  # memory on the stack
        self.lines: list[str] = []
        self.label, self.count = "start", 0

    def __str__(self) -> str:
        arguments = ", ".join(f"{argument.kind} {argument.text}" for argument in self.arguments)
        head = f"define {'internal ' if self.attribute else ''}{self.result} @{self.name}({arguments})"
        return "\n".join([f"{head} nounwind {self.attribute} {{", "start:", *self.first_lines, *self.lines, "}", ""])

    # instructions

    def emit(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def value(self, kind: str, text: str) -> Value:
        self.count += 1
        self.emit(f"%v{self.count} = {text}")
        return Value(self, kind, f"%v{self.count}")

    def constant(self, kind: str, number: Any) -> Value:
        """A number as a value; a value is itself."""
        if isinstance(number, Value):
            return number
        inner = element(kind)
        if is_float(inner):
            number = float(number)
            if inner == "float":
                with contextlib.suppress(OverflowError):
                    number = struct.unpack("f", struct.pack("f", number))[0]
                if abs(number) > 3.5e38:
                    number = float("inf") if number > 0 else float("-inf")
            text = f"0x{struct.pack('>d', number).hex().upper()}"
        else:
            text = str(bool(number)).lower() if inner == "i1" else str(int(number))
        return Value(self, kind, f"splat ({inner} {text})" if kind.startswith("<") else text)

    def call(self, name: str, result: str, *arguments: Value) -> Value:
        text = f"call {result} @{name}({', '.join(f'{each.kind} {each.text}' for each in arguments)})"
        if result != "void":
            return self.value(result, text)
        self.emit(text)
        return Value(self, "void", "")

    def outside(self, name: str, result: str, *arguments: Value) -> Value:
        """Call a function that the module does not define."""
        kinds = ", ".join(argument.kind for argument in arguments)
        self.module.declarations[f"declare {result} @{name}({kinds})"] = None
        return self.call(name, result, *arguments)

    def intrinsic(self, name: str, *arguments: Value) -> Value:
        """One of LLVM's own functions on numbers, `llvm.fma`."""
        kind = arguments[0].kind
        return self.outside(f"llvm.{name}.{suffix(kind)}", kind, *arguments)

    # memory

    def index(self, number: int) -> Value:
        return self.constant(INDEX, number)

    def at(self, address: Value, distance: Value | int) -> Value:
        return self.value("ptr", f"getelementptr i8, ptr {address.text}, i64 {self.constant(INDEX, distance).text}")

    def load(self, kind: str, address: Value) -> Value:
        return self.value(kind, f"load {kind}, ptr {address.text}, align {SIZES.get(element(kind), 8)}")

    def store(self, value: Value, address: Value) -> None:
        align = SIZES.get(element(value.kind), 8)
        self.emit(f"store {value.kind} {value.text}, ptr {address.text}, align {align}")

    def stack(self, kind: str) -> Value:
        """Memory for one value until the function ends; as a rule a register."""
        self.count += 1
        self.first_lines.append(f"  %m{self.count} = alloca {kind}, align 64")
        return Value(self, "ptr", f"%m{self.count}")

    def broadcast(self, value: Value, kind: str) -> Value:
        first = self.value(kind, f"insertelement {kind} poison, {value.kind} {value.text}, i64 0")
        mask = like(kind, "i32")
        return self.value(kind, f"shufflevector {kind} {first.text}, {kind} poison, {mask} zeroinitializer")

    def load_part(self, kind: str, address: Value, left: Value) -> Value:
        """A vector of which only `left` elements are there, if they are fewer; the others are 0."""
        name = f"load.{suffix(kind)}"
        self.module.inlined(name, {"address": "ptr", "left": INDEX}, kind, lambda a, n: _load_part(kind, a, n))
        return self.call(name, kind, address, left)

    def store_part(self, value: Value, address: Value, left: Value) -> None:
        name = f"store.{suffix(value.kind)}"
        arguments = {"value": value.kind, "address": "ptr", "left": INDEX}
        self.module.inlined(name, arguments, "void", _store_part)
        self.call(name, "void", value, address, left)

    def prefetch(self, address: Value) -> None:
        zero, high, data = (self.constant("i32", number) for number in (0, 3, 1))
        self.outside("llvm.prefetch.p0", "void", address, zero, high, data)

    # control

    def begin(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.label = label

    def new_labels(self, *names: str) -> list[str]:
        self.count += 1
        return [f"{name}{self.count}" for name in names]

    @contextlib.contextmanager
    def loop(self, start: Value | int, stop: Value | int, step: Value | int = 1) -> Iterator[Value]:
        """For each index from `start` to before `stop`."""
        start, stop, step = (self.constant(INDEX, number) for number in (start, stop, step))
        head, body, following, end = self.new_labels("loop", "body", "next", "end")
        index = Value(self, INDEX, f"%{head}.index")
        before = self.label
        self.emit(f"br label %{head}")
        self.begin(head)
        self.emit(f"{index.text} = phi i64 [ {start.text}, %{before} ], [ {index.text}.next, %{following} ]")
        goes_on = index < stop
        self.emit(f"br i1 {goes_on.text}, label %{body}, label %{end}")
        self.begin(body)
        yield index
        self.emit(f"br label %{following}")
        self.begin(following)
        self.emit(f"{index.text}.next = add i64 {index.text}, {step.text}")
        self.emit(f"br label %{head}")
        self.begin(end)

    @contextlib.contextmanager
    def repeat(self) -> Iterator[Callable[[Value], None]]:
        """Again and again, until the condition is true that the given function is called with."""
        head, end = self.new_labels("loop", "end")

        def stop(condition: Value) -> None:
            (goes_on,) = self.new_labels("body")
            self.emit(f"br i1 {condition.text}, label %{end}, label %{goes_on}")
            self.begin(goes_on)

        self.emit(f"br label %{head}")
        self.begin(head)
        yield stop
        self.emit(f"br label %{head}")
        self.begin(end)

    @contextlib.contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        yes, end = self.new_labels("when", "end")
        self.emit(f"br i1 {condition.text}, label %{yes}, label %{end}")
        self.begin(yes)
        yield
        self.emit(f"br label %{end}")
        self.begin(end)

    def either(self, condition: Value, yes: Callable[[], Value], no: Callable[[], Value]) -> Value:
        """One of two values, of which only the wanted one is computed."""
        names = self.new_labels("yes", "no", "end")
        self.emit(f"br i1 {condition.text}, label %{names[0]}, label %{names[1]}")
        found = []
        for name, compute in zip(names, (yes, no), strict=False):
            self.begin(name)
            value = compute()
            found.append((value, self.label))
            self.emit(f"br label %{names[2]}")
        self.begin(names[2])
        kind = found[0][0].kind
        return self.value(kind, f"phi {kind} " + ", ".join(f"[ {value.text}, %{label} ]" for value, label in found))

    def finish(self, result: Value | None = None) -> None:
        self.emit("ret void" if result is None or result.kind == "void" else f"ret {result.kind} {result.text}")


def _mask(kind: str, left: Value) -> Value:
    """The mask of the elements of a vector that lie within the row."""
    function, numbers = left.function, like(kind, "i32")
    count = int(kind[1:].partition(" ")[0])
    few = select(left < count, left, count).convert("trunc", "i32")
    order = Value(function, numbers, f"<{', '.join(f'i32 {number}' for number in range(count))}>")
    return order < function.broadcast(few, numbers)


def _load_part(kind: str, address: Value, left: Value) -> Value:
    function = address.function
    lanes = int(kind[1:].partition(" ")[0])

    def part() -> Value:
        mask, align = _mask(kind, left), function.constant("i32", SIZES[element(kind)])
        zero = function.constant(kind, 0)
        return function.outside(f"llvm.masked.load.{suffix(kind)}.p0", kind, address, align, mask, zero)

    if function.module.target.masked_loads:
        return part()
    return function.either(left >= lanes, lambda: function.load(kind, address), part)


def _store_part(value: Value, address: Value, left: Value) -> None:
    function, kind = value.function, value.kind
    lanes = int(kind[1:].partition(" ")[0])

    def part() -> None:
        mask, align = _mask(kind, left), function.constant("i32", SIZES[element(kind)])
        function.outside(f"llvm.masked.store.{suffix(kind)}.p0", "void", value, address, align, mask)

    if function.module.target.masked_stores:
        part()
        return
    whole = left >= lanes
    with function.when(whole):
        function.store(value, address)
    with function.when(~whole):
        part()
