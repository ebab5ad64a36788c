"""A program: all stages of a step, traced. Found again for the same step, so that a step is traced once per process."""

import functools
import hashlib
import types
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

from bionets.scan.arguments import Arguments
from bionets.scan.trace import Stage, trace_stage


@dataclass(frozen=True)
class Program:
    """What a backend is given. One time step runs the stages in order:

        for k, stage: state = stage_k(x, first(state) @ weight_k.T, state, params);  y from the last stage

    `key` names the program in every process alike: equal for equal graphs and dtype.
    """

    key: str
    stages: tuple[Stage, ...]
    dtype: torch.dtype  # float32 or float64, in which everything is computed
    x: int  # tensors of x, params, state, y
    params: int
    state: int
    y: int
    y_tree: pytree.TreeSpec
    y_of_state: tuple[int | None, ...]  # for each state the number of a y that is the very same value, or None


_programs_by_step: dict[Hashable, Program] = {}
_programs_by_key: dict[str, Program] = {}


def program_of(key: str) -> Program:
    """The program that `find_program` has registered under this key."""
    return _programs_by_key[key]


def find_program(stages: tuple[Callable[..., Any], ...], arguments: Arguments) -> Program:
    """The traced program of these stages. Raises UnsupportedStepError where one cannot be traced."""
    width = arguments.shape[0] if arguments.weights else 1
    blocks = tuple(len(weight.split(width)) for weight in arguments.weights) or (0,)
    trees = (arguments.x_tree, arguments.state_tree, arguments.params_tree)
    return _find_program(stages, blocks, trees, arguments.carry_dtype)


def _find_program(
    stages: tuple[Callable[..., Any], ...],
    blocks: tuple[int, ...],
    trees: tuple[pytree.TreeSpec, ...],
    dtype: torch.dtype,
) -> Program:
    identity = (tuple(map(identify, stages)), blocks, tuple(map(str, trees)), dtype)
    program = _programs_by_step.get(identity)
    if program is None:
        program = _trace_program(stages, blocks, trees, dtype)
        program = _programs_by_key.setdefault(program.key, program)
        _programs_by_step[identity] = program
    return program


# torch.compiler.assume_constant_result, without importing torch.compile
_find_program._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _trace_program(
    stages: tuple[Callable[..., Any], ...],
    blocks: tuple[int, ...],
    trees: tuple[pytree.TreeSpec, ...],
    dtype: torch.dtype,
) -> Program:
    x_tree, initial_tree, params_tree = trees
    traced, state_tree, y_tree = [], initial_tree, None
    for number, (stage, count) in enumerate(zip(stages, blocks, strict=True), 1):
        one, y_tree, state_tree = trace_stage(stage, x_tree, count, state_tree, params_tree, dtype)
        if y_tree is not None and number < len(stages):
            raise ValueError(
                f"stage {number} of {len(stages)} returned a y; only the last one may, the others return None"
            )
        traced.append(one)
    if state_tree != initial_tree:
        raise ValueError(f"the step returned a state of another structure: {state_tree} instead of {initial_tree}")
    if y_tree is None:
        raise TypeError("the step returned None as y; it must be a tensor or a (named) tuple of tensors")
    text = "\n".join([str(dtype), str(y_tree), *(f"{stage.blocks}\n{stage.graph}" for stage in traced)])
    key = hashlib.sha256(text.encode()).hexdigest()[:24]
    counts = (x_tree.num_leaves, params_tree.num_leaves, initial_tree.num_leaves, y_tree.num_leaves)
    outputs = traced[-1].graph.outputs
    same = {outputs[f"y{i}"]: i for i in reversed(range(y_tree.num_leaves))}
    y_of_state = tuple(same.get(outputs[f"new_state{i}"]) for i in range(initial_tree.num_leaves))
    return Program(key, tuple(traced), dtype, *counts, y_tree, y_of_state)


def identify(value: Any) -> Hashable:
    """Equal for functions that compute the same: their code, defaults, closures, and the globals they name.

    So a step made anew at each call is traced once, and one redefined under the same name is traced again.
    """
    return _identify(value, ())


def _identify(value: Any, seen: tuple[Any, ...]) -> Hashable:
    if isinstance(value, types.FunctionType):
        if (value.__module__ and value.__module__.partition(".")[0] == "torch") or value in seen:
            return id(value)
        seen = (*seen, value)
        cells = tuple(_identify(cell.cell_contents, seen) for cell in value.__closure__ or ())
        named = (value.__globals__[name] for name in value.__code__.co_names if name in value.__globals__)
        globals_ = tuple(_identify(each, seen) for each in named)
        defaults = (value.__defaults__, tuple(sorted((value.__kwdefaults__ or {}).items())))
        return (value.__code__, _identify(defaults, seen), cells, globals_)
    if isinstance(value, types.MethodType):
        return (_identify(value.__func__, seen), _identify(value.__self__, seen))
    if isinstance(value, functools.partial):
        parts = (value.func, value.args, tuple(sorted(value.keywords.items())))
        return tuple(_identify(part, seen) for part in parts)
    if isinstance(value, tuple):
        return (type(value), *(_identify(part, seen) for part in value))
    if isinstance(value, (int, float, str, bytes, bool, type(None), torch.dtype)):
        return (type(value), value)
    return _ById(value)


class _ById:
    """Any other object: itself alone, kept alive so that its address is not used again."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other.value is self.value
