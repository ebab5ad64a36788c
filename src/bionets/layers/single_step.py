"""One time step of a network, with states as arguments and results instead of attributes."""

from typing import Any

import torch
from torch import Tensor, nn

from bionets.layers.plain_calls import temporary_evaluation, temporary_hooks
from bionets.layers.recurrent.recurrence import as_tuple
from bionets.layers.spatial.spatial_recurrent import without_positions
from bionets.layers.stateful import StatefulModule, get_states, set_states, stateful_modules, temporary_states


class SingleStep(nn.Module):
    """A pure function of the input of one step and the states, as required by `torch.export` and ONNX::

        output, *states = step(x, *states)

    Attributes:
        state_names: names of the states, in the order of arguments and results.
    """

    state_names: tuple[str, ...]

    def batch_dim_of(self, state: Tensor) -> int:
        """The batch dimension of a state."""
        return 0

    def initial_states(self, x: Tensor) -> tuple[Tensor, ...]:
        """The states before the first step, for an input x ``[B, ...]``."""
        raise NotImplementedError(f"{type(self).__name__} must implement initial_states")

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """The output and the new states of one step x ``[B, ...]``."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward")


class RecurrentStep(SingleStep):
    """One step of a layer with the interface of `torch.nn.GRU` or `torch.nn.LSTM`, followed by a readout.

    x is ``[B, input_size]``; the states (``h0``, and ``c0`` if there are two) are ``[num_layers, B, hidden_size]``, or
    ``[B, hidden_size]`` if the layer returns them so. Further states of a layer of your own are ``state2``, ...

    Args:
        layer: the layer, with ``batch_first=False``.
        readout: a module from the layer's output ``[B, hidden_size]`` to the output of the step.
        x: an input of one step, which determines the number of states; None if there is one, or for a layer of bionets
            or `torch.nn`.

    Raises:
        ValueError: the layer is bidirectional, or has ``batch_first=True``.
    """

    def __init__(self, layer: nn.Module, readout: nn.Module | None = None, x: Tensor | None = None) -> None:
        super().__init__()
        layer = without_positions(layer)
        name = type(layer).__name__
        if getattr(layer, "bidirectional", False):
            raise ValueError(f"a bidirectional {name} cannot run step by step: it needs the whole sequence")
        if getattr(layer, "batch_first", False):
            raise ValueError(f"{name}: a single step needs batch_first=False")
        self.layer = layer
        self.readout = nn.Identity() if readout is None else readout
        recurrence = getattr(layer, "recurrence", None)
        if recurrence is not None:
            self.state_names = recurrence.states
        elif isinstance(layer, nn.RNNBase) or x is None:
            self.state_names = ("h0", "c0") if isinstance(layer, nn.LSTM) else ("h0",)
        else:
            count = len(self.initial_states(x))
            self.state_names = ("h0", "c0", *(f"state{number}" for number in range(2, count)))[:count]

    def batch_dim_of(self, state: Tensor) -> int:
        return state.dim() - 2

    def initial_states(self, x: Tensor) -> tuple[Tensor, ...]:
        """Zeros."""
        with torch.no_grad():
            _, last = self.layer(x.unsqueeze(0))
        return tuple(torch.zeros_like(state) for state in as_tuple(last))

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        output, last = self.layer(x.unsqueeze(0), states[0] if len(states) == 1 else states)
        return (self.readout(output.squeeze(0)), *as_tuple(last))


class StatefulStep(SingleStep):
    """One step of a network of `StatefulModule` layers, followed by a readout.

    x and the states are ``[B, ...]``; the states have the names of `get_states`. The stored states of the network do
    not change.

    Args:
        network: a network written for one time step, as for `unroll`.
        x: an input of one step, which determines the shapes of the states.
        readout: a module from the network's output to the output of the step.
    """

    def __init__(self, network: nn.Module, x: Tensor, readout: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network
        self.readout = nn.Identity() if readout is None else readout
        self.state_names = tuple(self._initial_states(x))

    def initial_states(self, x: Tensor) -> tuple[Tensor, ...]:
        """The initial states of all layers; mostly zeros."""
        return tuple(self._initial_states(x).values())

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        kept = get_states(self.network)
        try:
            set_states(self.network, dict(zip(self.state_names, states, strict=True)))
            output = self.readout(self.network(x))
            new = get_states(self.network)
        finally:
            set_states(self.network, kept)
        return (output, *(new[name] for name in self.state_names))

    def _initial_states(self, x: Tensor) -> dict[str, Tensor]:
        initial: dict[str, Tensor] = {}

        def recorder(path: str) -> Any:
            def record(layer: StatefulModule, inputs: tuple[Tensor, ...]) -> None:
                names = (f"{path}.{name}" if path else name for name in layer.state_names)
                # Copied, because a program exported with views of a parameter would accept only such views.
                states = (state.detach().clone() for state in layer.initial_states(inputs[0].unsqueeze(0)))
                initial.update(zip(names, states, strict=True))

            return record

        hooks = (layer.register_forward_pre_hook(recorder(path)) for path, layer in stateful_modules(self.network))
        evaluation = temporary_evaluation(self.network)  # so that batch normalisation does not count x
        with temporary_states(self.network), evaluation, temporary_hooks(hooks), torch.no_grad():
            self.network(x)
        return initial
