"""A program: all stages of a step, traced. Found again for the same step, so that a step is traced once per process."""

import functools
import hashlib
import itertools
import types
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch

from bionets.scan.arguments import Arguments
from bionets.scan.trace import Stage, trace_stage
from bionets.scan.tree import Structure, count_leaves


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
    y_tree: Structure
    y_of_state: tuple[int | None, ...]  # for each state the number of a y that is the very same value, or None


_programs_by_step: dict[Hashable, Program] = {}
_programs_by_key: dict[str, Program] = {}


def program_of(key: str) -> Program:
    """The program that `find_program` has registered under this key."""
    return _programs_by_key[key]


def find_program(stages: tuple[Callable[..., Any], ...], arguments: Arguments) -> Program:
    """The traced program of these stages. Raises UnsupportedStepError where one cannot be traced."""
    trees = (arguments.x_tree, arguments.state_tree, arguments.params_tree)
    return _find_program(stages, arguments.layout.blocks or (0,), trees, arguments.layout.carry_dtype)


def _find_program(
    stages: tuple[Callable[..., Any], ...],
    blocks: tuple[int, ...],
    trees: tuple[Structure, ...],
    dtype: torch.dtype,
) -> Program:
    identity = (tuple(map(identify, stages)), blocks, trees, dtype)
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
    trees: tuple[Structure, ...],
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
    x, params, state, y = map(count_leaves, (x_tree, params_tree, initial_tree, y_tree))
    outputs = traced[-1].graph.outputs
    same = {outputs[f"y{i}"]: i for i in reversed(range(y))}
    y_of_state = tuple(same.get(outputs[f"new_state{i}"]) for i in range(state))
    return Program(key, tuple(traced), dtype, x, params, state, y, y_tree, y_of_state)


def identify(step: Callable[..., Any]) -> int:
    """A number, equal for functions that compute the same: their code, defaults, closures, and the globals they name.

    So a step made anew at each call is traced once, and one redefined under the same name is traced again. To look all
    this up takes time; so for a step seen before it is only asked whether everything that was read is still there.
    """
    known = _identified.get(id(step))
    if known is not None and known.step is step and known.is_current():
        return known.number
    reading = _Identified(step)
    if len(_identified) >= REMEMBERED:
        _identified.clear()
    _identified[id(step)] = reading
    return reading.number


REMEMBERED = 256  # steps


class _Identified:
    """The identity of a step, with all that was read to find it."""

    def __init__(self, step: Callable[..., Any]) -> None:
        self.step = step
        self.attributes: list[tuple[Any, str, Any]] = []  # an owner, the attribute's name and value
        self.globals: list[tuple[dict[str, Any], str, Any]] = []
        self.number = _numbers.setdefault(self._identity(step, ()), next(_counter))

    def is_current(self) -> bool:
        return all(getattr(owner, name, None) is value for owner, name, value in self.attributes) and all(
            names.get(name) is value for names, name, value in self.globals
        )

    def _identity(self, value: Any, seen: tuple[Any, ...]) -> Hashable:
        if isinstance(value, types.FunctionType):
            if (value.__module__ and value.__module__.partition(".")[0] == "torch") or value in seen:
                return id(value)
            return self._identity_of_function(value, (*seen, value))
        if isinstance(value, types.MethodType):
            return (self._identity(value.__func__, seen), self._identity(value.__self__, seen))
        if isinstance(value, functools.partial):
            parts = (value.func, value.args, tuple(sorted(value.keywords.items())))
            return tuple(self._identity(part, seen) for part in parts)
        if isinstance(value, tuple):
            return (type(value), *(self._identity(part, seen) for part in value))
        if isinstance(value, (int, float, str, bytes, bool, type(None), torch.dtype)):
            return (type(value), value)
        return _ById(value)

    def _identity_of_function(self, function: types.FunctionType, seen: tuple[Any, ...]) -> Hashable:
        for name in ("__code__", "__defaults__", "__kwdefaults__"):
            self.attributes.append((function, name, getattr(function, name)))
        cells = function.__closure__ or ()
        self.attributes += [(cell, "cell_contents", cell.cell_contents) for cell in cells]
        names = [name for name in function.__code__.co_names if name in function.__globals__]
        self.globals += [
            (function.__globals__, name, function.__globals__.get(name)) for name in function.__code__.co_names
        ]
        defaults = (function.__defaults__, tuple(sorted((function.__kwdefaults__ or {}).items())))
        return (
            function.__code__,
            self._identity(defaults, seen),
            tuple(self._identity(cell.cell_contents, seen) for cell in cells),
            tuple(self._identity(function.__globals__[name], seen) for name in names),
        )


_identified: dict[int, _Identified] = {}  # by the address of the step
_numbers: dict[Hashable, int] = {}
_counter = itertools.count()


class _ById:
    """Any other object: itself alone, kept alive so that its address is not used again."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other.value is self.value
