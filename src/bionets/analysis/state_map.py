"""The time step of a layer as a map of its state."""

import copy
import math
from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from bionets.layers.recurrent.recurrence import as_tuple
from bionets.layers.spatial.spatial_recurrent import without_positions
from bionets.layers.stateful import StatefulModule


class StateMap:
    """One time step of a layer as a map s ↦ s' of its flattened state `[K, N]`, for K states in parallel.

    The states of a layer (h and c of an LSTM, every layer of a stack) are concatenated along N. The derivative of hard
    spikes is their surrogate derivative.

    Args:
        layer: a sequence layer (`BRC`, `nn.GRU`, ...), whose states are `[num_layers, B, H]` or `[B, H]`, or a stateful
            layer (`LIB`, ...).

    Raises:
        ValueError: the layer has no state, is bidirectional, has ``proj_size``, or has random spikes.
    """

    def __init__(self, layer: nn.Module) -> None:
        layer = without_positions(layer)
        if not isinstance(layer, StatefulModule) and not _takes_states(layer):
            raise ValueError(f"{type(layer).__name__} takes no states: give a layer like nn.GRU, or a stateful layer")
        self.layer = copy.deepcopy(layer).double().eval().requires_grad_(False)
        if getattr(self.layer, "bidirectional", False):
            raise ValueError("a bidirectional layer has no time step: analyse one direction")
        if getattr(self.layer, "proj_size", 0):
            raise ValueError("an LSTM with proj_size cannot be analysed: its states h and c differ in size")
        if any(getattr(module, "noises", 0) for module in self.layer.modules()):
            raise ValueError("a layer with random spikes has no fixed time step: use a hard spike function")
        self.layer.batch_first = False  # type: ignore[assignment]
        self._shapes: list[tuple[int, ...]] = []  # of the states of a sample, once a sequence layer has run

    def run(self, x: Tensor, states: Any = None) -> tuple[Tensor, Tensor]:
        """x `[T, K, I]` from `states` (None: `initial_state`): the output `[T, K, H]` and the flattened last state
        `[K, N]`."""
        x = x.double()
        given: Any = None if states is None else self._split(states, x)
        if isinstance(self.layer, StatefulModule):
            output, last = self.layer.over_time(x, given)
            return output, _flat(last)
        if given is not None and len(given) == 1:
            given = given[0]
        output, last = self.layer(x, given)
        after = [_swapped(state) for state in as_tuple(last)]
        self._shapes = [tuple(state.shape[1:]) for state in after]
        return output, _flat(after)

    def initial_state(self, x: Tensor) -> Tensor:
        """The state `[K, N]` before the first step of x `[T, K, I]`: zeros, unless a layer has other initial states."""
        if isinstance(self.layer, StatefulModule):
            return _flat(self.layer.initial_states(x.double()))
        return torch.zeros_like(self.run(x[:1])[1])

    def __call__(self, s: Tensor, x: Tensor) -> Tensor:
        """The state after one step from s `[K, N]` under the input x `[I]` or `[K, I]`."""
        x = x.double().expand(len(s), *x.shape[-1:]) if x.dim() == 1 else x.double()
        return self.run(x.unsqueeze(0), s)[1]

    def jacobian(self, s: Tensor, x: Tensor) -> Tensor:
        """∂s'/∂s at each of K states, `[K, N, N]`."""
        s = s.detach().requires_grad_()
        with torch.enable_grad():
            after = self(s, x)
            rows = [torch.autograd.grad(column.sum(), s, retain_graph=True)[0] for column in after.unbind(1)]
        return torch.stack(rows, 1)

    def _split(self, s: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        if isinstance(self.layer, StatefulModule):
            return _parts(s, self.layer.state_shapes(x.shape[1:]))
        if not self._shapes:
            self.run(x[:1])
        return tuple(map(_swapped, _parts(s, [(len(s), *shape) for shape in self._shapes])))


def _takes_states(layer: nn.Module) -> bool:
    """Whether a layer can be called with an input and states."""
    try:
        signature(layer.forward).bind(None, None)
    except TypeError:
        return False
    return True


def _swapped(state: Tensor) -> Tensor:
    """A state `[num_layers, K, H]` as `[K, num_layers, H]` and back; `[K, H]` stays as it is."""
    return state.transpose(0, 1).contiguous() if state.dim() == 3 else state


def _parts(s: Tensor, shapes: Sequence[Sequence[int]]) -> tuple[Tensor, ...]:
    """The states `[K, ...]` of these shapes from the flattened state `[K, N]`. Raises ValueError for another shape."""
    sizes = [math.prod(shape[1:]) for shape in shapes]
    if s.dim() != 2 or s.size(1) != sum(sizes):
        raise ValueError(f"states of this layer must be [K, {sum(sizes)}], got {list(s.shape)}")
    parts = s.double().split(sizes, -1)
    return tuple(part.reshape(tuple(shape)) for part, shape in zip(parts, shapes, strict=True))


def _flat(states: Sequence[Tensor]) -> Tensor:
    """States `[K, ...]`, concatenated to `[K, N]`."""
    return torch.cat([state.flatten(1) for state in states], -1)
