"""A graph as LLVM instructions on vectors of elements."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

from bionets.scan.cpu import math
from bionets.scan.cpu.ir import Function
from bionets.scan.cpu.values import Value, element, fma, is_float, like, select
from bionets.scan.graph import Graph, Node
from bionets.scan.operations import OPERATIONS

TYPES = {"bool": "i1", "uint8": "i8", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64"}
TYPES |= {"float32": "float", "float64": "double"}

Fused = Mapping[int | str, int]


def evaluate(
    function: Function, vector: str, graph: Graph, fused: Fused, read: Callable[[str], Value]
) -> dict[int, Value]:
    """Add the instructions of all nodes, and return the value of each node. Products `fused` into a sum have none.

    Args:
        vector: the type of floats of the program.
        fused: as `products_in_sums` gives it.
        read: loads the input of a name.
    """
    values, products = dict[int, Value](), set(fused.values())
    for number, node in enumerate(graph.nodes):
        function.emit(f"; node {number}: {node.op} {node.name or ' '.join(map(str, node.inputs))}")
        if node.op == "input":
            values[number] = read(node.name)
        elif node.op == "constant":
            values[number] = function.constant(_type(node.kind, vector), node.value)
        elif number in fused:
            values[number] = _multiply_add(graph, number, fused[number], values)
        elif number not in products:
            inputs = [values[i] for i in node.inputs]
            of = graph.nodes[node.inputs[-1]].kind
            values[number] = _cast(inputs[0], of, node.kind, vector) if node.op == "cast" else _apply(node, of, inputs)
    return values


def products_in_sums(graph: Graph, added: Collection[str]) -> dict[int | str, int]:
    """Products that are read only by one sum, by the number of the sum, or by the name of an output that is `added` to
    its place. Each pair of product and sum is one instruction.

    Only gradients use fused instructions. Forward values are rounded as in eager torch, so that the same values cross
    a threshold.
    """
    readers = Counter(i for node in graph.nodes for i in node.inputs) + Counter(graph.outputs.values())
    of_gradient, fused = set[int](), dict[int | str, int]()

    def product(number: int) -> bool:
        node = graph.nodes[number]
        return node.op == "mul" and node.kind == "float" and number in of_gradient and readers[number] == 1

    for number, node in enumerate(graph.nodes):
        if node.name.startswith("grad_") or not of_gradient.isdisjoint(node.inputs):
            of_gradient.add(number)
        if node.op in ("add", "sub"):
            for i in filter(product, node.inputs):
                fused[number] = i
    return fused | {output: graph.outputs[output] for output in added if product(graph.outputs[output])}


def _type(kind: str, vector: str) -> str:
    return vector if kind == "float" else like(vector, TYPES[kind])


def _multiply_add(graph: Graph, number: int, product: int, values: Mapping[int, Value]) -> Value:
    """A sum or difference with a product as one of its terms."""
    first, second = graph.nodes[number].inputs
    a, b = (values[i] for i in graph.nodes[product].inputs)
    other = values[second if first == product else first]
    if graph.nodes[number].op == "sub":
        if first == product:
            other = -other
        else:
            a = -a
    return fma(a, b, other)


def _apply(node: Node, kind: str, inputs: list[Value]) -> Value:
    first, last, unsigned = inputs[0], inputs[-1], kind == "uint8"
    operation = OPERATIONS[node.op]
    text = operation.floats if is_float(last.kind) else operation.integers
    if text.startswith("@"):
        return math.call(text[1:], *inputs)
    if text.startswith("llvm."):
        return last.function.intrinsic(text.removeprefix("llvm."), *inputs)
    match node.op:
        case "eq" | "ne":
            return first.compare(node.op, last)
        case "lt" | "le" | "gt" | "ge":
            return first.compare(f"u{node.op}" if unsigned else node.op, last)
        case "where":
            return select(*inputs)
        case "fma":
            return fma(*inputs)
        case "not":
            return ~last
        case "neg":
            return -last
        case "abs":
            return last if unsigned else select(last < 0, -last, last)
        case "sign":
            return _sign(last, unsigned)
        case "maximum" | "minimum":
            name = "gt" if node.op == "maximum" else "lt"
            chosen = select(first.compare(f"u{name}" if unsigned else name, last), first, last)
            return select(first.differs(first), first, chosen) if is_float(first.kind) else chosen  # NaN if either is
    return first.apply(text, text, last)


def _sign(a: Value, unsigned: bool) -> Value:
    one, zero = a.function.constant(a.kind, 1), a.function.constant(a.kind, 0)
    if unsigned:
        return select(a.differs(0), one, zero)
    return select(a > 0, one, select(a < 0, -one, zero))


def _cast(value: Value, kind: str, to: str, vector: str) -> Value:
    source, target = element(value.kind), element(_type(to, vector))
    if source == target:
        return value  # int8 and uint8
    if is_float(source):
        if is_float(target):
            return value.convert("fpext" if target == "double" else "fptrunc", target)
        whole = _to_integer(value, "i64" if to in ("uint8", "int64") else "i32")  # as in eager torch
        return whole if element(whole.kind) == target else whole.convert("trunc", target)  # which wraps around
    unsigned = kind in ("bool", "uint8")
    if is_float(target):
        return value.convert("uitofp" if unsigned else "sitofp", target)
    bits: Any = [int(each[1:]) for each in (source, target)]
    return value.convert("trunc" if bits[0] > bits[1] else "zext" if unsigned else "sext", target)


def _to_integer(value: Value, target: str) -> Value:
    """Round towards zero. A value that no integer can hold becomes what it becomes in eager torch on this processor: on
    x86 the smallest integer, on ARM the nearest integer, and 0 for NaN."""
    limit = 2.0 ** (int(target[1:]) - 1)
    fits = (value >= -limit) & (value < limit)
    whole = select(fits, value.convert("fptosi", target), -int(limit))
    if value.function.module.target.architecture != "aarch64":
        return whole
    return select(value.equals(value), select(value < limit, whole, int(limit) - 1), 0)
