"""The program of a step: its traced stages.

A step that provably reads no changing values is traced once (`identity`). Any other step is traced at every call, and
its program, with the compiled kernels, is found by its graph. A program is therefore always up to date.
"""

import hashlib
import weakref
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from types import MethodType
from typing import Any

import torch

from bionets.scan.arguments import Arguments
from bionets.scan.graph import Graph, UnsupportedStepError
from bionets.scan.last_used import LastUsed
from bionets.scan.program.constants import without_varying_constants
from bionets.scan.trace.identity import global_write, identify
from bionets.scan.trace.source_lines import name_of
from bionets.scan.trace.stage import Signature, Stage, trace_stage
from bionets.scan.trace.tensor_queries import CallShapes
from bionets.scan.tree import Structure, count_leaves, named_tuples

Stages = tuple[Callable[..., Any], ...]


@dataclass(frozen=True)
class Program:
    """The traced stages of a step. One time step runs them in order:

        for k, stage: state = stage_k(x, first(state) @ weight_k.T, state, params);  y from the last stage

    `key` depends only on the graphs, the dtype and the stages, and is the same in every process.
    """

    key: str
    stages: tuple[Stage, ...]
    dtype: torch.dtype  # float32 or float64, in which everything is computed
    x: int  # numbers of tensors of x, params, state, y
    params: int
    state: int
    y: int
    y_of_state: tuple[int | None, ...]  # for each state, the number of a y that is the same value, or None

    @property
    def weights(self) -> int:
        return sum(stage.blocks > 0 for stage in self.stages)

    @property
    def linear(self) -> bool:
        """Whether the backward passes of all stages are linear in the gradient."""
        return all(stage.linear for stage in self.stages)


@dataclass(frozen=True)
class BoundProgram:
    """A program as used by a step.

    y_tree: the structure of y. values: of the parameters that replace numbers of the step; they come after the others.
    """

    program: Program
    y_tree: Structure
    values: tuple[float, ...]


SHAPE_DEPENDENT = "shapes"  # the entry of a step that has read shapes or a device, and has one program for each of them

_bound: LastUsed[BoundProgram | str] = LastUsed(1024)  # by the identity of a step
_programs: "weakref.WeakValueDictionary[str, Program]" = weakref.WeakValueDictionary()  # by key
_recent: LastUsed[Program] = LastUsed(1024)  # keeps the programs of steps that are traced at every call
_compiled: "dict[str, _Compiled]" = {}  # by the key in the code of torch.compile
_numbers_of_compiled: dict[Hashable, int] = {}  # the numbers at the end of these keys


def program_of(key: str) -> Program:
    """The program registered under this key by `find_program`."""
    program = _compiled[key].bound.program if key in _compiled else _programs.get(key)
    if program is None:
        raise RuntimeError(f"there is no step {key}: code of torch.export with a scan runs only where it was made")
    return program


def with_graphs(program: Program, graphs: Sequence[Graph]) -> Program:
    """A copy of the program with these graphs, registered under a separate key."""
    stages = tuple(replace(stage, graph=graph) for stage, graph in zip(program.stages, graphs, strict=True))
    return register(replace(program, key=key_of(program.dtype, stages), stages=stages))


def register(program: Program) -> Program:
    """The program that `program_of` finds under this key from now on: this one, or an equal one."""
    return _programs.setdefault(program.key, program)


def key_of(dtype: torch.dtype, stages: Iterable[Stage]) -> str:
    stages = tuple(stages)
    sources = [
        sorted((name, *sorted(found)) for name, found in each.items())
        for stage in stages
        for each in (stage.connected, stage.sources)
    ]
    graphs = (f"{stage.blocks}\n{stage.graph}" for stage in stages)
    text = "\n".join([str(dtype), str(sources), *graphs])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def find_program(stages: Stages, arguments: Arguments) -> BoundProgram:
    """The traced program of these stages. Raises UnsupportedStepError if a stage cannot be traced."""
    trees = (arguments.x_tree, arguments.state_tree, arguments.params_tree)
    signature = (arguments.layout.blocks or (0,), *trees, arguments.layout.carry_dtype)
    if torch.compiler.is_compiling():
        found = _program_for_compiler(stages, *signature)
        if isinstance(found, str):
            raise UnsupportedStepError(found)
        return found
    return _find_program(stages, Signature(*signature), arguments)


# under torch.compile, which does not see the values that a step reads


@dataclass(frozen=True)
class _Compiled:
    """A step in the code of torch.compile."""

    bound: BoundProgram
    find: Callable[[], BoundProgram | None]  # the current program; None if the object of the step was deleted


def _program_for_compiler(stages: Stages, *signature: Any) -> BoundProgram | str:
    """The program under a separate key, or the reason why there is none; called while torch.compile runs."""
    found: BoundProgram | str = torch.compiler.disable(_register_compiled)(stages, Signature(*signature))
    return found


# torch.compiler.assume_constant_result, without importing torch.compile
_program_for_compiler._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _register_compiled(stages: Stages, signature: Signature) -> BoundProgram | str:
    try:
        bound = _find_program(stages, signature, None)
    except UnsupportedStepError as error:
        return str(error)
    # the object of a method is held by a weak reference
    references = tuple(weakref.WeakMethod(stage) if isinstance(stage, MethodType) else stage for stage in stages)

    def find() -> BoundProgram | None:
        now: Any = tuple(each() if isinstance(each, weakref.WeakMethod) else each for each in references)
        return None if None in now else _find_program(now, signature, None)

    number = _numbers_of_compiled.setdefault(
        (references, bound.program.key, bound.y_tree, bound.values), len(_compiled)
    )
    key = f"{bound.program.key}@{number}"
    _compiled[key] = _Compiled(bound, find)
    return replace(bound, program=replace(bound.program, key=key))


def check_compiled(key: str) -> None:
    """Raise RuntimeError if the step in the code of torch.compile has changed."""
    compiled = _compiled.get(key)
    now = compiled and compiled.find()
    if compiled and now and (now.program.key, now.values) != (compiled.bound.program.key, compiled.bound.values):
        raise RuntimeError(
            "the step of a scan reads something that has changed since torch.compile; hand it in through params, "
            "or call torch.compiler.reset()"
        )


# in eager PyTorch


def _find_program(stages: Stages, signature: Signature, arguments: Arguments | None) -> BoundProgram:
    trees = (signature.x_tree, signature.state_tree, signature.params_tree)
    steps = tuple(map(identify, (*stages, *named_tuples(trees))))  # methods of named tuples are part of the step
    if None in steps:
        return _trace_program(stages, signature, _shapes_of(arguments))[0]
    identity: Hashable = (steps, signature, torch.get_default_dtype())
    found = _bound.get(identity)
    if isinstance(found, BoundProgram):
        return found
    shapes = _shapes_of(arguments)
    if found is not None:
        found = _bound.get((identity, shapes))
        if isinstance(found, BoundProgram):
            return found
    bound, reads_shapes = _trace_program(stages, signature, shapes)
    if reads_shapes:
        _bound[identity], identity = SHAPE_DEPENDENT, (identity, shapes)
    _bound[identity] = bound
    return bound


def _shapes_of(arguments: Arguments | None) -> CallShapes | None:
    if arguments is None:
        return None
    leaves = [*arguments.x, *arguments.state, *arguments.params, *arguments.weights]
    one_device = all(leaf.device == arguments.device for leaf in leaves)
    return CallShapes(
        tuple(tuple(leaf.shape[1:]) for leaf in arguments.x),
        (arguments.state_shape,) * len(arguments.state),
        tuple(tuple(leaf.shape) for leaf in arguments.params),
        arguments.state_shape,
        arguments.device if one_device else None,
    )


def _trace_program(stages: Stages, signature: Signature, shapes: CallShapes | None) -> tuple[BoundProgram, bool]:
    """The program, and whether it is valid only for these shapes."""
    initial, dtype = signature.state_tree, signature.dtype
    traced, y_tree, reads_shapes = [], None, False
    for number, (stage, blocks) in enumerate(zip(stages, signature.blocks, strict=True), 1):
        if write := global_write(stage):
            raise UnsupportedStepError(f"{name_of(stage)} is not pure: {write}")
        one = trace_stage(stage, blocks, signature, shapes)
        y_tree, reads_shapes = one.y_tree, reads_shapes or one.reads_shapes
        signature = replace(signature, state_tree=one.state_tree)
        shapes = shapes and replace(shapes, state=one.state_shapes)
        if y_tree is not None and number < len(stages):
            raise ValueError(
                f"stage {number} of {len(stages)} returned a y; only the last one may, the others return None"
            )
        traced.append(one.stage)
    if signature.state_tree != initial:
        raise ValueError(
            f"{name_of(stages[-1])} returned a state of another structure: {signature.state_tree} instead of {initial}"
        )
    if y_tree is None:
        raise TypeError(f"{name_of(stages[-1])} returned None as y; it must be a tensor or a tree of tensors")
    x, params, state, y = map(count_leaves, (signature.x_tree, signature.params_tree, initial, y_tree))
    graphs, values = without_varying_constants([stage.graph for stage in traced], params, dtype)
    traced = [replace(stage, graph=graph) for stage, graph in zip(traced, graphs, strict=True)]
    key = key_of(dtype, traced)
    program = _programs.get(key)
    if program is None:
        outputs = traced[-1].graph.outputs
        same = {outputs[f"y{i}"]: i for i in reversed(range(y))}
        y_of_state = tuple(same.get(outputs[f"new_state{i}"]) for i in range(state))
        program = register(Program(key, tuple(traced), dtype, x, params + len(values), state, y, y_of_state))
    _recent[key] = program
    return BoundProgram(program, y_tree, values), reads_shapes
