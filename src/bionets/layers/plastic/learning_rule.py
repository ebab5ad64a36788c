"""The base class of learning rules, which compute weight changes from pre- and postsynaptic activity."""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor

from bionets.layers.plastic.neuron import Neuron
from bionets.layers.plastic.weighted import WeightedConnection
from bionets.layers.stateful import StatefulModule


class RuleState(StatefulModule, MutableMapping[str, Tensor]):
    """The state of a rule for one connection: tensors by name. As a module of the network, it is found by
    `reset_states`, `get_states`, `save_states`, ... and moved by ``.to()``."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.state_names = names
        super().__init__()

    def __getitem__(self, name: str) -> Tensor:
        kept = self._buffers.get(name)
        if kept is None:
            raise KeyError(name)
        return kept

    def __setitem__(self, name: str, value: Tensor) -> None:
        if name not in self._buffers:
            self.state_names = (*self.state_names, name)
            self.register_buffer(name, value, persistent=False)
        self._buffers[name] = value

    def __delitem__(self, name: str) -> None:
        self[name]  # raises KeyError
        self._buffers[name] = None

    def __iter__(self) -> Iterator[str]:
        return (name for name, kept in self._buffers.items() if kept is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    __hash__ = StatefulModule.__hash__  # a mapping would have none, and would equal another with the same tensors
    __eq__ = StatefulModule.__eq__


@dataclass
class Synapses:
    """The synapses of one connection at the end of one step.

    Their layout is that of `WeightedConnection`: weights ``[R, O]``, presynaptic values ``[B, R, L]`` (``[B, R, O, L]``
    if every synapse has its own delay), postsynaptic values ``[B, O, L]``; ``L`` is 1 for `Linear`.

    state: the state of the rule for this connection, until the next `Network.reset`.
    reward: the reward of this step, ``[B]``; None if no reward was given.
    """

    connection: WeightedConnection
    source: Neuron
    target: Neuron
    state: MutableMapping[str, Tensor]
    reward: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        return self.connection.matrix

    @property
    def exist(self) -> Tensor:
        """1 for every synapse ``[1, R, L]``, 0 for the padding of a convolution."""
        return self.connection.rows(self.weight.new_ones(1, *self.source.shape))

    @property
    def pre_spikes(self) -> Tensor:
        """The spikes that arrive in this step, as 0 and 1."""
        assert self.connection.pre_spikes is not None
        return self.connection.arrived(self.connection.pre_spikes)

    @property
    def pre_trace(self) -> Tensor:
        self.source.require_trace("source")
        assert self.connection.pre_trace is not None
        return self.connection.arrived(self.connection.pre_trace)

    @property
    def post_spikes(self) -> Tensor:
        """The spikes that the target fires in this step, as 0 and 1."""
        assert self.target.spikes is not None
        return self._outputs(self.target.spikes)

    @property
    def post_trace(self) -> Tensor:
        self.target.require_trace("target")
        assert self.target.trace is not None
        return self._outputs(self.target.trace)

    def correlate(self, pre: Tensor, post: Tensor) -> Tensor:
        """pre · post for each weight ``[R, O]``: summed over the positions that share it, averaged over the batch."""
        return torch.einsum("brol,bol->ro" if pre.dim() == 4 else "brl,bol->ro", pre, post) / len(post)

    def correlate_each(self, pre: Tensor, post: Tensor) -> Tensor:
        """`correlate` for each sample, ``[B, R, O]``."""
        return torch.einsum("brol,bol->bro" if pre.dim() == 4 else "brl,bol->bro", pre, post)

    def _outputs(self, values: Tensor) -> Tensor:
        return values.reshape(len(values), self.weight.shape[1], -1).to(self.weight.dtype)


Connections = WeightedConnection | Iterable[WeightedConnection] | Iterable[Mapping[str, Any]]


class LearningRule:
    """A rule for groups of connections, each with its own options, like parameter groups of an optimizer:

        Rule(connections, rate=0.01)
        Rule([{"connections": first, "rate": 0.1}, {"connections": second}], rate=0.01)

    To write a rule, derive from this class, declare its options in ``__init__`` and implement `change`. ``state_names``
    are the names of the tensors in ``synapses.state``, so that `load_states` knows them in a network that has not run.
    """

    state_names: ClassVar[tuple[str, ...]] = ()
    groups: list[dict[str, Any]]
    state: dict[WeightedConnection, RuleState]

    def __init__(self, connections: Connections, **defaults: Any) -> None:
        given: list[Any] = [connections] if isinstance(connections, WeightedConnection) else list(connections)
        groups = given if given and isinstance(given[0], Mapping) else [{"connections": given}]
        self.groups = [self._group(dict(group), defaults) for group in groups]
        self.state = {connection: RuleState(self.state_names) for connection, _ in self}
        if not self.state:
            raise ValueError(f"{type(self).__name__} got no connections")
        if len(self.state) < len(list(self)):
            raise ValueError(f"{type(self).__name__}: a connection stands in more than one group")

    def change(self, synapses: Synapses, options: SimpleNamespace) -> Tensor | None:
        """The change of the weights ``[R, O]`` at the end of a step, with the options of the group, or None."""
        raise NotImplementedError(f"{type(self).__name__} must implement change")

    def __iter__(self) -> Iterator[tuple[WeightedConnection, SimpleNamespace]]:
        """Every connection with the options of its group."""
        for group in self.groups:
            options = SimpleNamespace(**{name: value for name, value in group.items() if name != "connections"})
            for connection in group["connections"]:
                yield connection, options

    def reset(self) -> None:
        """Delete the traces and other states of all connections; called by `Network.reset`. A rule that keeps values of
        its own elsewhere overrides it."""
        for state in self.state.values():
            state.clear()

    def _group(self, group: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
        name = type(self).__name__
        chosen = group.pop("connections", None)
        members: Sequence[Any] = [chosen] if isinstance(chosen, WeightedConnection) else list(chosen or ())
        for connection in members:
            if not isinstance(connection, WeightedConnection):
                raise TypeError(f"{name} changes Linear and Conv2d, not {type(connection).__name__}")
        if unknown := sorted(group.keys() - defaults.keys()):
            raise ValueError(f"{name} has no option {unknown[0]!r}; choose from {', '.join(defaults)}")
        return {"connections": members, **defaults, **group}
