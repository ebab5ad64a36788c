"""Traces a stage of a step: runs it on tensors of two elements and records its operations and their derivative."""

import gc
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bionets.scan.arguments import broadcast
from bionets.scan.builder import GraphBuilder, Value
from bionets.scan.eager import plain_eager
from bionets.scan.graph import Graph, UnsupportedStepError
from bionets.scan.trace.functions import Functions, leaves_behind
from bionets.scan.trace.recorder import Recorder
from bionets.scan.trace.source_lines import IN_DERIVATIVE, errors_name_the_line, name_of, source_line
from bionets.scan.trace.tensor_queries import CallShapes, Shape, TensorQueries
from bionets.scan.tree import Structure, count_leaves, flatten, unflatten

EXAMPLE = 2  # elements of a traced tensor: more than one, so that a step that branches on a value fails
SECOND_EXAMPLE = 3  # the same in the second run


@dataclass(frozen=True)
class Stage:
    """One traced stage: its graph (forward and backward together; see `graph`), and its numbers of tensors."""

    graph: Graph
    blocks: int  # G, the tensors of `recurrent`; 0 without a weight
    state_in: int
    state_out: int
    outputs: int  # tensors of y
    connected: Mapping[str, frozenset[str]] = field(default_factory=dict)  # the inputs that autograd reaches from each
    sources: Mapping[str, frozenset[str]] = field(default_factory=dict)  # those of them that get a gradient
    linear: bool = True  # whether the backward passes of all functions of the user are linear in the gradient


@dataclass(frozen=True)
class Signature:
    """The properties of a call on which its program depends, in addition to the step and the shapes."""

    blocks: tuple[int, ...]  # G of the weight of each stage
    x_tree: Structure
    state_tree: Structure
    params_tree: Structure
    dtype: torch.dtype


@dataclass(frozen=True)
class Traced:
    """A traced stage with the structures of its results, and the shapes of the new state.

    reads_shapes: whether the step has read a shape or a device, so that the stage is valid only for these.
    """

    stage: Stage
    y_tree: Structure | None  # None: no y
    state_tree: Structure
    reads_shapes: bool
    state_shapes: tuple[Shape, ...]


def trace_stage(stage: Callable[..., Any], blocks: int, signature: Signature, shapes: CallShapes | None) -> Traced:
    """Trace `stage` and its vector-Jacobian product, given G of its weight, the signature with the structure of the
    state before it, and the shapes of its arguments (None under torch.compile).

    All tensors have the same small shape, so that the graph contains no broadcasting. Autograd computes the derivative,
    including the chosen gradients of surrogate functions. A second run, without gradients and with another number of
    elements, must give the same graph. It gives a different graph if the step counts its calls, draws random numbers or
    reads the clock.
    """
    with plain_eager():
        run = _Run(stage, blocks, signature, shapes, EXAMPLE)
        graph = run.differentiate()
        connected, sources = run.connected(), run.sources_of_gradients()
        with torch.no_grad():
            second = _Run(stage, blocks, signature, shapes, SECOND_EXAMPLE)
        forward = second.builder.finish(second.outputs)
    line = _difference(graph.select(run.outputs), forward.select(second.outputs))
    if line is not None:
        raise UnsupportedStepError(
            f"{name_of(stage)} computes something else when it runs again; random numbers, counters and settings "
            f"belong into x or params{line}"
        )
    line = second.line_of_kept_tensor()
    if line is not None:
        raise UnsupportedStepError(f"{name_of(stage)} keeps a tensor; return it as a part of y{line}")
    count = len(run.state_shapes)
    outputs = len(run.outputs) - count
    traced = Stage(graph, blocks, run.state_in, count, outputs, connected, sources, run.linear)
    reads_shapes = run.queries.read_shapes or second.queries.read_shapes
    return Traced(traced, run.y_tree, run.state_tree, reads_shapes, run.state_shapes)


class _Run:
    """One recorded run of a stage, which gives the forward part of its graph."""

    def __init__(
        self,
        stage: Callable[..., Any],
        blocks: int,
        signature: Signature,
        shapes: CallShapes | None,
        example: int,
    ) -> None:
        self.step, self.blocks, self.dtype, self.shapes = stage, blocks, signature.dtype, shapes
        self.builder = GraphBuilder(self.dtype)
        self.recorder = recorder = Recorder(self.builder, self.dtype, example)
        self.queries = TensorQueries(
            shapes, recorder.knows, recorder.inputs, lambda: f" ({source_line(sys._getframe(1))})", example
        )

        y, new_state = self._call(self._arguments(signature))
        y_leaves, self.y_tree = ([], None) if y is None else flatten(y, f"y of {name_of(stage)}")
        state_leaves, self.state_tree = flatten(new_state, f"the new state of {name_of(stage)}")
        self.state_shapes = tuple(map(self.queries.shape_of, state_leaves))
        self.results = {f"y{i}": leaf for i, leaf in enumerate(y_leaves)}
        self.results |= {f"new_state{i}": leaf for i, leaf in enumerate(state_leaves)}
        self.functions, self.linear = Functions(list(self.results.values()), recorder, self.queries), True
        self.outputs = {name: recorder.float_of(leaf) for name, leaf in self.results.items()}
        for name, leaf in self.results.items():
            shape = self.queries.shape_of(leaf)
            if shapes and broadcast([shape, shapes.full], "the results of the step") != shapes.full:
                of = f"{name} of {name_of(stage)}"
                raise UnsupportedStepError(f"{of} has shape {list(shape)}, not {list(shapes.full)}")

    def _arguments(self, signature: Signature) -> list[Any]:
        """The arguments of the stage, made of traced tensors, which are kept as ``sources``."""
        shapes, blocks, count = self.shapes, self.blocks, count_leaves(signature.params_tree)
        x = self._new_inputs("x", shapes.x if shapes else None, count_leaves(signature.x_tree))
        recurrent = self._new_inputs("recurrent", (shapes.full,) * blocks if shapes else None, blocks)
        state = self._new_inputs("state", shapes.state if shapes else None, count_leaves(signature.state_tree))
        params = self._new_inputs("params", shapes.params if shapes else ((),) * count, count)  # perhaps scalars
        self.state_in, self.sources = len(state), [*x, *recurrent, *state, *params]
        nodes, value_of = self.builder.nodes, self.recorder.value_of
        self.name_of_source = {id(leaf): nodes[value_of(leaf)].name for leaf in self.sources}
        products = [recurrent[0] if blocks == 1 else tuple(recurrent)] if blocks else []
        trees = (unflatten(signature.x_tree, x), unflatten(signature.state_tree, state))
        return [trees[0], *products, trees[1], unflatten(signature.params_tree, params)]

    def _new_inputs(self, role: str, shapes: Sequence[Shape] | None, count: int) -> list[Tensor]:
        leaves = [self.recorder.new_input(f"{role}{number}") for number in range(count)]
        for number, leaf in enumerate(leaves):
            self.queries.set_shape(leaf, (self.recorder.example,) if shapes is None else shapes[number])
        return leaves

    def _call(self, arguments: Sequence[Any]) -> tuple[Any, Any]:
        """Run the stage, and return y and the new state."""
        try:
            with self.recorder, self.queries, errors_name_the_line():
                self.recorder.expects = lambda: self.queries.running
                found = self.step(*arguments)
                self.queries.raise_caught_error()
        except (IndexError, RuntimeError, ValueError) as error:  # of a dimension that the traced tensors lack
            of_the_step = isinstance(error, ValueError) and error is not self.queries.error
            if of_the_step or isinstance(error, UnsupportedStepError):
                raise
            raise _failure("the step fails on single elements", error) from error
        self.recorder.expects = lambda: True  # autograd calls operations by itself
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise TypeError(f"{name_of(self.step)} must return y and the new state, got {type(found).__name__}")
        return found[0], found[1]

    def line_of_kept_tensor(self) -> str | None:
        """The line that computed a tensor to which the step still refers, or None. Without the scan, it would have the
        values of the last time step. The tensors of this run are freed.
        """
        recorder, nodes = self.recorder, self.builder.nodes
        made = [(weakref.ref(leaf), recorder.values.get(leaf.data_ptr())) for leaf in recorder.alive]
        for tensors in (recorder.alive, self.queries.alive, self.sources, self.results, self.functions.nodes):
            tensors.clear()
        if any(leaf() is not None for leaf, _ in made):
            gc.collect()  # of functions that call themselves
        kept = [nodes[value].source for leaf, value in made if leaf() is not None and value is not None]
        return next((f" ({source})" if source else "" for source in reversed(kept)), None)

    def connected(self, gradients: bool = False) -> dict[str, frozenset[str]]:
        """The names of the arguments that the autograd graph reaches from each result."""
        names, found = self.name_of_source, {}
        for name, leaf in self.results.items():
            reached = [leaf, *leaves_behind(leaf.grad_fn, gradients=gradients)]  # a result may be an argument itself
            found[name] = frozenset(names[id(each)] for each in reached if id(each) in names)
        return found

    def sources_of_gradients(self) -> dict[str, frozenset[str]]:
        """The names of the arguments that a gradient of each result reaches."""
        if not self.functions.nodes:
            return self.connected(gradients=True)
        found = dict.fromkeys(self.results, frozenset[str]())
        differentiable = {name: leaf for name, leaf in self.results.items() if leaf.requires_grad}
        for name, leaf in differentiable.items():  # a function of the user may return None, which ends a path
            others = ((each * float(other == name)).sum() for other, each in differentiable.items())
            with self.functions:
                gradients = self._backward((leaf * 1.0).sum())
                with_zeros = self._backward(sum(others, torch.zeros((), dtype=self.dtype)))
            if not all(map(_equal, gradients, with_zeros)):
                raise UnsupportedStepError(
                    "a backward pass in the step returns other gradients for a gradient that is None, see "
                    "set_materialize_grads, than for a gradient of zero"
                )
            pairs = zip(self.name_of_source.values(), gradients, strict=True)
            found[name] = frozenset(source for source, gradient in pairs if gradient is not None)
        return found

    def differentiate(self) -> Graph:
        """The complete graph, with the derivative computed by autograd."""
        builder, recorder, results = self.builder, self.recorder, self.results
        outputs = dict(self.outputs)
        gradients = {name: recorder.new_input(f"grad_{name}") for name in results}
        differentiable = [name for name, leaf in results.items() if leaf.requires_grad]
        names = [f"grad_{name}" for name in self.name_of_source.values()]
        found: list[Value | None] = [None] * len(self.sources)
        if differentiable:
            # a scalar whose gradient with respect to each result is its grad_ input (grad_outputs would import sympy)
            total = torch.zeros((), dtype=self.dtype)
            for name in differentiable:
                total = total + (results[name] * gradients[name]).sum()
            with self.functions:
                found = self._values(self._backward(total))
                again = self._values(self._backward(total)) if self.functions.nodes else found
            if list(map(_number, again)) != list(map(_number, found)):
                raise UnsupportedStepError(
                    "the derivative of the step computes something else when it runs again; random numbers, counters "
                    "and settings belong into x or params"
                )
            self.linear = self.functions.are_linear(self._may_broadcast)
            if not self.linear:  # whether they are refused depends on the shapes
                self.queries.read_shapes = True
        for name, gradient in zip(names, found, strict=True):
            outputs[name] = builder.undefined() if gradient is None else gradient
        return builder.finish(outputs)

    def _backward(self, total: Tensor) -> Sequence[Tensor | None]:
        """The gradients of the arguments."""
        try:
            with self.recorder, self.queries, errors_name_the_line():
                # private: torch.autograd.grad is a torch function, and suspends the mode `queries` while it runs
                found = torch.autograd.graph._engine_run_backward(
                    (total,),
                    (torch.ones_like(total),),
                    bool(self.functions.nodes),
                    False,
                    tuple(self.sources),
                    allow_unreachable=True,
                    accumulate_grad=False,
                )
                self.queries.raise_caught_error()
                return found
        except (IndexError, RuntimeError) as error:
            if isinstance(error, UnsupportedStepError):
                named = str(error).replace(IN_DERIVATIVE, f"in the derivative of {name_of(self.step)}")
                raise type(error)(named) from None
            why = (
                "has no derivative" if "derivative" in str(error) else "has a derivative that fails on single elements"
            )
            raise _failure(f"{name_of(self.step)} {why}", error) from None

    def _values(self, gradients: Sequence[Tensor | None]) -> list[Value | None]:
        return [None if gradient is None else self.recorder.float_of(gradient) for gradient in gradients]

    def _may_broadcast(self, source: Tensor) -> bool:
        """Whether an argument may have fewer elements than the state."""
        if self.shapes is None:
            return self.name_of_source[id(source)].startswith("params")
        return self.queries.shape_of(source) != self.shapes.full


def _number(value: Value | None) -> int | None:
    return None if value is None else int(value)


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether two gradients are equal; None is zero, and values that are not finite are not compared."""
    one, other = (torch.zeros(()) if each is None else each for each in (one, other))
    close = torch.isclose(one.double(), other.double())
    return bool((close | ~(one.isfinite() & other.isfinite())).all())


def _failure(message: str, error: Exception) -> UnsupportedStepError:
    """The error of a step that fails while it is traced."""
    line = f" ({error.__notes__[-1]})" if hasattr(error, "__notes__") else ""
    reason = str(error).partition("\n")[0]
    return UnsupportedStepError(f"{message}: {reason}{line}")


def _difference(one: Graph, other: Graph) -> str | None:
    """The line at which two graphs first differ, or None."""
    for a, b in zip(one.nodes, other.nodes, strict=False):
        if str(Graph((a,), {})) != str(Graph((b,), {})):
            return f" ({source})" if (source := a.source or b.source) else ""
    return None if str(one) == str(other) else ""
