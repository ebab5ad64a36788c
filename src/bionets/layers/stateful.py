"""Layers that are written for one time step and keep their state between calls."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["StatefulModule", "detach_states", "get_states", "reset_states", "set_states", "stateful_modules"]

States = tuple[Tensor, ...]


class StatefulModule(nn.Module):
    """A layer with a state that goes on from call to call, until `reset_states`.

    A subclass names its states, says their shapes, and writes `over_time`, a pure function of input and states. Calling
    the layer is one time step, ``[B, ...] -> [B, ...]``; with ``whole_sequence=True`` all of time, ``[T, B, ...] ->
    [T, B, ...]`` (`unroll` does this for a whole model). Both go on from the kept states and keep the last ones.

    The kept states are the attributes ``state_names``, None before the first call. They move with ``.to()`` and are
    copied and pickled with the layer (without their graph), but are neither parameters nor in its ``state_dict``.
    """

    state_names: tuple[str, ...]

    def __init__(self) -> None:
        super().__init__()
        for name in self.state_names:
            self.register_buffer(name, None, persistent=False)

    def state_shapes(self, input_shape: torch.Size) -> tuple[tuple[int, ...], ...]:
        """The shape of each state, for one step's input of this shape."""
        raise NotImplementedError(f"{self._get_name()} must implement state_shapes")

    def over_time(self, x: Tensor, states: States | None = None, *, backend: str = "auto") -> tuple[Tensor, States]:
        """The outputs ``[T, B, ...]`` and last states of x ``[T, B, ...]``, from ``states`` (None: the initial ones).

        Pure: the kept states are neither read nor changed. ``backend`` is that of `bionets.scan.scan`.
        """
        raise NotImplementedError(f"{self._get_name()} must implement over_time")

    def step(self, x: Tensor, states: States | None = None) -> tuple[Tensor, States]:
        """`over_time` for a single step: x and the output ``[B, ...]``."""
        # A scan of length one: no kernel would be faster than the step itself.
        y, states = self.over_time(x.unsqueeze(0), states, backend="reference")
        return y.squeeze(0), states

    def initial_states(self, x: Tensor) -> States:
        """The states before the first of the steps x ``[T, B, ...]``: zeros."""
        like = next((p for p in self.parameters() if p.is_floating_point()), x)
        return tuple(like.new_zeros(shape) for shape in self.state_shapes(x.shape[1:]))

    def forward(self, x: Tensor, *, whole_sequence: bool = False) -> Tensor:
        """One step, or a whole sequence, from the kept states.

        Raises:
            ValueError: the kept states are of a batch of another size.
            RuntimeError: in the backward pass, if it goes through an old state whose graph is gone.
        """
        sequence = x if whole_sequence else x.unsqueeze(0)
        y, states = (self.over_time if whole_sequence else self.step)(x, self._kept_states(sequence.shape[1:]))
        if torch.is_grad_enabled() and any(state.requires_grad for state in states):
            y, *states = _GraphGuard.apply(self._get_name(), y, *states)
        for name, state in zip(self.state_names, states, strict=True):
            setattr(self, name, state)
        return y

    def _kept_states(self, input_shape: torch.Size) -> States | None:
        kept = tuple(getattr(self, name) for name in self.state_names)
        if any(state is None for state in kept):
            return None
        for name, state, expected in zip(self.state_names, kept, self.state_shapes(input_shape), strict=True):
            if tuple(state.shape) != expected:
                raise ValueError(
                    f"{self._get_name()}: the kept {name} has shape {tuple(state.shape)} but an input of shape "
                    f"{tuple(input_shape)} needs {expected}: call reset_states(model) before a new batch"
                )
        return kept

    def __getstate__(self) -> dict[str, Any]:
        # Tensors inside a graph can be neither copied nor pickled.
        buffers = {name: None if kept is None else kept.detach() for name, kept in self._buffers.items()}
        return {**self.__dict__, "_buffers": buffers}


class _GraphGuard(torch.autograd.Function):
    """The identity; a second backward pass through it, after the first has freed the graph, names the layer."""

    @staticmethod
    def forward(ctx: Any, name: str, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.name = name
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(tensors[0].new_empty(0))
        return tuple(tensor.detach() for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        try:
            _ = ctx.saved_tensors
        except RuntimeError:
            raise RuntimeError(
                f"{ctx.name}: a second backward pass through a state kept from before the first: call "
                "detach_states(model) after each backward pass to go on from the state, or reset_states(model) to "
                "start anew"
            ) from None
        return (None, *gradients)


def stateful_modules(model: nn.Module) -> Iterator[tuple[str, StatefulModule]]:
    """Every layer of the model that keeps a state, with its path, as ``named_modules`` gives it."""
    for path, module in model.named_modules():
        if isinstance(module, StatefulModule):
            yield path, module


def reset_states(model: nn.Module) -> None:
    """Forget: every stateful layer starts from its initial state at the next call."""
    for _, module in stateful_modules(model):
        for name in module.state_names:
            setattr(module, name, None)


def detach_states(model: nn.Module) -> None:
    """Keep all states, but cut them off from the graph: no gradient flows further back in time."""
    for _, module in stateful_modules(model):
        for name in module.state_names:
            kept = getattr(module, name)
            setattr(module, name, None if kept is None else kept.detach())


def get_states(model: nn.Module) -> dict[str, Tensor]:
    """All kept states by ``path.name``, with their graph; layers that were not called since a reset have none."""
    kept = {
        _join(path, name): getattr(module, name)
        for path, module in stateful_modules(model)
        for name in module.state_names
    }
    return {name: state for name, state in kept.items() if state is not None}


def set_states(model: nn.Module, states: Mapping[str, Tensor]) -> None:
    """Go on from what `get_states` gave; layers that it does not name start from their initial state.

    Raises:
        ValueError: a name that is no state of the model.
    """
    places = {
        _join(path, name): (module, name) for path, module in stateful_modules(model) for name in module.state_names
    }
    if unknown := sorted(states.keys() - places.keys()):
        raise ValueError(f"the model has no state {unknown[0]}: it has {', '.join(places) or 'none'}")
    for key, (module, name) in places.items():
        setattr(module, name, states.get(key))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
