"""Checks of the `torch.autograd.Function`s in a traced step.

The backward passes of PyTorch are linear in the gradient of the result. A function of a user may return anything. A
compiled scan computes gradients for each element and sums them afterwards where a tensor broadcasts, and it counts a
missing gradient as zero, so it needs more than a graph of the operations:

- If a backward pass is not linear, the function must not be applied to parameters alone: clipping the gradients of the
  elements and clipping their sum are not the same.
- A gradient of zero must lead to gradients of zero.
"""

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

from bionets.scan.graph import Node, NonlinearBackwardError
from bionets.scan.surrogate import ChosenDerivative
from bionets.scan.trace.recorder import Recorder
from bionets.scan.trace.tensor_queries import TensorQueries

OF_NUMBERS: dict[str, Callable[..., float]] = {
    "neg": operator.neg,
    "abs": abs,
    "sign": lambda a: math.copysign(float(a != 0), a),
    "add": operator.add,
    "sub": operator.sub,
    "maximum": max,
    "minimum": min,
    "and": lambda a, b: bool(a) and bool(b),
    "or": lambda a, b: bool(a) or bool(b),
    "xor": operator.ne,
    "not": operator.not_,
    **{op: getattr(operator, op) for op in ("lt", "le", "gt", "ge", "eq", "ne")},
}
ZERO_AT_ZERO = {"sqrt", "round", "floor", "ceil", "trunc", "expm1", "log1p", "sin", "tan", "asin", "atan", "sinh"}
ZERO_AT_ZERO |= {"tanh", "asinh", "atanh", "erf", "cast"}


def nodes_behind(*starts: Any, gradients: bool = False) -> Iterator[Any]:
    """The nodes of the autograd graph that these nodes lead to, themselves included. With `gradients`, those to which
    `with_derivative` returns no gradient are left out."""
    pending, seen = list(starts), set[Any]()
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        following = [each for each, _ in node.next_functions]
        pending += following[1:2] if gradients and _chooses_derivative(node) else following


def _chooses_derivative(node: Any) -> bool:
    return isinstance(node, BackwardCFunction) and _class_of(node) is ChosenDerivative


def _class_of(node: Any) -> Any:
    return type(node)._forward_cls  # private: there is no public name for it


def leaves_behind(*starts: Any, gradients: bool = False) -> Iterator[Tensor]:
    """The leaves whose gradients these nodes of the autograd graph may contribute to; gradients: see `nodes_behind`."""
    for node in nodes_behind(*starts, gradients=gradients):
        variable = getattr(node, "variable", None)  # of the node that accumulates the gradient of a leaf
        if variable is not None:
            yield variable


class Functions:
    """The functions between the arguments and the results of a step, without those of `with_derivative`."""

    def __init__(self, results: Sequence[Tensor], recorder: Recorder, queries: TensorQueries) -> None:
        found = nodes_behind(*(leaf.grad_fn for leaf in results))
        self.nodes: list[Any] = [
            each for each in found if isinstance(each, BackwardCFunction) and not _chooses_derivative(each)
        ]
        self._recorder, self._queries = recorder, queries
        of_functions = [leaf for leaf in recorder.alive if leaf.grad_fn in self.nodes] if self.nodes else []
        self._shapes = {(leaf.grad_fn, leaf.output_nr): queries.shape_of(leaf) for leaf in of_functions}
        self._before: dict[Any, set[int]] = {}
        self._after: dict[Any, set[int]] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> "Functions":
        for node in self.nodes:
            self._handles += [
                node.register_prehook(lambda gradients, node=node: self._begin(node, gradients)),
                node.register_hook(lambda found, _, node=node: self._note(self._after, node, found)),
            ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _begin(self, node: Any, gradients: Sequence[Tensor | None]) -> None:
        """Make the gradients that a backward pass receives report the shapes of the results of the function."""
        self._note(self._before, node, gradients)
        with torch._C.DisableTorchFunction():
            for number, gradient in enumerate(gradients):
                if gradient is not None and (node, number) in self._shapes:
                    self._queries.set_shape(gradient, self._shapes[node, number])

    def _note(self, values: dict[Any, set[int]], node: Any, gradients: Sequence[Tensor | None]) -> None:
        with torch._C.DisableTorchFunction():  # reads by the recorder are not reads by the step
            values[node] = {int(self._recorder.value_of(leaf)) for leaf in gradients if leaf is not None}

    def are_linear(self, may_broadcast: Callable[[Tensor], bool]) -> bool:
        """Whether all backward passes are linear in the gradient. Raises UnsupportedStepError if one cannot be computed
        element by element; `may_broadcast` says whether an argument of the step may have fewer elements than the state.
        """
        known, linear = self._recorder.builder.nodes, True
        for node, before in self._before.items():
            for after in self._after.get(node, ()):
                if is_linear(known, before, after):
                    continue
                if value_at_zero(known, before, after) != 0:
                    raise NonlinearBackwardError(f"{_name(node)} may return a gradient for a gradient of zero")
                linear = False
                if all(map(may_broadcast, leaves_behind(node))):
                    raise NonlinearBackwardError(
                        f"{_name(node)} is not linear in the gradient, which is a sum over the batch for parameters "
                        "and inputs that broadcast; apply it outside of the step"
                    )
        return linear


def is_linear(nodes: Sequence[Node], variables: set[int], result: int) -> bool:
    """Whether a node of a graph is a linear function of these nodes."""
    depending, linear = set(variables), set(variables)

    def scales(*inputs: int) -> bool:
        """Whether all of these values are linear; zero is."""
        return all(number in linear or nodes[number].is_zero for number in inputs)

    def fixed(*inputs: int) -> bool:
        return depending.isdisjoint(inputs)

    for number in range(min(variables, default=result) + 1, result + 1):
        node = nodes[number]
        if number in variables or fixed(*node.inputs):
            continue
        depending.add(number)
        match node.op, node.inputs:
            case "neg" | "cast", (a,):
                keeps = "float" in node.kind and scales(a)
            case "add" | "sub", (a, b):
                keeps = scales(a, b)
            case "mul", (a, b):
                keeps = (scales(a) and fixed(b)) or (scales(b) and fixed(a))
            case "div", (a, b):
                keeps = scales(a) and fixed(b)
            case "fma", (a, b, c):
                keeps = scales(c) and ((scales(a) and fixed(b)) or (scales(b) and fixed(a)))
            case "where", (condition, a, b):
                keeps = fixed(condition) and scales(a, b)
            case _:
                keeps = False
        if keeps:
            linear.add(number)
    return scales(result)


def value_at_zero(nodes: Sequence[Node], variables: set[int], result: int) -> float | None:
    """The value of a node of a graph if these nodes are zero; None if it depends on others, or is not known."""
    values: dict[int, float | None] = dict.fromkeys(variables, 0.0)
    for number in range(result + 1):
        if number not in values:
            values[number] = _value(nodes[number], values)
    return values[result]


def _value(node: Node, values: Mapping[int, float | None]) -> float | None:
    if node.op == "constant":
        return node.value
    given = [values[number] for number in node.inputs]
    match node.op, given:
        case "mul", (a, b) if a == 0 or b == 0:
            return 0.0
        case "div", (a, b) if a == 0 and b != 0:
            return 0.0
        case "fma", (a, b, c) if a == 0 or b == 0:
            return c
        case "where", (condition, a, b):
            return (a if condition else b) if condition is not None else a if a == b else None
        case op, (a,) if op in ZERO_AT_ZERO and a == 0:
            return 0.0
    if None in given or node.op not in OF_NUMBERS:
        return None
    return float(OF_NUMBERS[node.op](*given))


def _name(node: Any) -> str:
    code = getattr(getattr(_class_of(node), "backward", None), "__code__", None)
    place = f" ({Path(code.co_filename).name}, line {code.co_firstlineno})" if code else ""
    return f"the backward pass of {_class_of(node).__name__}{place}"
