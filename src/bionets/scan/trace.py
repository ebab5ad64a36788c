"""Run a stage of a step on two numbers, watch every operation of it and of its derivative, write down the graph."""

import contextlib
import functools
import inspect
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from bionets.scan.arguments import broadcast
from bionets.scan.graph import Graph, GraphBuilder, Value
from bionets.scan.lowering import IGNORED, LOWERINGS, SHAPE_ONLY
from bionets.scan.questions import Questions, Shape, Surroundings, UnsupportedStepError
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
        self.watch = watch = _Watch(self.builder, dtype, example)
        self.questions = Questions(
            surroundings, watch.knows, watch.inputs, lambda: f" ({_source_line(sys._getframe(1))})", example
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
            with watch, self.questions, _naming_the_line():
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
                with watch, self.questions, _naming_the_line():
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


def name_of(step: Any) -> str:
    """The name of a step and where it stands, for errors."""
    function = inspect.unwrap(step)
    while isinstance(function, functools.partial):
        function = function.func
    if not hasattr(function, "__qualname__"):
        function = function.forward if isinstance(function, nn.Module) else type(function).__call__
    code = getattr(function, "__code__", None)  # of methods too
    return f"the step {function.__qualname__}" + (
        f" ({Path(code.co_filename).name}, line {code.co_firstlineno})" if code else ""
    )


@contextlib.contextmanager
def _naming_the_line() -> Iterator[None]:
    """Tell with an error the line of the step that it comes from."""
    try:
        yield
    except UnsupportedStepError:
        raise
    except Exception as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        lines = [line for line in map(_line, frames) if line]
        if lines:
            error.add_note(f"while scan traced the step: {lines[-1]}")
        raise


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


class _Watch(TorchDispatchMode):
    """Executes each operation and adds it to the graph. A tensor is known by the address of its memory."""

    def __init__(self, builder: GraphBuilder, dtype: torch.dtype, example: int) -> None:
        super().__init__()
        self.example = example
        self.builder = builder
        self.dtype = dtype
        self.values: dict[int, Value] = {}
        self.inputs: set[int] = set()
        self.alive: list[Tensor] = []  # so that no address is used twice

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise the first trace imports the whole of torch.compile

    def new_input(self, name: str) -> Tensor:
        differentiable = torch.is_grad_enabled() and not name.startswith("grad_")
        tensor = torch.full((self.example,), 0.5, dtype=self.dtype, requires_grad=differentiable)
        self.values[tensor.data_ptr()] = Value(self.builder.input(name))
        self.inputs.add(tensor.data_ptr())
        self.alive.append(tensor)
        return tensor

    def knows(self, tensor: Tensor) -> bool:
        """Whether a tensor comes from the arguments of the step."""
        return tensor.data_ptr() in self.values

    def number_of(self, tensor: Tensor) -> Value:
        number = self.values.get(tensor.data_ptr())
        if number is None:
            what = f"the step uses a tensor from outside, {list(tensor.shape)}"
            raise UnsupportedStepError(f"{what}; hand it in through params{_at(self.builder)}")
        return number

    def float_of(self, tensor: Tensor) -> Value:
        if tensor.numel() not in (1, self.example):
            made = f"it made {self.example} elements into {tensor.numel()}"
            raise UnsupportedStepError(f"the step is not elementwise: {made}")
        return self.builder.cast(self.number_of(tensor), "float")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunction():  # what is asked here is not asked by the step
            return self._add(func, args, kwargs or {})

    def _add(self, func: Any, args: Any, kwargs: Any) -> Any:
        name = func.overloadpacket.__name__
        self.builder.source = _source_line(sys._getframe(1))
        mutates = func._schema.is_mutable
        if mutates and args[0].data_ptr() in self.inputs:
            raise UnsupportedStepError(f"aten.{name} changes an input of the step in place{_at(self.builder)}")
        if name.startswith("lift_fresh") and args[0].numel() == 1:  # torch.tensor(0.5), written in the step
            self.values[args[0].data_ptr()] = self.builder.constant(args[0].item(), self.builder.kind_of(args[0].dtype))
        if name == "_local_scalar_dense" and not self.knows(args[0]):  # float() of a tensor from outside: a constant
            return func(*args)
        lowering = LOWERINGS.get(name.removesuffix("_") if mutates else name)
        if lowering is None and name not in IGNORED:
            decomposed = self._decompose(func, args, kwargs)
            if decomposed is None:
                raise UnsupportedStepError(f"aten.{name} is not supported in a step{_at(self.builder)}")
            return decomposed
        numbers: list[Any] = []
        if lowering is not None:
            numbers = [
                self.number_of(arg) if isinstance(arg, Tensor) and name not in SHAPE_ONLY else arg for arg in args
            ]
            kwargs = {key: self.number_of(arg) if isinstance(arg, Tensor) else arg for key, arg in kwargs.items()}
        original = {key: arg for key, arg in kwargs.items() if not isinstance(arg, Value)}
        result = func(*args, **original)
        if name in IGNORED and isinstance(result, Tensor) and result.dtype != args[0].dtype:
            raise UnsupportedStepError(f"{func} is not supported in a step{_at(self.builder)}")
        if lowering is not None:
            results = result if isinstance(result, tuple) else (result,)
            try:
                self.builder.describe(args, results[0])
                found = lowering(self.builder, *numbers, **kwargs)
            except (TypeError, KeyError, ValueError, OverflowError):
                raise UnsupportedStepError(f"{func} is not supported in a step{_at(self.builder)}") from None
            for each, value in zip(results, found if isinstance(found, tuple) else (found,), strict=True):
                self.values[each.data_ptr()] = Value(value)
        self.alive += [
            each for each in (result if isinstance(result, tuple) else (result,)) if isinstance(each, Tensor)
        ]
        return result

    def _decompose(self, func: Any, args: Any, kwargs: Any) -> Any:
        from torch._decomp import decomposition_table  # heavy, and rarely needed

        if func not in decomposition_table:
            return None
        try:
            with self:
                return decomposition_table[func](*args, **kwargs)
        except UnsupportedStepError:
            return None


def _at(builder: GraphBuilder) -> str:
    return f" ({builder.source})" if builder.source else ""


_OWN = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


def _source_line(frame: FrameType | None) -> str:
    """The innermost line outside of torch and this package, or "" in the backward pass."""
    while frame is not None and frame.f_code not in (_Run.__init__.__code__, _Run.differentiate.__code__):
        line = _line(frame)
        if line:
            return line
        frame = frame.f_back
    return "in the derivative of the step"


def _line(frame: FrameType) -> str:
    """The line of a frame outside of torch and this package."""
    path = frame.f_code.co_filename
    if path.startswith(_OWN):
        return ""
    text = linecache.getline(path, frame.f_lineno).strip()
    return f"{Path(path).name}, line {frame.f_lineno}" + (f": {text}" if text else "")
