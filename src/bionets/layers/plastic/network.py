"""Groups of neurons and the connections between them, run over time."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from bionets.layers.folding import refuse_sequence_layer
from bionets.layers.plastic.backends import choose
from bionets.layers.plastic.connection import Connection
from bionets.layers.plastic.learning_rule import LearningRule
from bionets.layers.plastic.neuron import Input, Neuron
from bionets.layers.plastic.reward_modulated import MSTDPET
from bionets.layers.plastic.weighted import WeightedConnection
from bionets.layers.stateful import reset_states

__all__ = ["Network"]

SomeNeuron = TypeVar("SomeNeuron", bound=Neuron)
SomeConnection = TypeVar("SomeConnection", bound=Connection)


class Network(nn.Module):
    """Groups of neurons, connected in any way, with the rules by which the connections learn. Without gradients.

    A group is computed after those that were added before it. A connection from an earlier group carries the spikes of
    the same step, one from the same or a later group (recurrence, feedback) those of the step before. The currents of
    all connections to a group add up. Learning rules act at the end of each step, in training mode only.

    The network of Diehl and Cook (2015), which learns digits without labels::

        network = Network()
        network.add("pixels", Input(784, trace=LinearDynamics(0.95), nearest_spike=True))
        network.add("excitatory", AdaptiveLIF(
            400, LinearDynamics(0.99), LinearDynamics(1 - 1e-7, scale=0.05), homeostasis=True,
            rest=-65.0, reset=-60.0, threshold=-52.0, refractory=5,
            trace=LinearDynamics(0.95), nearest_spike=True,
        ))
        network.add("inhibitory", LIF(400, LinearDynamics(0.9), rest=-60.0, reset=-45.0, threshold=-40.0, refractory=2))
        weight = 0.3 * torch.rand(784, 400)
        learnt = network.connect("pixels", "excitatory", Linear(784, 400, weight=weight, norm=78.4))
        network.connect("excitatory", "inhibitory", OneToOne(400, 22.5))
        network.connect("inhibitory", "excitatory", AllButOne(400, -17.5))
        network.learn(PairSTDP([learnt], potentiation=1e-2, depression=1e-4))

        for image in images:  # each [784], between 0 and 1
            network.reset()
            network.normalise()
            spikes = network(torch.rand(350, 1, 784) < 0.128 * image)  # one presentation of 350 steps
            counts = spikes["excitatory"].sum(0)  # [1, 400]

    ``backend`` says how the last presentation was computed: "reference" (step by step in PyTorch: any network, any
    device) or "numba" (one kernel for all of it, which follows single spikes).
    """

    backend: str | None

    def __init__(self) -> None:
        super().__init__()
        self.neurons: Mapping[str, Neuron] = nn.ModuleDict()  # type: ignore[assignment]
        self.connections: Mapping[str, Connection] = nn.ModuleDict()  # type: ignore[assignment]
        self.paths: dict[str, tuple[str, str]] = {}
        self.rules: list[LearningRule] = []
        self.backend = None

    def add(self, name: str, neurons: SomeNeuron) -> SomeNeuron:
        """Add a group of neurons; returns it."""
        if name in self.neurons:
            raise ValueError(f"the network already has neurons called {name!r}")
        self.neurons[name] = neurons  # type: ignore[index]
        return neurons

    def connect(
        self, source: str, target: str, connection: SomeConnection, *, name: str | None = None
    ) -> SomeConnection:
        """Connect two groups, or a group with itself; returns the connection, called source_target unless named."""
        name = name or f"{source}_{target}"
        if name in self.connections:
            raise ValueError(f"the network already has a connection called {name!r}: give this one a name")
        for end in (source, target):
            if end not in self.neurons:
                raise ValueError(f"the network has no neurons called {end!r}, only {', '.join(self.neurons) or 'none'}")
        if isinstance(self.neurons[target], Input):
            raise ValueError(f"{target!r} is an Input: its spikes come from outside, nothing can be connected to it")
        if self.neurons[target].subtracts_trace and not self.neurons[source].has_trace:
            raise ValueError(f"{target!r} subtracts presynaptic traces, but {source!r} has none: give it trace=...")
        connection.check(self.neurons[source].shape, self.neurons[target].shape)
        self.connections[name] = connection  # type: ignore[index]
        self.paths[name] = (source, target)
        return connection

    def learn(self, rule: LearningRule) -> None:
        """Let connections of this network learn by a rule, in training mode."""
        for connection, _ in rule:
            if not any(connection is own for own in self.connections.values()):
                raise ValueError(f"{type(rule).__name__}: a connection of its groups is not in the network")
        self.rules.append(rule)

    def forward(
        self, x: Tensor | Mapping[str, Tensor], reward: float | Tensor | None = None, *, backend: str = "auto"
    ) -> dict[str, Tensor]:
        """All steps of x, from the kept states, with learning in training mode.

        Args:
            x: spikes ``[T, B, *shape]`` of the one `Input`, or of each by name: bool (fastest), or 0 and 1.
            reward: for rules that are modulated by one: a number, or a tensor to be broadcast to ``[T, B]``.
            backend: "reference" or "numba", or "auto", which takes "numba" where it can (on the CPU, for the networks
                that `bionets.layers.plastic.events.tables` lists), and warns once where it cannot.

        Returns:
            The spikes of every group that is no input, bool ``[T, B, *shape]``.

        Raises:
            ValueError: x does not fit, the kept states are of a batch of another size, or the backend was asked for by
                name and cannot compute this network.
        """
        refuse_sequence_layer(self)
        spikes = self._spikes(x)
        steps, batch = next(iter(spikes.values())).shape[:2]
        device = next(iter(spikes.values())).device
        with torch.no_grad():
            for neurons in self.neurons.values():
                neurons.prepare(batch, device)
            for connection in self.connections.values():
                connection.prepare(batch)
            rewards = None if reward is None else torch.as_tensor(reward, device=device).expand(steps, batch)
            self.backend, run = choose(self, backend, device)
            return run(self, spikes, rewards)

    def reinforce(self, reward: float | Tensor) -> None:
        """Reward, a number or ``[B]``, what the synapses did up to now, by all rules that are modulated by a reward."""
        with torch.no_grad():
            for rule in self.rules:
                if isinstance(rule, MSTDPET):
                    rule.reinforce(torch.as_tensor(reward))

    def normalise(self) -> None:
        """Scale the weights of all connections that have a ``norm``; see `WeightedConnection`."""
        with torch.no_grad():
            for connection in self.connections.values():
                if isinstance(connection, WeightedConnection):
                    connection.normalise()

    def reset(self) -> None:
        """Forget all spikes: neurons come to rest, connections and rules are empty. What was learnt stays."""
        reset_states(self)
        for rule in self.rules:
            rule.reset()

    def inputs_of(self, name: str) -> list[tuple[Neuron, Connection]]:
        """All connections to a group, each with its source."""
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

    def _spikes(self, x: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
        inputs = {name: neurons for name, neurons in self.neurons.items() if isinstance(neurons, Input)}
        if isinstance(x, Tensor):
            if len(inputs) != 1:
                raise ValueError(f"the network has {len(inputs)} inputs ({', '.join(inputs)}): give a dict by name")
            x = dict.fromkeys(inputs, x)
        if x.keys() != inputs.keys():
            raise ValueError(f"spikes are given for {', '.join(x) or 'nothing'}; the inputs are {', '.join(inputs)}")
        spikes = {name: self._checked(name, inputs[name], values) for name, values in x.items()}
        sizes = {tuple(values.shape[:2]) for values in spikes.values()}
        if len(sizes) > 1:
            raise ValueError(f"all inputs need the same steps and batch, got {' and '.join(map(str, sizes))}")
        return spikes

    @staticmethod
    def _checked(name: str, neurons: Neuron, values: Tensor) -> Tensor:
        if values.dim() < 2 or tuple(values.shape[2:]) != neurons.shape:
            expected = ", ".join(["T", "B", *map(str, neurons.shape)])
            raise ValueError(f"{name!r}: expected spikes of shape [{expected}], got {tuple(values.shape)}")
        if values.dtype == torch.bool:
            return values
        spikes = values != 0
        if not torch.equal(spikes.to(values.dtype), values):
            raise ValueError(f"{name!r}: spikes must be 0 or 1; make them of rates with torch.rand_like(x) < x")
        return spikes

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        for rule in self.rules:
            for state in rule.state.values():
                state.update({name: fn(value) for name, value in state.items()})
        return super()._apply(fn, recurse)
