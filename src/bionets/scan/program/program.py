"""A program: all stages of a step, traced.

A step that provably reads nothing which changes is traced once (`identity`). Any other is traced at every call, and
the program, with its compiled kernels, found by its graph. So a step is never stale.
"""

import hashlib
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from types import MethodType
from typing import Any

import torch

from bionets.scan.arguments import Arguments
from bionets.scan.graph import Graph, Node, UnsupportedStepError
from bionets.scan.last_used import LastUsed
from bionets.scan.trace.identity import global_write, identify
from bionets.scan.trace.source_lines import name_of
from bionets.scan.trace.stage import Stage, trace_stage
from bionets.scan.trace.tensor_queries import Surroundings
from bionets.scan.tree import Structure, count_leaves, named_tuples


@dataclass(frozen=True)
class Program:
    """The traced stages of a step. One time step runs them in order:

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


@dataclass(frozen=True)
class Bound:
    """A program, and the values of those parameters that stand for numbers in the step: they follow the others."""

    program: Program
    values: tuple[float, ...]


@dataclass(frozen=True)
class _Asking:
    """Stands for a step that has read shapes or a device: one program for each of them."""


_bound: LastUsed[Bound | _Asking] = LastUsed(1024)  # by the identity of a step
_programs: "weakref.WeakValueDictionary[str, Program]" = weakref.WeakValueDictionary()  # by key
_recent: LastUsed[Program] = LastUsed(1024)  # so that a step which is traced at every call finds its program
_compiled: "dict[str, _Compiled]" = {}  # by the key that stands in code of torch.compile
_numbers_of_compiled: dict[Hashable, int] = {}  # that end those keys


def program_of(key: str) -> Program:
    """The program that `find_program` has registered under this key."""
    program = _compiled[key].bound.program if key in _compiled else _programs.get(key)
    if program is None:
        raise RuntimeError(f"there is no step {key}: code of torch.export with a scan runs only where it was made")
    return program


def find_program(stages: tuple[Callable[..., Any], ...], arguments: Arguments) -> Bound:
    """The traced program of these stages. Raises UnsupportedStepError where one cannot be traced."""
    trees = (arguments.x_tree, arguments.state_tree, arguments.params_tree)
    blocks, dtype = arguments.layout.blocks or (0,), arguments.layout.carry_dtype
    if torch.compiler.is_compiling():
        found = _program_for_compiler(stages, blocks, trees, dtype)
        if isinstance(found, str):
            raise UnsupportedStepError(found)
        return found
    return _find_program(stages, blocks, trees, dtype, arguments)


@dataclass(frozen=True)
class _Compiled:
    """A step in code of torch.compile, which does not see what the step reads."""

    bound: Bound
    find: Callable[[], Bound | None]  # as it is now; None where the object behind the step is gone


def _program_for_compiler(
    stages: tuple[Callable[..., Any], ...], blocks: tuple[int, ...], trees: tuple[Structure, ...], dtype: torch.dtype
) -> Bound | str:
    """The program under a key of its own, or why there is none; called while torch.compile reads the caller."""
    found: Bound | str = torch.compiler.disable(_register_compiled)(stages, blocks, trees, dtype)
    return found


# torch.compiler.assume_constant_result, without importing torch.compile
_program_for_compiler._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _register_compiled(
    stages: tuple[Callable[..., Any], ...], blocks: tuple[int, ...], trees: tuple[Structure, ...], dtype: torch.dtype
) -> Bound | str:
    try:
        bound = _find_program(stages, blocks, trees, dtype, None)
    except UnsupportedStepError as error:
        return str(error)
    # an object is held weakly behind its method
    references = tuple(weakref.WeakMethod(stage) if isinstance(stage, MethodType) else stage for stage in stages)

    def find() -> Bound | None:
        now: Any = tuple(each() if isinstance(each, weakref.WeakMethod) else each for each in references)
        return None if None in now else _find_program(now, blocks, trees, dtype, None)

    number = _numbers_of_compiled.setdefault((references, bound.program.key, bound.values), len(_compiled))
    key = f"{bound.program.key}@{number}"
    _compiled[key] = _Compiled(bound, find)
    return replace(bound, program=replace(bound.program, key=key))


def check_compiled(key: str) -> None:
    """Raise RuntimeError if code of torch.compile holds a step that has changed."""
    compiled = _compiled.get(key)
    now = compiled and compiled.find()
    if compiled and now and (now.program.key, now.values) != (compiled.bound.program.key, compiled.bound.values):
        raise RuntimeError(
            "the step of a scan reads something that has changed since torch.compile; hand it in through params, "
            "or call torch.compiler.reset()"
        )


def _find_program(
    stages: tuple[Callable[..., Any], ...],
    blocks: tuple[int, ...],
    trees: tuple[Structure, ...],
    dtype: torch.dtype,
    arguments: Arguments | None,
) -> Bound:
    steps = tuple(map(identify, (*stages, *named_tuples(trees))))  # methods of named tuples are part of the step
    if None in steps:
        return _trace_program(stages, blocks, trees, dtype, surroundings_of(arguments))[0]
    identity: Hashable = (steps, blocks, trees, dtype, torch.get_default_dtype())
    found = _bound.get(identity)
    if isinstance(found, Bound):
        return found
    surroundings = surroundings_of(arguments)
    if found is not None:
        found = _bound.get((identity, surroundings))
        if isinstance(found, Bound):
            return found
    bound, asked = _trace_program(stages, blocks, trees, dtype, surroundings)
    if asked:
        _bound[identity], identity = _Asking(), (identity, surroundings)
    _bound[identity] = bound
    return bound


def surroundings_of(arguments: Arguments | None) -> Surroundings | None:
    """The shapes that the step sees."""
    if arguments is None:
        return None
    leaves = [*arguments.x, *arguments.state, *arguments.params, *arguments.weights]
    one_device = all(leaf.device == arguments.device for leaf in leaves)
    return Surroundings(
        tuple(tuple(leaf.shape[1:]) for leaf in arguments.x),
        (arguments.state_shape,) * len(arguments.state),
        tuple(tuple(leaf.shape) for leaf in arguments.params),
        arguments.state_shape,
        arguments.device if one_device else None,
    )


def _trace_program(
    stages: tuple[Callable[..., Any], ...],
    blocks: tuple[int, ...],
    trees: tuple[Structure, ...],
    dtype: torch.dtype,
    surroundings: Surroundings | None,
) -> tuple[Bound, bool]:
    """The program, and whether it holds only for these surroundings."""
    x_tree, initial_tree, params_tree = trees
    traced, state_tree, y_tree, asked, now = [], initial_tree, None, False, surroundings
    for number, (stage, count) in enumerate(zip(stages, blocks, strict=True), 1):
        if write := global_write(stage):
            raise UnsupportedStepError(f"{name_of(stage)} is not pure: {write}")
        one = trace_stage(stage, x_tree, count, state_tree, params_tree, dtype, now)
        y_tree, state_tree, asked = one.y_tree, one.state_tree, asked or one.asked
        now = None if now is None else replace(now, state=one.shapes)
        if y_tree is not None and number < len(stages):
            raise ValueError(
                f"stage {number} of {len(stages)} returned a y; only the last one may, the others return None"
            )
        traced.append(one.stage)
    if state_tree != initial_tree:
        raise ValueError(
            f"{name_of(stages[-1])} returned a state of another structure: {state_tree} instead of {initial_tree}"
        )
    if y_tree is None:
        raise TypeError(f"{name_of(stages[-1])} returned None as y; it must be a tensor or a tree of tensors")
    x, params, state, y = map(count_leaves, (x_tree, params_tree, initial_tree, y_tree))
    graphs, values = _without_varying_constants([stage.graph for stage in traced], params, dtype)
    traced = [replace(stage, graph=graph) for stage, graph in zip(traced, graphs, strict=True)]
    text = "\n".join([str(dtype), str(y_tree), *(f"{stage.blocks}\n{stage.graph}" for stage in traced)])
    key = hashlib.sha256(text.encode()).hexdigest()[:24]
    program = _programs.get(key)
    if program is None:
        outputs = traced[-1].graph.outputs
        same = {outputs[f"y{i}"]: i for i in reversed(range(y))}
        y_of_state = tuple(same.get(outputs[f"new_state{i}"]) for i in range(state))
        program = Program(key, tuple(traced), dtype, x, params + len(values), state, y, y_tree, y_of_state)
        program = _programs.setdefault(key, program)
    _recent[key] = program
    return Bound(program, values), asked


@dataclass(frozen=True)
class _Constants:
    """The constants of graphs that are alike but for them: those of the first, and which ones have differed since."""

    first: tuple[float, ...]
    varying: frozenset[int]


_constants: LastUsed[_Constants] = LastUsed(1024)  # by the text of the graphs without the values of their constants


def _without_varying_constants(
    graphs: list[Graph], params: int, dtype: torch.dtype
) -> tuple[list[Graph], tuple[float, ...]]:
    """Numbers of the step that have changed since the first graph like this one become parameters, after the `params`
    that there are: so one kernel serves for all slopes of an annealed spike function. Also returns their values."""
    text = "\n".join([str(dtype), *(graph.text(constants=False) for graph in graphs)])
    values = tuple(node.value for graph in graphs for node in graph.nodes if node.op == "constant")
    known = _constants.get(text) or _Constants(values, frozenset())
    differing = {
        i for i, (a, b) in enumerate(zip(known.first, values, strict=True)) if float(a).hex() != float(b).hex()
    }
    varying = known.varying | differing
    _constants[text] = _Constants(known.first, varying)
    numbers = {constant: params + i for i, constant in enumerate(sorted(varying))}
    constants = iter(range(len(values)))
    result = []
    for graph in graphs:
        places = [next(constants) if node.op == "constant" else None for node in graph.nodes]
        nodes = tuple(
            node if place is None or place not in numbers else Node("input", name=f"params{numbers[place]}")
            for place, node in zip(places, graph.nodes, strict=True)
        )
        result.append(_with_parameters(Graph(nodes, graph.outputs), list(numbers.values())))
    return result, tuple(values[i] for i in sorted(varying))


def _with_parameters(graph: Graph, numbers: list[int]) -> Graph:
    """The graph, whose parameters of these numbers have no gradient."""
    if not numbers:
        return graph
    zero = len(graph.nodes)
    outputs = dict(graph.outputs) | {f"grad_params{number}": zero for number in numbers}
    return Graph((*graph.nodes, Node("constant", value=0.0)), outputs)
