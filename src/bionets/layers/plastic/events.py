"""A network as tables of addresses for the kernel that computes a whole presentation at once.

It takes groups of any shape and all kinds of neurons in this package; `Linear`, `OneToOne` and `AllButOne` connections
without delay, feedback and recurrence included; `PairSTDP` and `TripletSTDP` for connections from an earlier group.
"""

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from bionets.layers.plastic import events_kernel as kernel
from bionets.layers.plastic.connection import Connection
from bionets.layers.plastic.integrate_and_fire import IF, LIF, AdaptiveLIF, TraceLIF
from bionets.layers.plastic.lateral import AllButOne, OneToOne
from bionets.layers.plastic.learning_rule import LearningRule
from bionets.layers.plastic.linear import Linear
from bionets.layers.plastic.neuron import Input, Neuron
from bionets.layers.plastic.pair_stdp import PairSTDP, check_dependence
from bionets.layers.plastic.triplet_stdp import TripletSTDP
from bionets.layers.plastic.weighted import WeightedConnection

if TYPE_CHECKING:
    from bionets.layers.plastic.network import Network

NEURONS = (Input, IF, LIF, AdaptiveLIF, TraceLIF)
CONNECTIONS: dict[type[Connection], int] = {
    Linear: kernel.LINEAR,
    OneToOne: kernel.ONE_TO_ONE,
    AllButOne: kernel.ALL_BUT_ONE,
}
RULES = (PairSTDP, TripletSTDP)
FIELDS = frozenset(kernel.GROUP.names or ())


def why_not(network: "Network", device: torch.device) -> str | None:
    """What of this network the kernel cannot compute; None if it can compute all."""
    if device.type != "cpu":
        return f"it lies on {device.type}"
    for name, neurons in network.neurons.items():
        if type(neurons) not in NEURONS:
            return f"{name!r} are neurons of a kind of their own, {type(neurons).__name__}"
    for name, connection in network.connections.items():
        if type(connection) not in CONNECTIONS:
            return f"{name!r} is a connection of the kind {type(connection).__name__}"
        if connection.delay is not None:
            return f"{name!r} has delays"
    dtypes = _dtypes(network)
    if len(dtypes) != 1 or not dtypes <= {torch.float32, torch.float64}:
        return f"it is of {' and '.join(sorted(map(str, dtypes))) or 'no dtype'}"
    return _why_not_learn(network) if network.training else None


def _dtypes(network: "Network") -> set[torch.dtype]:
    """Of all parameters and buffers. Network.buffers() would cost more than a short presentation."""
    tensors = (tensor for own in network.modules() for tensor in (*own._buffers.values(), *own._parameters.values()))
    return {tensor.dtype for tensor in tensors if tensor is not None and tensor.is_floating_point()}


def _why_not_learn(network: "Network") -> str | None:
    order = list(network.neurons)
    names = {connection: name for name, connection in network.connections.items()}
    taught: set[Connection] = set()
    for rule in network.rules:
        if type(rule) not in RULES:
            return f"it learns by {type(rule).__name__}"
        for connection, _ in rule:
            name = names[connection]
            source, target = network.paths[name]
            if order.index(source) >= order.index(target):
                return f"{name!r} learns, and carries the spikes of the step before"
            if connection in taught:
                return f"{name!r} learns by more than one rule"
            taught.add(connection)
    return None


def run(network: "Network", spikes: dict[str, Tensor], rewards: Tensor | None) -> dict[str, Tensor]:
    """The spikes ``[T, B, *shape]`` of every group that is no input."""
    tables = Tables(network, spikes)
    steps, batch, groups = tables.steps, tables.batch, tables.groups
    widest, total = int(groups["size"].max()), int(groups["size"].sum())
    kernel.present(
        steps,
        batch,
        network.training,
        groups,
        tables.connections,
        tables.plasticities,
        np.empty(widest, tables.dtype),
        np.empty(widest * kernel.BLOCK, tables.dtype),
        np.empty(total * batch, np.int32),
        np.empty((len(groups), batch), np.int32),
        np.zeros(2 * (2 + batch) * widest, np.int32),
        np.empty(1, np.uint8),
    )
    for neurons, name, history in tables.histories:
        neurons.append_history(name, history)
    return tables.out


class Tables:
    """The arguments of the kernel. Lives as long as the kernel runs, since it holds what the addresses point to."""

    def __init__(self, network: "Network", spikes: dict[str, Tensor]) -> None:
        self.steps, self.batch = next(iter(spikes.values())).shape[:2]
        (self.torch_dtype,) = _dtypes(network)
        self.dtype = torch.empty(0, dtype=self.torch_dtype).numpy().dtype
        self.out: dict[str, Tensor] = {}
        self.histories: list[tuple[Neuron, str, Tensor]] = []
        self._held: list[Tensor] = []
        self._places: dict[Connection, int] = {}
        self.groups = np.zeros(len(network.neurons), kernel.GROUP)
        self.connections = np.zeros(len(network.connections), kernel.CONNECTION)
        numbers = {neurons: g for g, neurons in enumerate(network.neurons.values())}
        for name, neurons in network.neurons.items():
            row = self.groups[numbers[neurons]]
            row["offset"] = self.batch * self.groups["size"].sum()
            self._group(row, neurons)
            if name in spikes:
                row["x"] = self._address(spikes[name].contiguous())
            else:
                self.out[name] = self._recorded(neurons, torch.bool)
                row["out"] = self._address(self.out[name])
            row["first"] = len(self._places)
            for source, connection in network.inputs_of(name):
                place = self._places[connection] = len(self._places)
                weight = self._weight(connection)
                self.connections[place] = (CONNECTIONS[type(connection)], numbers[source], numbers[neurons], weight)
            row["last"] = len(self._places)
        taught = [(rule, *each) for rule in network.rules for each in rule] if network.training else []
        self.plasticities = np.zeros(len(taught), kernel.PLASTICITY)
        for plasticity, (rule, connection, options) in zip(self.plasticities, taught, strict=True):
            self._plasticity(plasticity, rule, connection, options, network.ends_of(connection))

    def _group(self, row: Any, neurons: Neuron) -> None:
        row["size"] = math.prod(neurons.shape)
        row["is_input"], row["subtracts_trace"] = isinstance(neurons, Input), neurons.subtracts_trace
        row["has_trace"], row["nearest"] = neurons.has_trace, neurons.nearest_spike
        if isinstance(neurons, AdaptiveLIF):
            row["adapts"], row["shares_adaptation"] = neurons.adapts, neurons.homeostasis
        for name, value in neurons._buffers.items():
            if value is not None and name in FIELDS:
                if name in neurons.state_names:  # the kernel writes to it, and somebody may have kept the present one
                    value = value.clone()
                neurons._buffers[name] = value = value.contiguous()
                row[name] = self._address(value)
        for name in neurons.record:
            history = self._recorded(neurons, torch.bool if name == "spikes" else self.torch_dtype)
            self.histories.append((neurons, name, history))
            row[f"{name}_history"] = self._address(history)

    def _plasticity(
        self,
        row: Any,
        rule: LearningRule,
        connection: WeightedConnection,
        options: SimpleNamespace,
        ends: tuple[Neuron, Neuron],
    ) -> None:
        for end, neurons in zip(("source", "target"), ends, strict=True):
            if not neurons.has_trace:
                raise ValueError(f"the rule needs a trace of the {end}: {neurons._get_name()}(..., trace=...)")
        check_dependence(connection, options.weight_dependence)
        row["connection"] = self._places[connection]
        row["low"], row["high"] = connection.bounds
        for name, value in vars(options).items():
            row["nearest" if name == "nearest_spike" else name] = value
        if isinstance(rule, TripletSTDP):
            for name, neurons in zip(("slow_pre", "slow_post"), ends, strict=True):
                shape = (self.batch, math.prod(neurons.shape), 1)
                kept = rule.state[connection].get(name, torch.zeros(shape, dtype=self.torch_dtype))
                if kept.shape != shape:
                    raise ValueError(f"{name} of the rule is of a batch of {len(kept)}, not {self.batch}: call reset()")
                rule.state[connection][name] = kept.clone(memory_format=torch.contiguous_format)
                row[name] = self._address(rule.state[connection][name])

    def _recorded(self, neurons: Neuron, dtype: torch.dtype) -> Tensor:
        return torch.empty((self.steps, self.batch, *neurons.shape), dtype=dtype)

    def _weight(self, connection: Connection) -> int:
        weight = connection._parameters["weight"]
        assert weight is not None
        weight.data = weight.data.contiguous()
        return self._address(weight)

    def _address(self, tensor: Tensor) -> int:
        self._held.append(tensor)
        return tensor.data_ptr()
