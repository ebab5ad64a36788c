"""Stigmergic memory: cells in which one small network deposits marks, which another small network evaporates."""

import math
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bionets.layers.checks import positive_int, require_dtype
from bionets.layers.lengths import flat_lengths, flat_reset, zero_past_end
from bionets.layers.precision import at_least_float32
from bionets.layers.stateful import StatefulModule, States
from bionets.scan import scan

__all__ = ["StigmergicMemory", "smooth_clamp"]


def smooth_clamp(s: Tensor, clamp_min: float | None, clamp_max: float | None) -> Tensor:
    """Clamp s smoothly between lo = ``clamp_min`` and hi = ``clamp_max``; None for no limit on this side.

    - both: (hi − lo)·σ(4u − 2) + lo with u = (s − lo)/(hi − lo). The middle is a fixed point with slope 1. Without
      input, memory decays to it: the distance e from the middle becomes e' ≈ e − (4/3)·e³/(hi − lo)², a decrease of
      0.0133 e³ for 0 and 10.
    - only lo: lo + softplus(s − lo); only hi: hi − softplus(hi − s); neither: s.

    Source: Galatolo, Cimino and Vaglini, "Using stigmergy as a computational memory in the design of recurrent neural
    networks", ICPRAM 2019, and its implementation torchsm.
    """
    if clamp_min is not None and clamp_max is not None:
        width = clamp_max - clamp_min
        return width * torch.sigmoid((4 / width) * (s - clamp_min) - 2) + clamp_min
    if clamp_min is not None:
        return clamp_min + F.softplus(s - clamp_min)
    if clamp_max is not None:
        return clamp_max - F.softplus(clamp_max - s)
    return s


def check_clamp(clamp_min: float | None, clamp_max: float | None) -> None:
    """Raise ValueError if a limit is not a finite number, or the lower one is not below the upper one."""
    for name, limit in (("clamp_min", clamp_min), ("clamp_max", clamp_max)):
        if limit is not None and not (isinstance(limit, Real) and math.isfinite(limit)):
            raise ValueError(f"{name} must be a finite number, or None for no limit, got {limit!r}")
    if clamp_min is not None and clamp_max is not None and not clamp_min < clamp_max:
        raise ValueError(f"clamp_min must be below clamp_max, got {clamp_min} and {clamp_max}")


def check_input(name: str, x: Tensor, input_size: int) -> None:
    """Raise ValueError if x ``[T, *, input_size]`` holds integers, or its last dimension has another size."""
    if not x.is_floating_point():
        raise ValueError(f"{name}: the input must be floating-point numbers, got {x.dtype}; convert it with .float()")
    if x.dim() < 2 or x.size(-1) != input_size:
        raise ValueError(
            f"{name}: the last dimension of the input must be input_size={input_size}, "
            f"got an input of shape {tuple(x.shape[1:])}"
        )


Clamp = Callable[[Tensor], Tensor]


def memory_step(x: tuple[Tensor, Tensor], memory: Tensor, params: tuple[()], *, clamp: Clamp) -> tuple[Tensor, Tensor]:
    """s' = clamp(s + mark − tick). x: mark and tick, each ``[B, K]``."""
    mark, tick = x
    memory = clamp(memory + mark - tick)
    return memory, memory


@cache  # the scan does not trace the same step object again
def memory_stage(clamp_min: float | None, clamp_max: float | None) -> Callable[..., tuple[Tensor, Tensor]]:
    """`memory_step` with this clamp."""
    return partial(memory_step, clamp=partial(smooth_clamp, clamp_min=clamp_min, clamp_max=clamp_max))


class StigmergicMemory(StatefulModule):
    """K memory cells whose marks and evaporation depend on the input (Galatolo, Cimino and Vaglini, ICPRAM 2019).

    mark = relu(f(x)), tick = relu(g(x)), s' = clamp(s + mark − tick); the output is s', and s starts at 0. f and g
    (``mark_net`` and ``tick_net``, which include the last ReLU) are networks of ``hidden_layers`` layers of
    ``hidden_size`` units with PReLUs between. For the clamp see `smooth_clamp`. With ``tick_input_size``, f and g have
    separate inputs, concatenated in x ``[*, input_size + tick_input_size]``: f gets the first entries, g the last.

    A call with ``[*, input_size]`` computes one step and returns ``[*, memory_size]``; the state ``memory`` is kept
    until `reset_states`. `over_time` and `step` take an explicit state instead; `unroll` runs whole sequences.

    Raises:
        ValueError: a size is below 1, hidden_layers is negative, a limit is not finite, or clamp_min is not below
            clamp_max.
    """

    state_names = ("memory",)
    memory: Tensor | None

    def __init__(
        self,
        input_size: int,
        memory_size: int,
        hidden_layers: int = 0,
        hidden_size: int = 30,
        clamp_min: float | None = 0.0,
        clamp_max: float | None = 10.0,
        tick_input_size: int | None = None,
    ) -> None:
        super().__init__()
        self.mark_input_size = positive_int("input_size", input_size)
        own = tick_input_size is not None and positive_int("tick_input_size", tick_input_size)
        self.tick_input_size = own or input_size
        self.input_size = input_size + int(own)
        self.memory_size = positive_int("memory_size", memory_size)
        self.hidden_size = positive_int("hidden_size", hidden_size)
        if not isinstance(hidden_layers, int) or hidden_layers < 0:
            raise ValueError(f"hidden_layers must be a whole number of at least 0, got {hidden_layers!r}")
        check_clamp(clamp_min, clamp_max)
        self.hidden_layers = hidden_layers
        self.clamp_min = None if clamp_min is None else float(clamp_min)
        self.clamp_max = None if clamp_max is None else float(clamp_max)
        self.mark_net = self._network(self.mark_input_size)
        self.tick_net = self._network(self.tick_input_size)

    def _sizes(self, input_size: int) -> list[int]:
        """The sizes of the layers of f or g, from its inputs to the memory."""
        return [input_size] + [self.hidden_size] * self.hidden_layers + [self.memory_size]

    def _network(self, input_size: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for size_in, size_out in pairwise(self._sizes(input_size)):
            layers += [nn.Linear(size_in, size_out), nn.PReLU()]
        return nn.Sequential(*layers[:-1], nn.ReLU())

    def state_shapes(self, input_shape: torch.Size) -> tuple[tuple[int, ...], ...]:
        """``[*, memory_size]``."""
        return ((*input_shape[:-1], self.memory_size),)

    def initial_states(self, x: Tensor) -> States:
        """Zeros, in float32 also for half precision, in which small marks would be lost by rounding."""
        return tuple(map(at_least_float32, super().initial_states(x)))

    def over_time(
        self,
        x: Tensor,
        states: States | None = None,
        *,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
        backend: str = "auto",
    ) -> tuple[Tensor, States]:
        """All memories ``[T, *, memory_size]`` and the last one, for x ``[T, *, input_size]`` and states
        ``([*, memory_size],)``. Pure; see `StatefulModule`."""
        check_input(self._get_name(), x, self.input_size)
        require_dtype(self._get_name(), x, next(self.parameters(), x))
        (memory,) = self.checked_states(x, states)
        lengths, reset = flat_lengths(x, lengths, x.shape[1:-1]), flat_reset(x, reset, x.shape[1:-1])
        shape = memory.shape
        x, memory = x.reshape(len(x), math.prod(x.shape[1:-1]), self.input_size), memory.reshape(-1, self.memory_size)
        if lengths is not None:
            x = zero_past_end(x, lengths)  # otherwise 0·NaN would reach the gradients of the networks
        output, memory = self._scan(x, memory, lengths, reset, backend)
        return output.reshape(len(x), *shape), (memory.reshape(shape),)

    def marks_and_ticks(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Mark and tick of one step, given x ``[*, input_size]`` and the memory before it."""
        return self.mark_net(x[..., : self.mark_input_size]), self.tick_net(x[..., -self.tick_input_size :])

    def _scan(
        self, x: Tensor, memory: Tensor, lengths: Tensor | None, reset: Tensor | None, backend: str
    ) -> tuple[Tensor, Tensor]:
        # Marks and ticks depend only on x: one product for all steps.
        step = memory_stage(self.clamp_min, self.clamp_max)
        options: dict[str, Any] = {"lengths": lengths, "reset": reset, "reset_to": 0.0, "backend": backend}
        return scan(step, self.marks_and_ticks(x, memory), memory, **options)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.memory_size}, clamp_min={self.clamp_min}, clamp_max={self.clamp_max}"
