"""Stigmergic memory whose marks and ticks also depend on the memory."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bionets.layers.lengths import zero_past_end
from bionets.layers.plain_calls import calls_only
from bionets.layers.stigmergic.stigmergic_memory import Clamp, StigmergicMemory, memory_step, smooth_clamp
from bionets.scan import dense_scan, project, split_gates
from bionets.scan.arguments import pad

__all__ = ["RecurrentStigmergicMemory"]

Pair = tuple[Tensor, Tensor]
Triple = tuple[Tensor, Tensor, Tensor]
Params = tuple[Tensor, ...]


class RecurrentStigmergicMemory(StigmergicMemory):
    """A `StigmergicMemory` whose networks also get the memory as input (Galatolo, Cimino and Vaglini, ICPRAM 2019).

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
        """Mark and tick of one step, for x ``[*, input_size]`` and the memory before the step."""
        memory = memory.to(x.dtype)
        mark = self.mark_net(torch.cat([x[..., : self.mark_input_size], self.mark_recurrence(memory)], -1))
        tick = self.tick_net(torch.cat([x[..., -self.tick_input_size :], self.tick_recurrence(memory)], -1))
        return mark, tick

    def _scan(
        self, x: Tensor, memory: Tensor, lengths: Tensor | None, reset: Tensor | None, backend: str
    ) -> tuple[Tensor, Tensor]:
        """One dense scan of 2n + 1 stages for n hidden layers, all padded to one width H = max(K, hidden_size).

        There is no nonlinearity between the recurrence and the first layers, so A and B are merged into them:
        W[x, A s + a] + c = W_x x + (W_s a + c) + (W_s A) s. All terms except the last are computed for all steps at
        once. Padding has no effect: no weight connects a padded cell to a real cell.

        If a hook must run, or the layers of a network have been replaced, the memory is computed step by step.
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
            if first is first_tick and of_x.size(1) < self.input_size:  # its inputs are the last columns of x
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
        """Whether the networks are unchanged, so that their weights, biases and slopes determine their outputs."""
        made: tuple[type[nn.Module], ...] = (nn.Linear, nn.PReLU) * self.hidden_layers + (nn.Linear, nn.ReLU)
        recurrences = (self.mark_recurrence, self.tick_recurrence)
        networks = ((self.mark_net, self.mark_input_size), (self.tick_net, self.tick_input_size))
        return all(
            calls_only(each, nn.Linear.forward) and has_sizes([each], [self.memory_size] * 2) for each in recurrences
        ) and all(
            calls_only(net, nn.Sequential.forward)
            and len(net) == len(made)
            and all(calls_only(layer, kind.forward) for layer, kind in zip(net, made, strict=True))
            and has_sizes(linears(net), self._sizes(inputs + self.memory_size))
            and all(slope.numel() == 1 for slope in prelu_slopes(net))
            for net, inputs in networks
        )

    def _step_by_step(
        self, x: Tensor, memory: Tensor, lengths: Tensor | None, reset: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        clamp, outputs = partial(smooth_clamp, clamp_min=self.clamp_min, clamp_max=self.clamp_max), []
        for t, step in enumerate(x):
            before = memory if reset is None else torch.where(reset[t].unsqueeze(1), 0, memory)
            new, _ = memory_step(self.marks_and_ticks(step, before), before, (), clamp=clamp)
            memory = new if lengths is None else torch.where((lengths > t).unsqueeze(1), new, memory)
            outputs.append(memory.to(x.dtype))
        output = torch.stack(outputs) if outputs else x.new_zeros(0, *memory.shape)
        return (output if lengths is None else zero_past_end(output, lengths)), memory


@cache
def recurrent_stages(
    hidden_layers: int, clamp_min: float | None, clamp_max: float | None
) -> tuple[Callable[..., tuple[Tensor | None, object]], ...]:
    """One time step of `RecurrentStigmergicMemory`, split into stages at every matrix product.

    The products are: the first layers of f and g applied to the memory, then each later layer of f, then each later
    layer of g. The params are: the biases of the first layers of f and g, the PReLU slopes of f and of g, and the
    biases of the later layers in the same order.
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
    """Without hidden layers: mark and tick, from one product with the memory."""
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
    """A later hidden layer of the network whose units come first in the state."""
    _, other, memory = state
    return None, (prelu(recurrent + params[bias], params[slope]), other, memory)


def last_mark_layer(x: Pair, recurrent: Tensor, state: Triple, params: Params, *, bias: int) -> tuple[None, Triple]:
    """The last layer of f, which gives the mark. After it, the units of g come first in the state."""
    _, tick, memory = state
    return None, (tick, torch.relu(recurrent + params[bias]), memory)


def last_tick_layer(
    x: Pair, recurrent: Tensor, state: Triple, params: Params, *, bias: int, clamp: Clamp
) -> tuple[Tensor, Tensor]:
    """The last layer of g, which gives the tick, and the new memory."""
    _, mark, memory = state
    return memory_step((mark, torch.relu(recurrent + params[bias])), memory, (), clamp=clamp)


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """x where positive, slope·x elsewhere (``nn.PReLU`` in elementwise operations)."""
    return torch.where(x > 0, x, slope * x)


def has_sizes(layers: Sequence[nn.Linear], sizes: Sequence[int]) -> bool:
    """Whether successive linear layers have these sizes, and biases."""
    return all(
        (layer.in_features, layer.out_features) == pair and layer.bias is not None
        for layer, pair in zip(layers, pairwise(sizes), strict=True)
    )


def linears(net: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in net if isinstance(layer, nn.Linear)]


def prelu_slopes(net: nn.Sequential) -> list[Tensor]:
    return [layer.weight for layer in net if isinstance(layer, nn.PReLU)]
