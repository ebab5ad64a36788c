"""Run a stage of a step on two numbers, watch every operation of it and of its derivative, write down the graph."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from bionets.scan.arguments import broadcast
from bionets.scan.graph import Graph, GraphBuilder, UnsupportedStepError
from bionets.scan.trace.recorder import Recorder
from bionets.scan.trace.source_lines import errors_name_the_line, name_of, source_line
from bionets.scan.trace.tensor_queries import Questions, Shape, Surroundings
from bionets.scan.tree import Structure, count_leaves, flatten, unflatten

EXAMPLE = 2  # elements in a traced tensor: more than one, so that a step which branches on a value fails
AGAIN = 3  # the same in the second run


@dataclass(frozen=True)
class Stage:
    """One traced stage: its graph (forward and backward together; see `graph`), and how many tensors go in and out."""

    graph: Graph
    blocks: int  # G, the tensors of `recurrent`; 0 without a weight
    state_in: int
    state_out: int
    outputs: int  # tensors of y


@dataclass(frozen=True)
class Traced:
    """A traced stage with the structures of its results.

    asked: whether the step has read a shape or a device, so that the stage holds for those alone. shapes: those of the
    new state.
    """

    stage: Stage
    y_tree: Structure | None  # None: no y
    state_tree: Structure
    asked: bool
    shapes: tuple[Shape, ...]


def trace_stage(
    stage: Callable[..., Any],
    x_tree: Structure,
    blocks: int,
    state_tree: Structure,
    params_tree: Structure,
    dtype: torch.dtype,
    surroundings: Surroundings | None,
) -> Traced:
    """Trace `stage` and its vector-Jacobian product.

    The tensors are all of one small shape, so that no broadcasting enters the graph; autograd supplies the derivative,
    and with it the chosen gradient of any surrogate function. A second run, without gradients and with another number
    of elements, must give the same graph: it does not where a step counts its calls, draws random numbers or reads the
    clock.
    """
    given = (x_tree, blocks, state_tree, params_tree, dtype, surroundings)
    with _plain_eager():
        run = _Run(stage, *given, EXAMPLE)
        graph = run.differentiate()
        with torch.no_grad():
            again = _Run(stage, *given, AGAIN)
        forward = again.builder.finish(again.outputs)
    line = difference(graph.select(run.outputs), forward.select(again.outputs))
    if line is not None:
        raise UnsupportedStepError(
            f"{name_of(stage)} computes something else when it runs again; random numbers, counters and settings "
            f"belong into x or params{line}"
        )
    one = Stage(graph, blocks, run.state_in, len(run.shapes), len(run.outputs) - len(run.shapes))
    return Traced(one, run.y_tree, run.state_tree, run.questions.asked or again.questions.asked, run.shapes)


class _Run:
    """A stage, run once under observation: the forward part of its graph."""

    def __init__(
        self,
        stage: Callable[..., Any],
        x_tree: Structure,
        blocks: int,
        state_tree: Structure,
        params_tree: Structure,
        dtype: torch.dtype,
        surroundings: Surroundings | None,
        example: int,
    ) -> None:
        self.dtype = dtype
        self.builder = GraphBuilder(dtype)
        self.watch = watch = Recorder(self.builder, dtype, example)
        self.questions = Questions(
            surroundings, watch.knows, watch.inputs, lambda: f" ({source_line(sys._getframe(1))})", example
        )

        def inputs(role: str, shapes: Sequence[Shape] | None, count: int) -> list[Tensor]:
            leaves = [watch.new_input(f"{role}{number}") for number in range(count)]
            for number, leaf in enumerate(leaves):
                self.questions.set_shape(leaf, (example,) if shapes is None else shapes[number])
            return leaves

        around = surroundings
        x = inputs("x", around.x if around else None, count_leaves(x_tree))
        recurrent = inputs("recurrent", (around.full,) * blocks if around else None, blocks)
        state = inputs("state", around.state if around else None, count_leaves(state_tree))
        params = inputs("params", around.params if around else None, count_leaves(params_tree))
        self.state_in, self.sources = len(state), [*x, *recurrent, *state, *params]
        arguments = [unflatten(tree, leaves) for leaves, tree in ((x, x_tree), (state, state_tree))]
        if blocks:
            arguments.insert(1, recurrent[0] if blocks == 1 else tuple(recurrent))
        try:
            with watch, self.questions, errors_name_the_line():
                found = stage(*arguments, unflatten(params_tree, params))
        except IndexError as error:  # a dimension that the tensors of the call have, and those of the trace lack
            raise UnsupportedStepError(f"the step does not work on single elements: {error}") from error
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise TypeError(f"{name_of(stage)} must return y and the new state, got {type(found).__name__}")
        y, new_state = found
        y_leaves, self.y_tree = ([], None) if y is None else flatten(y, f"y of {name_of(stage)}")
        state_leaves, self.state_tree = flatten(new_state, f"the new state of {name_of(stage)}")
        self.shapes = tuple(map(self.questions.shape_of, state_leaves))
        self.results = {f"y{i}": leaf for i, leaf in enumerate(y_leaves)}
        self.results |= {f"new_state{i}": leaf for i, leaf in enumerate(state_leaves)}
        self.outputs = {name: watch.float_of(leaf) for name, leaf in self.results.items()}
        for name, leaf in self.results.items():
            shape = self.questions.shape_of(leaf)
            if around and broadcast([shape, around.full], "the results of the step") != around.full:
                raise UnsupportedStepError(f"{name} of the step has shape {list(shape)}, not {list(around.full)}")

    def differentiate(self) -> Graph:
        """The whole graph, with the derivative that autograd finds."""
        builder, watch, results = self.builder, self.watch, self.results
        outputs = dict(self.outputs)
        gradients = {name: watch.new_input(f"grad_{name}") for name in results}
        differentiable = [name for name, leaf in results.items() if leaf.requires_grad]
        names = [f"grad_{builder.nodes[watch.number_of(leaf)].name}" for leaf in self.sources]
        found: tuple[Tensor | None, ...] = (None,) * len(self.sources)
        if differentiable:
            # a scalar whose gradient with respect to each result is its grad_ input (grad_outputs would import sympy)
            total = torch.zeros((), dtype=self.dtype)
            for name in differentiable:
                total = total + (results[name] * gradients[name]).sum()
            try:
                with watch, self.questions, errors_name_the_line():
                    found = torch.autograd.grad(total, self.sources, allow_unused=True)
            except RuntimeError as error:
                if "derivative" not in str(error) or isinstance(error, UnsupportedStepError):
                    raise
                raise UnsupportedStepError(f"the step has no derivative: {error}") from None
        for name, gradient in zip(names, found, strict=True):
            outputs[name] = builder.constant(0.0) if gradient is None else watch.float_of(gradient)
        return builder.finish(outputs)


def difference(one: Graph, other: Graph) -> str | None:
    """The line where two graphs begin to differ, or None."""
    for a, b in zip(one.nodes, other.nodes, strict=False):
        if str(Graph((a,), {})) != str(Graph((b,), {})):
            return f" ({a.source or b.source})"
    return None if str(one) == str(other) else ""


@contextlib.contextmanager
def _plain_eager() -> Iterator[None]:
    """Gradients on, autocast and all surrounding modes off, whatever the caller is doing."""
    with (
        _disable_current_modes(),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autograd.set_detect_anomaly(False),  # the examples of the trace may well give NaN
        torch.autocast("cpu", enabled=False),
        torch.device("cpu"),
    ):
        yield
