"""LLVM IR as text: functions with loops, and modules of functions."""

import contextlib
import ctypes
import struct
from collections.abc import Callable, Iterator
from typing import Any

from bionets.scan.cpu import masked
from bionets.scan.cpu.target import Target
from bionets.scan.cpu.values import INDEX, SIZES, Value, element, is_float, like, suffix


class Module:
    """The functions of a module; functions on vectors are defined once for each type that is used."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.functions: dict[str, Function] = {}
        self.declarations: dict[str, None] = {}

    def function(self, name: str, arguments: dict[str, str], private: bool = False) -> "Function":
        """A new function without a result; a private function is called only within the module."""
        self.functions[name] = function = Function(self, name, arguments, "void", "noinline" if private else "")
        return function

    def inlined(self, name: str, arguments: dict[str, str], result: str, body: Callable[..., Value | None]) -> None:
        """Define a function once; the body receives the arguments as values and returns the result."""
        if name not in self.functions:
            function = Function(self, name, arguments, result, "alwaysinline")
            function.finish(body(*function.arguments))
            self.functions[name] = function

    def __str__(self) -> str:
        texts = [str(function) for function in self.functions.values()]
        return "\n".join([f'target triple = "{self.target.triple}"', "", *self.declarations, "", *texts])


class Function:
    """`attribute`: "" for a function that is called from outside; otherwise "alwaysinline" or "noinline"."""

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
        """Convert a number to a value; a value is returned unchanged."""
        if isinstance(number, Value):
            return number
        inner = element(kind)
        if is_float(inner):
            number = float(number) if inner == "double" else ctypes.c_float(number).value
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

    def call_external(self, name: str, result: str, *arguments: Value) -> Value:
        """Call a function that the module does not define."""
        kinds = ", ".join(argument.kind for argument in arguments)
        self.module.declarations[f"declare {result} @{name}({kinds})"] = None
        return self.call(name, result, *arguments)

    def intrinsic(self, name: str, *arguments: Value) -> Value:
        """An intrinsic function of LLVM on numbers, such as `llvm.fma`."""
        kind = arguments[0].kind
        return self.call_external(f"llvm.{name}.{suffix(kind)}", kind, *arguments)

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
        """Memory for one value until the function ends, usually a register."""
        self.count += 1
        self.first_lines.append(f"  %m{self.count} = alloca {kind}, align 64")
        return Value(self, "ptr", f"%m{self.count}")

    def broadcast(self, value: Value, kind: str) -> Value:
        first = self.value(kind, f"insertelement {kind} poison, {value.kind} {value.text}, i64 0")
        mask = like(kind, "i32")
        return self.value(kind, f"shufflevector {kind} {first.text}, {kind} poison, {mask} zeroinitializer")

    def load_part(self, kind: str, address: Value, left: Value) -> Value:
        """A vector of which at most `left` elements exist; the others are 0."""
        name = f"load.{suffix(kind)}"
        self.module.inlined(name, {"address": "ptr", "left": INDEX}, kind, lambda a, n: masked.load_part(kind, a, n))
        return self.call(name, kind, address, left)

    def store_part(self, value: Value, address: Value, left: Value) -> None:
        name = f"store.{suffix(value.kind)}"
        arguments = {"value": value.kind, "address": "ptr", "left": INDEX}
        self.module.inlined(name, arguments, "void", masked.store_part)
        self.call(name, "void", value, address, left)

    def prefetch(self, address: Value) -> None:
        zero, high, data = (self.constant("i32", number) for number in (0, 3, 1))
        self.call_external("llvm.prefetch.p0", "void", address, zero, high, data)

    # control

    def begin(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.label = label

    def new_labels(self, *names: str) -> list[str]:
        self.count += 1
        return [f"{name}{self.count}" for name in names]

    @contextlib.contextmanager
    def loop(self, start: Value | int, stop: Value | int, step: Value | int = 1) -> Iterator[Value]:
        """A loop over each index from `start` to `stop`, exclusive."""
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
    def loop_until(self) -> Iterator[Callable[[Value], None]]:
        """A loop that ends when the condition passed to the given function is true."""
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
    def if_true(self, condition: Value) -> Iterator[None]:
        yes, end = self.new_labels("when", "end")
        self.emit(f"br i1 {condition.text}, label %{yes}, label %{end}")
        self.begin(yes)
        yield
        self.emit(f"br label %{end}")
        self.begin(end)

    def if_else(self, condition: Value, yes: Callable[[], Value], no: Callable[[], Value]) -> Value:
        """One of two values; only the selected value is computed."""
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
