"""Run a stage of a step on two numbers, watch every operation of it and of its derivative, write down the graph."""

import contextlib
import linecache
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from bionets.scan.graph import Graph, GraphBuilder, Value
from bionets.scan.lowering import IGNORED, LOWERINGS, SHAPE_ONLY
from bionets.scan.tree import Structure, count_leaves, flatten, unflatten

EXAMPLE = 2  # elements in a traced tensor: more than one, so that a step which branches on a value fails


class UnsupportedStepError(NotImplementedError):
    """The step does something that cannot be compiled; the message names the operation and its line."""


@dataclass(frozen=True)
class Stage:
    """One traced stage: its graph (forward and backward together; see `graph`), and how many tensors go in and out."""

    graph: Graph
    blocks: int  # G, the tensors of `recurrent`; 0 without a weight
    state_in: int
    state_out: int
    outputs: int  # tensors of y


def trace_stage(
    stage: Callable[..., Any],
    x_tree: Structure,
    blocks: int,
    state_tree: Structure,
    params_tree: Structure,
    dtype: torch.dtype,
) -> tuple[Stage, Structure | None, Structure]:
    """Trace `stage` and its vector-Jacobian product; also returns the structures of y (None: no y) and the new state.

    The tensors are all of one small shape, so that no broadcasting enters the graph; autograd supplies the derivative,
    and with it the chosen gradient of any surrogate function.
    """
    builder = GraphBuilder(torch.finfo(dtype).eps)
    watch = _Watch(builder, dtype)

    def inputs(role: str, count: int) -> list[Tensor]:
        return [watch.new_input(f"{role}{number}") for number in range(count)]

    with _plain_eager():
        x = inputs("x", count_leaves(x_tree))
        recurrent = inputs("recurrent", blocks)
        state = inputs("state", count_leaves(state_tree))
        params = inputs("params", count_leaves(params_tree))
        arguments = [unflatten(tree, leaves) for leaves, tree in ((x, x_tree), (state, state_tree))]
        if blocks:
            arguments.insert(1, recurrent[0] if blocks == 1 else tuple(recurrent))
        with watch:
            y, new_state = stage(*arguments, unflatten(params_tree, params))
        y_leaves, y_tree = ([], None) if y is None else flatten(y, "y")
        state_leaves, new_state_tree = flatten(new_state, "the new state")
        results = {f"y{i}": leaf for i, leaf in enumerate(y_leaves)}
        results |= {f"new_state{i}": leaf for i, leaf in enumerate(state_leaves)}
        outputs = {name: watch.float_of(leaf) for name, leaf in results.items()}

        gradients = {name: watch.new_input(f"grad_{name}") for name in results}
        differentiable = [name for name, leaf in results.items() if leaf.requires_grad]
        sources = [*x, *recurrent, *state, *params]
        names = [f"grad_{builder.nodes[watch.number_of(leaf)].name}" for leaf in sources]
        found: tuple[Tensor | None, ...] = (None,) * len(sources)
        if differentiable:
            # a scalar whose gradient with respect to each result is its grad_ input (grad_outputs would import sympy)
            total = torch.zeros((), dtype=dtype)
            for name in differentiable:
                total = total + (results[name] * gradients[name]).sum()
            with watch:
                found = torch.autograd.grad(total, sources, allow_unused=True)
        for name, gradient in zip(names, found, strict=True):
            outputs[name] = builder.constant(0.0) if gradient is None else watch.float_of(gradient)
    graph = builder.finish(outputs)
    return Stage(graph, blocks, len(state), len(state_leaves), len(y_leaves)), y_tree, new_state_tree


@contextlib.contextmanager
def _plain_eager() -> Iterator[None]:
    """Gradients on, autocast and all surrounding modes off, whatever the caller is doing."""
    with (
        _disable_current_modes(),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast("cpu", enabled=False),
        torch.device("cpu"),
    ):
        yield


class _Watch(TorchDispatchMode):
    """Executes each operation and adds it to the graph. A tensor is known by the address of its memory."""

    def __init__(self, builder: GraphBuilder, dtype: torch.dtype) -> None:
        super().__init__()
        self.builder = builder
        self.dtype = dtype
        self.values: dict[int, Value] = {}
        self.inputs: set[int] = set()
        self.alive: list[Tensor] = []  # so that no address is used twice

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise the first trace imports the whole of torch.compile

    def new_input(self, name: str) -> Tensor:
        tensor = torch.full((EXAMPLE,), 0.5, dtype=self.dtype, requires_grad=not name.startswith("grad_"))
        self.values[tensor.data_ptr()] = Value(self.builder.input(name))
        self.inputs.add(tensor.data_ptr())
        self.alive.append(tensor)
        return tensor

    def number_of(self, tensor: Tensor) -> Value:
        number = self.values.get(tensor.data_ptr())
        if number is None:
            what = f"the step uses a tensor from outside, {list(tensor.shape)}"
            raise UnsupportedStepError(f"{what}; hand it in through params{_at(self.builder)}")
        return number

    def float_of(self, tensor: Tensor) -> Value:
        if tensor.numel() not in (1, EXAMPLE):
            raise UnsupportedStepError(f"the step is not elementwise: it made {EXAMPLE} elements into {tensor.numel()}")
        number = self.number_of(tensor)
        return Value(self.builder("float", number)) if self.builder.is_bool(number) else number

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        self.builder.source = _source_line(sys._getframe(1))
        mutates = func._schema.is_mutable
        if mutates and args[0].data_ptr() in self.inputs:
            raise UnsupportedStepError(f"aten.{name} changes an input of the step in place{_at(self.builder)}")
        if name.startswith("lift_fresh") and args[0].numel() == 1:  # torch.tensor(0.5), written in the step
            self.values[args[0].data_ptr()] = self.builder.constant(float(args[0]))
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
        if lowering is not None:
            try:
                value = lowering(self.builder, *numbers, **kwargs)
            except (TypeError, KeyError, ValueError):
                raise UnsupportedStepError(f"{func} is not supported in a step{_at(self.builder)}") from None
            self.values[result.data_ptr()] = Value(value)
        if isinstance(result, Tensor):
            self.alive.append(result)
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
    while frame is not None and frame.f_code is not trace_stage.__code__:
        path = frame.f_code.co_filename
        if not path.startswith(_OWN):
            text = linecache.getline(path, frame.f_lineno).strip()
            return f"{Path(path).name}, line {frame.f_lineno}" + (f": {text}" if text else "")
        frame = frame.f_back
    return "in the derivative of the step"
