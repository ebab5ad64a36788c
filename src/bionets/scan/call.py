"""A call of a compiling backend: its arguments, stored histories and gradients."""

import functools
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from bionets.scan.program import Program, program_of

CACHE_LINE = 64  # bytes


class Needs(NamedTuple):
    """Flags of the wanted gradients for each tensor of x, params and delay. Those of state and weights are always
    computed.
    """

    x: tuple[bool, ...]
    params: tuple[bool, ...]
    delay: tuple[bool, ...] = ()


@dataclass(frozen=True)
class CallVariant:
    """The properties of a call that determine the source of its kernel, on any backend."""

    masked: bool = False  # lengths are given
    recompute: bool = False  # checkpoint_every > 1
    histories: tuple[int, ...] = ()  # forward: the states whose history is stored
    needs_x: tuple[bool, ...] = ()  # backward: the gradients wanted
    needs_params: tuple[bool, ...] = ()

    @property
    def wanted_x(self) -> list[int]:
        return [i for i, needed in enumerate(self.needs_x) if needed]

    @property
    def wanted_params(self) -> list[int]:
        return [i for i, needed in enumerate(self.needs_params) if needed]


@dataclass
class Call:
    """One call, flattened: x `[T, B, N]` (stride 1 in N), state `[B, N]` contiguous, params `[1]` or `[N]`, weights
    `[G * N, N]`; on the CPU backend, weights may have fewer rows in the last block and fewer columns."""

    program: Program
    x: list[Tensor]
    state: list[Tensor]
    params: list[Tensor]
    weights: list[Tensor]
    lengths: Tensor | None
    reverse: bool
    checkpoint_every: int
    delay: list[Tensor] = field(default_factory=list)  # nothing, or the lags [L, N] and the past [L - 1, B, N]
    store_products: bool = False  # keep the recurrent products, [T, B, G * N] of each stage, for the backward pass

    def __post_init__(self) -> None:
        self.time, self.batch, self.width = self.x[0].shape

    @property
    def groups(self) -> tuple[list[Tensor], ...]:
        return self.x, self.state, self.params, self.weights, self.delay

    @property
    def tensors(self) -> list[Tensor]:
        return [*self.x, *self.state, *self.params, *self.weights, *self.delay]

    @property
    def stored_steps(self) -> int:
        """Number of steps in a history, which holds the state after each step, or with checkpoints after each K-th."""
        return self.time if self.checkpoint_every == 1 else max(0, (self.time - 1) // self.checkpoint_every)

    @property
    def spread_step(self) -> int:
        """Distance of steps, in elements, in a history of delayed values: an odd number of cache lines, so that the
        lags of an element are in different sets of the cache."""
        line = CACHE_LINE // self.program.dtype.itemsize
        return (-(-self.batch * self.width // line) | 1) * line

    def y_as_history(self) -> tuple[int | None, ...]:
        """For each state, the number of the y that is its history, or None. With reverse and lengths there is none,
        because y is zero in the padding and the state is not.
        """
        same = self.program.y_of_state
        if self.checkpoint_every > 1 or (self.reverse and self.lengths is not None):
            return (None,) * len(same)
        return same

    def histories(self) -> list[int]:
        """The states that need a separate history."""
        return [i for i, y in enumerate(self.y_as_history()) if y is None]


@dataclass
class Gradients:
    """x: `[T, B, X, N]`, the X wanted gradients of x. params, delay: the wanted gradients in the order of the call."""

    x: Tensor | None
    state: list[Tensor]
    params: list[Tensor]
    weights: list[Tensor]
    delay: list[Tensor] = field(default_factory=list)


@functools.lru_cache(maxsize=1024)
def shared_gradients(program_key: str, needs_x: tuple[bool, ...]) -> tuple[int | None, ...]:
    """`shared_gradient` of each stage of a program."""
    program = program_of(program_key)
    return tuple(shared_gradient(program, needs_x, number) for number in range(len(program.stages)))


def shared_gradient(program: Program, needs_x: tuple[bool, ...], number: int = 0) -> int | None:
    """The number (among the wanted gradients of x) of the x whose gradients equal those of `recurrent` in stage
    `number`, block after block.

    This holds for every stage that only adds products of input and state; the gradients are then written once.
    """
    stage = program.stages[number]
    if not stage.blocks:
        return None
    graphs, outputs = [other.graph for other in program.stages], stage.graph.outputs
    wanted = [  # gradients to which only this stage contributes
        outputs[f"grad_x{i}"] if [g for g in graphs if not g.is_zero(f"grad_x{i}")] == [stage.graph] else None
        for i, needed in enumerate(needs_x)
        if needed
    ]
    blocks = [outputs[f"grad_recurrent{i}"] for i in range(stage.blocks)]
    starts = [i for i in range(len(wanted) - len(blocks) + 1) if wanted[i : i + len(blocks)] == blocks]
    return starts[0] if starts else None


def factors_of_weight_gradient(
    call: Call, gradient: Tensor, before: Tensor | None, history: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """Pairs of matrices whose sum of products left.T @ right is the gradient of a weight: the sum over time of
    gradient[t].T @ (state before t). The state before t is in `before`, or in the history, shifted by one step.
    """
    gradient, history = gradient.flatten(0, 1), history.flatten(0, 1)
    one = call.batch  # rows of a step
    if before is not None:
        return [(gradient, before.flatten(0, 1))]
    if call.reverse:
        return [(gradient[-one:], call.state[0]), (gradient[:-one], history[one:])]
    return [(gradient[:one], call.state[0]), (gradient[one:], history[:-one])]


def needs_before(program: Program, recompute: bool, k: int) -> bool:
    """Whether the states that stage k multiplies must be stored for the gradient of its weight, because no history
    holds them.
    """
    return bool(program.stages[k].blocks) and (k > 0 or recompute)
