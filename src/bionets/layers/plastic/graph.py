"""Groups of neurons, the connections between them and their learning rules, as a graph."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from bionets.layers.plastic.connection import Connection
from bionets.layers.plastic.learning_rule import LearningRule
from bionets.layers.plastic.neuron import Input, Neuron
from bionets.layers.plastic.reward_modulated import MSTDPET, reward_tensor
from bionets.layers.plastic.weighted import WeightedConnection
from bionets.layers.stateful import reset_states

SomeNeuron = TypeVar("SomeNeuron", bound=Neuron)
SomeConnection = TypeVar("SomeConnection", bound=Connection)


def tensors_of(module: Any) -> Iterator[Tensor]:
    """All parameters and buffers of a module. (`parameters()` and `buffers()` would take longer than a short
    presentation.)"""
    for each in module.modules():
        for tensor in (*each._parameters.values(), *each._buffers.values()):
            if tensor is not None:
                yield tensor


def _put(modules: Mapping[str, Any], name: str, module: nn.Module) -> None:
    try:
        modules[name] = module  # type: ignore[index]
    except KeyError as error:  # a dot, no letter, or the name of a method of torch.nn.ModuleDict
        raise ValueError(f"{name!r} cannot be a name in the network ({error.args[0]}): choose another one") from None


def _check_kind(given: Any, kind: type) -> None:
    """Raise TypeError unless the given part of a network is of this kind; `torch.nn` has layers of the same names."""
    if not isinstance(given, kind):
        got = f"{type(given).__module__}.{type(given).__name__}"
        raise TypeError(f"expected a {kind.__name__} of bionets.layers.plastic, got a {got}")


class Graph(nn.Module):
    """Groups of neurons, the connections between them, and their learning rules; `Network` runs the graph over time."""

    def __init__(self) -> None:
        super().__init__()
        self.neurons: Mapping[str, Neuron] = nn.ModuleDict()  # type: ignore[assignment]
        self.connections: Mapping[str, Connection] = nn.ModuleDict()  # type: ignore[assignment]
        self.paths: dict[str, tuple[str, str]] = {}
        self.rules: list[LearningRule] = []
        self.rule_states = nn.ModuleList()

    def add(self, name: str, neurons: SomeNeuron) -> SomeNeuron:
        """Add a group of neurons, and return it."""
        if name in self.neurons:
            raise ValueError(f"the network already has neurons called {name!r}")
        _check_kind(neurons, Neuron)
        if any(neurons is own for own in self.neurons.values()):
            raise ValueError(f"the neurons to be called {name!r} are in the network already: make others")
        _put(self.neurons, name, neurons)
        return neurons

    def connect(
        self, source: str, target: str, connection: SomeConnection, *, name: str | None = None
    ) -> SomeConnection:
        """Connect two groups, or a group with itself, and return the connection. Its default name is source_target."""
        _check_kind(connection, Connection)
        name = name or f"{source}_{target}"
        if name in self.connections:
            raise ValueError(f"the network already has a connection called {name!r}: give this one a name")
        if any(connection is own for own in self.connections.values()):
            raise ValueError(f"the connection to be called {name!r} is in the network already: make another one")
        for end in (source, target):
            if end not in self.neurons:
                raise ValueError(f"the network has no neurons called {end!r}, only {', '.join(self.neurons) or 'none'}")
        if isinstance(self.neurons[target], Input):
            raise ValueError(f"{target!r} is an Input: its spikes come from outside, nothing can be connected to it")
        if self.neurons[target].subtracts_trace and not self.neurons[source].has_trace:
            raise ValueError(f"{target!r} subtracts presynaptic traces, but {source!r} has none: give it trace=...")
        connection.check(self.neurons[source].shape, self.neurons[target].shape)
        _put(self.connections, name, connection)
        self.paths[name] = (source, target)
        return connection

    def add_rule(self, rule: LearningRule) -> None:
        """Add a rule by which connections of this network learn in training mode.

        Raises:
            ValueError: a connection of the rule is not in this network, or the rule is in the network already.
        """
        _check_kind(rule, LearningRule)
        if any(rule is own for own in self.rules):
            raise ValueError(f"this {type(rule).__name__} is in the network already: make another one")
        for connection, _ in rule:
            if not any(connection is own for own in self.connections.values()):
                raise ValueError(f"{type(rule).__name__}: a connection of its groups is not in the network")
        self.rules.append(rule)
        self.rule_states.extend(rule.state.values())

    def learn(self, rule: LearningRule) -> None:
        """Deprecated name of `add_rule`."""
        warnings.warn("Network.learn is now called add_rule", DeprecationWarning, stacklevel=2)
        self.add_rule(rule)

    def reinforce(self, reward: float | Tensor) -> None:
        """Apply a reward, a number or ``[B]``, to the eligibility traces of all reward-modulated rules."""
        with torch.no_grad():
            for rule in self.rules:
                if isinstance(rule, MSTDPET):
                    rule.reinforce(reward_tensor(reward))

    def normalise(self) -> None:
        """Scale the weights of all connections that have a ``norm``; see `WeightedConnection`."""
        with torch.no_grad():
            for connection in self.connections.values():
                if isinstance(connection, WeightedConnection):
                    connection.normalise()

    def reset(self) -> None:
        """Reset neurons to rest, and the states of connections and rules; keep weights and learnt thresholds."""
        reset_states(self)
        for rule in self.rules:
            rule.reset()

    def inputs_of(self, name: str) -> list[tuple[Neuron, Connection]]:
        """All connections to a group, with their sources."""
        return [
            (self.neurons[source], self.connections[connection])
            for connection, (source, target) in self.paths.items()
            if target == name
        ]

    def ends_of(self, connection: Connection) -> tuple[Neuron, Neuron]:
        """The source and the target of a connection."""
        name = next(name for name, own in self.connections.items() if own is connection)
        source, target = self.paths[name]
        return self.neurons[source], self.neurons[target]
