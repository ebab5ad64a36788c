"""Stigmergic memory: a space of cells into which one small network deposits marks, and which another one evaporates."""

from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bionets.layers.lengths import flat_lengths, flat_reset, zero_past_end
from bionets.layers.plain_calls import calls_only
from bionets.layers.recurrent.recurrence import positive_int
from bionets.layers.stateful import StatefulModule, States
from bionets.scan import dense_scan, project, scan, split_gates
from bionets.scan.padding import pad

__all__ = ["RecurrentStigmergicMemory", "StigmergicMemory", "smooth_clamp"]


def smooth_clamp(s: Tensor, clamp_min: float | None, clamp_max: float | None) -> Tensor:
    """Hold s between lo = ``clamp_min`` and hi = ``clamp_max``, smoothly; None leaves that side open.

    - both: (hi − lo)·σ(4u − 2) + lo with u = (s − lo)/(hi − lo). It fixes the middle with slope 1, and undriven memory
      forgets: at distance e from the middle, e' ≈ e − (4/3)·e³/(hi − lo)², which is 0.0133 e³ for 0 and 10.
    - lo alone: lo + softplus(s − lo); hi alone: hi − softplus(hi − s); neither: s.

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


Clamp = Callable[[Tensor], Tensor]


def memory_step(x: tuple[Tensor, Tensor], memory: Tensor, params: tuple[()], *, clamp: Clamp) -> tuple[Tensor, Tensor]:
    """s' = clamp(s + mark − tick). x: mark and tick, each ``[B, K]``."""
    mark, tick = x
    memory = clamp(memory + mark - tick)
    return memory, memory


@cache  # the scan knows a step again at once when it is the same object
def memory_stage(clamp_min: float | None, clamp_max: float | None) -> Callable[..., tuple[Tensor, Tensor]]:
    """`memory_step` with this clamp."""
    return partial(memory_step, clamp=partial(smooth_clamp, clamp_min=clamp_min, clamp_max=clamp_max))


class StigmergicMemory(StatefulModule):
    """K cells that are marked and evaporate as the input says (Galatolo, Cimino and Vaglini, ICPRAM 2019).

    mark = relu(f(x)), tick = relu(g(x)), s' = clamp(s + mark − tick); the output is s', and s starts at 0. f and g
    (``mark_net`` and ``tick_net``, which include the last ReLU) are networks of ``hidden_layers`` layers of
    ``hidden_size`` units with PReLUs between. For the clamp see `smooth_clamp`. With ``tick_input_size``, f and g have
    inputs of their own, side by side in x ``[*, input_size + tick_input_size]``: f sees the first, g the last ones.

    Call it with ``[*, input_size]`` for one step, giving ``[*, memory_size]``; the state ``memory`` is kept until
    `reset_states`. `over_time` and `step` take an explicit state instead, and `unroll` runs whole sequences.

    Raises:
        ValueError: sizes below one, hidden_layers below zero, or clamp_min not below clamp_max.
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
        if clamp_min is not None and clamp_max is not None and not clamp_min < clamp_max:
            raise ValueError(f"clamp_min must be below clamp_max, got {clamp_min} and {clamp_max}")
        self.hidden_layers = hidden_layers
        self.clamp_min = None if clamp_min is None else float(clamp_min)
        self.clamp_max = None if clamp_max is None else float(clamp_max)
        self.mark_net = self._network(self.mark_input_size)
        self.tick_net = self._network(self.tick_input_size)

    def _network(self, input_size: int) -> nn.Sequential:
        sizes = [input_size] + [self.hidden_size] * self.hidden_layers + [self.memory_size]
        layers: list[nn.Module] = []
        for size_in, size_out in pairwise(sizes):
            layers += [nn.Linear(size_in, size_out), nn.PReLU()]
        return nn.Sequential(*layers[:-1], nn.ReLU())

    def state_shapes(self, input_shape: torch.Size) -> tuple[tuple[int, ...], ...]:
        """``[*, memory_size]``."""
        return ((*input_shape[:-1], self.memory_size),)

    def over_time(
        self,
        x: Tensor,
        states: States | None = None,
        *,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
        backend: str = "auto",
    ) -> tuple[Tensor, States]:
        """x ``[T, *, input_size]`` and states ``([*, memory_size],)`` to all memories ``[T, *, memory_size]`` and the
        last. Pure; see `StatefulModule`."""
        (memory,) = self._checked(x, states)
        lengths, reset = flat_lengths(x, lengths, x.shape[1:-1]), flat_reset(x, reset, x.shape[1:-1])
        if x.dim() == 3:
            output, memory = self._scan(x, memory, lengths, reset, backend)
            return output, (memory,)
        shape = memory.shape
        x, memory = x.reshape(len(x), x.shape[1:-1].numel(), self.input_size), memory.reshape(-1, self.memory_size)
        output, memory = self._scan(x, memory, lengths, reset, backend)
        return output.reshape(len(x), *shape), (memory.reshape(shape),)

    def marks_and_ticks(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Mark and tick of one step, given x ``[*, input_size]`` and the memory before it."""
        return self.mark_net(x[..., : self.mark_input_size]), self.tick_net(x[..., -self.tick_input_size :])

    def _scan(
        self, x: Tensor, memory: Tensor, lengths: Tensor | None, reset: Tensor | None, backend: str
    ) -> tuple[Tensor, Tensor]:
        # Marks and ticks depend on x alone: one product for all of time.
        step = memory_stage(self.clamp_min, self.clamp_max)
        options: dict[str, Any] = {"lengths": lengths, "reset": reset, "reset_to": 0.0, "backend": backend}
        return scan(step, self.marks_and_ticks(x, memory), memory, **options)

    def _checked(self, x: Tensor, states: States | None) -> States:
        if x.dim() < 2 or x.size(-1) != self.input_size:
            raise ValueError(
                f"{self._get_name()}: the last dimension of the input must be input_size={self.input_size}, "
                f"got an input of shape {tuple(x.shape[1:])}"
            )
        states = self.initial_states(x) if states is None else states
        expected = self.state_shapes(x.shape[1:])
        if tuple(tuple(state.shape) for state in states) != expected:
            raise ValueError(
                f"{self._get_name()}: expected a state of shape {expected[0]}, got {[tuple(s.shape) for s in states]}"
            )
        return states

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.memory_size}, clamp_min={self.clamp_min}, clamp_max={self.clamp_max}"


class RecurrentStigmergicMemory(StigmergicMemory):
    """A `StigmergicMemory` whose networks also see what is in the memory (Galatolo, Cimino and Vaglini, ICPRAM 2019).

    mark = relu(f([x, A s + a])), tick = relu(g([x, B s + b])), s' = clamp(s + mark − tick). A, a and B, b are the
    square linear maps ``mark_recurrence`` and ``tick_recurrence``. Everything else is as in `StigmergicMemory`.
    """

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
        super().__init__(input_size, memory_size, hidden_layers, hidden_size, clamp_min, clamp_max, tick_input_size)
        self.mark_recurrence = nn.Linear(memory_size, memory_size)
        self.tick_recurrence = nn.Linear(memory_size, memory_size)

    def _network(self, input_size: int) -> nn.Sequential:
        return super()._network(input_size + self.memory_size)

    def marks_and_ticks(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Mark and tick of one step, given x ``[*, input_size]`` and the memory before it."""
        mark = self.mark_net(torch.cat([x[..., : self.mark_input_size], self.mark_recurrence(memory)], -1))
        tick = self.tick_net(torch.cat([x[..., -self.tick_input_size :], self.tick_recurrence(memory)], -1))
        return mark, tick

    def _scan(
        self, x: Tensor, memory: Tensor, lengths: Tensor | None, reset: Tensor | None, backend: str
    ) -> tuple[Tensor, Tensor]:
        """One dense scan of 2n + 1 stages for n hidden layers, all padded to one width H = max(K, hidden_size).

        Nothing lies between the recurrence and the first layers, so A and B merge into them: W[x, A s + a] + c =
        W_x x + (W_s a + c) + (W_s A) s, of which all but the last term is made for all of time at once. Padding
        is inert: no weight leads from a padded cell to a real one.

        Where a hook must run, or a network has other layers than those that it was made of, step by step.
        """
        if not self._as_made():
            return self._step_by_step(x, memory, lengths, reset)
        size, n = self.memory_size, self.hidden_layers
        width = max(size, self.hidden_size) if n else size
        (first_mark, *later_marks), (first_tick, *later_ticks) = linears(self.mark_net), linears(self.tick_net)
        later = [*later_marks, *later_ticks]
        from_x, merged, biases = [], [], []
        for first, recurrence in ((first_mark, self.mark_recurrence), (first_tick, self.tick_recurrence)):
            of_x, of_memory = first.weight.split([first.in_features - size, size], dim=1)
            if first is first_tick and of_x.size(1) < self.input_size:  # its inputs are the last ones
                of_x = F.pad(of_x, (self.input_size - of_x.size(1), 0))
            from_x.append(pad(of_x, width, self.input_size))
            merged.append(pad(of_memory @ recurrence.weight, width, size))
            biases.append(pad(torch.addmv(first.bias, of_memory, recurrence.bias), width))
        drive = split_gates(project(x, torch.cat(from_x)), 2)
        slopes = [*prelu_slopes(self.mark_net), *prelu_slopes(self.tick_net)]
        params = (*biases, *slopes, *(pad(linear.bias, width) for linear in later))
        weights = (torch.cat(merged), *(linear.weight for linear in later))
        stages = recurrent_stages(n, self.clamp_min, self.clamp_max)
        memory = pad(memory, memory.size(0), width)
        options: dict[str, Any] = {"lengths": lengths, "reset": reset, "reset_to": 0.0, "backend": backend}
        output, memory = dense_scan(stages, drive, memory, params, weights, **options, pad_weights=True)
        return output[..., :size], memory[:, :size]

    def _as_made(self) -> bool:
        """Whether calling the networks does no more than their weights, biases and slopes say."""
        made: tuple[type[nn.Module], ...] = (nn.Linear, nn.PReLU) * self.hidden_layers + (nn.Linear, nn.ReLU)
        recurrences = (self.mark_recurrence, self.tick_recurrence)
        return all(calls_only(each, nn.Linear.forward) for each in recurrences) and all(
            calls_only(net, nn.Sequential.forward)
            and len(net) == len(made)
            and all(calls_only(layer, kind.forward) for layer, kind in zip(net, made, strict=True))
            for net in (self.mark_net, self.tick_net)
        )

    def _step_by_step(
        self, x: Tensor, memory: Tensor, lengths: Tensor | None, reset: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        clamp, outputs = partial(smooth_clamp, clamp_min=self.clamp_min, clamp_max=self.clamp_max), []
        for t, step in enumerate(x):
            before = memory if reset is None else torch.where(reset[t].unsqueeze(1), 0, memory)
            new, _ = memory_step(self.marks_and_ticks(step, before), before, (), clamp=clamp)
            memory = new if lengths is None else torch.where((lengths > t).unsqueeze(1), new, memory)
            outputs.append(memory)
        output = torch.stack(outputs) if outputs else memory.new_zeros(0, *memory.shape)
        return (output if lengths is None else zero_past_end(output, lengths)), memory


Pair = tuple[Tensor, Tensor]
Triple = tuple[Tensor, Tensor, Tensor]
Params = tuple[Tensor, ...]


@cache
def recurrent_stages(
    hidden_layers: int, clamp_min: float | None, clamp_max: float | None
) -> tuple[Callable[..., tuple[Tensor | None, object]], ...]:
    """One time step of `RecurrentStigmergicMemory`, cut at every matrix product.

    The products: all that f and g take from the memory; then the later layers of f, one by one; then those of g.
    The params: the biases of the first layers of f and g, the PReLU slopes of f and of g, then the biases of the later
    layers in that order.
    """
    n, clamp = hidden_layers, partial(smooth_clamp, clamp_min=clamp_min, clamp_max=clamp_max)
    if n == 0:
        return (partial(mark_and_tick, clamp=clamp),)
    hidden_marks = tuple(partial(hidden_layer, slope=2 + i, bias=2 * n + i + 1) for i in range(1, n))
    hidden_ticks = tuple(partial(hidden_layer, slope=2 + n + i, bias=3 * n + i + 1) for i in range(1, n))
    return (
        partial(first_hidden_layers, tick_slope=2 + n),
        *hidden_marks,
        partial(last_mark_layer, bias=3 * n + 1),
        *hidden_ticks,
        partial(last_tick_layer, bias=4 * n + 1, clamp=clamp),
    )


def mark_and_tick(x: Pair, recurrent: Pair, memory: Tensor, params: Params, *, clamp: Clamp) -> tuple[Tensor, Tensor]:
    """Without hidden layers: mark and tick are one product away from the memory."""
    mark, tick = (torch.relu(x[i] + recurrent[i] + params[i]) for i in range(2))
    return memory_step((mark, tick), memory, (), clamp=clamp)


def first_hidden_layers(
    x: Pair, recurrent: Pair, memory: Tensor, params: Params, *, tick_slope: int
) -> tuple[None, Triple]:
    """The first layer of f and of g."""
    mark = prelu(x[0] + recurrent[0] + params[0], params[2])
    tick = prelu(x[1] + recurrent[1] + params[1], params[tick_slope])
    return None, (mark, tick, memory)


def hidden_layer(
    x: Pair, recurrent: Tensor, state: Triple, params: Params, *, slope: int, bias: int
) -> tuple[None, Triple]:
    """A further hidden layer of the network whose units come first in the state."""
    _, other, memory = state
    return None, (prelu(recurrent + params[bias], params[slope]), other, memory)


def last_mark_layer(x: Pair, recurrent: Tensor, state: Triple, params: Params, *, bias: int) -> tuple[None, Triple]:
    """The mark is made; the units of g come first from here on."""
    _, tick, memory = state
    return None, (tick, torch.relu(recurrent + params[bias]), memory)


def last_tick_layer(
    x: Pair, recurrent: Tensor, state: Triple, params: Params, *, bias: int, clamp: Clamp
) -> tuple[Tensor, Tensor]:
    """The tick is made, and with it the new memory."""
    _, mark, memory = state
    return memory_step((mark, torch.relu(recurrent + params[bias])), memory, (), clamp=clamp)


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """x where positive, slope·x elsewhere (``nn.PReLU`` in elementwise operations)."""
    return torch.where(x > 0, x, slope * x)


def linears(net: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in net if isinstance(layer, nn.Linear)]


def prelu_slopes(net: nn.Sequential) -> list[Tensor]:
    return [layer.weight for layer in net if isinstance(layer, nn.PReLU)]
