"""A network as tables of addresses for the kernel that computes a whole presentation.

The kernel supports all neurons of this package; `Linear`, `OneToOne` and `LateralInhibition` connections in any graph,
with one delay for a `Linear` and one for each source neuron of the others; and the rules `PairSTDP`, `TripletSTDP`,
`MSTDP` and `MSTDPET`, at most one for each connection.
"""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bionets.layers.denormals import denormals_flushed
from bionets.layers.plastic.compiled import dtypes_of, unsupported_part, values_of, weight_of
from bionets.layers.plastic.connection import Connection
from bionets.layers.plastic.events import memory
from bionets.layers.plastic.graph import Graph
from bionets.layers.plastic.integrate_and_fire import IF, LIF, AdaptiveLIF, TraceLIF
from bionets.layers.plastic.lateral import LateralInhibition, OneToOne
from bionets.layers.plastic.learning_rule import LearningRule
from bionets.layers.plastic.linear import Linear
from bionets.layers.plastic.neuron import Input, Neuron
from bionets.layers.plastic.pair_stdp import PairSTDP, check_dependence
from bionets.layers.plastic.reward_modulated import MSTDP, MSTDPET
from bionets.layers.plastic.triplet_stdp import TripletSTDP
from bionets.layers.plastic.weighted import WeightedConnection

NEURONS = (Input, IF, LIF, AdaptiveLIF, TraceLIF)
CONNECTIONS: dict[type[Connection], int] = {
    Linear: memory.LINEAR,
    OneToOne: memory.ONE_TO_ONE,
    LateralInhibition: memory.LATERAL_INHIBITION,
}
RULES = (PairSTDP, TripletSTDP, MSTDP, MSTDPET)
FIELDS = frozenset(memory.GROUP.names or ())


def unsupported_reason(network: Graph, device: torch.device) -> str | None:
    """The part of this network that the kernel cannot compute; None if it can compute all."""
    if device.type != "cpu":
        return f"it lies on {device.type}"
    for name, connection in network.connections.items():
        if isinstance(connection, Linear) and connection.delays_each_synapse:
            return f"{name!r} has a delay for each synapse"
    return unsupported_part(network, NEURONS, CONNECTIONS, RULES) or _weights_not_finite(network)


def _weights_not_finite(network: Graph) -> str | None:
    """The weights that are not finite, if any: 0 · inf is NaN in the reference, but an event-driven kernel skips it."""
    for name, connection in network.connections.items():
        weight = connection._parameters["weight"]
        assert weight is not None
        if not math.isfinite(weight.sum()) and not weight.isfinite().all():  # the sum is faster
            return f"weights of {name!r} are not finite"
    return None


def run(
    network: Graph, spikes: dict[str, Tensor], rewards: Tensor | None, currents: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The spikes ``[T, B, *shape]`` of every group that is not an input."""
    from bionets.layers.plastic.events.kernel import run_steps

    tables = Tables(network, spikes, currents)
    steps, batch, groups, dtype = tables.steps, tables.batch, tables.groups, tables.dtype
    largest, total = int(groups["size"].max()), int(groups["size"].sum())
    work = memory.Work(
        current=np.empty(largest, dtype),
        block=np.empty(largest * memory.BLOCK, dtype),
        spiking=np.empty(total * batch, np.int32),
        counts=np.zeros((len(groups), batch), np.int32),
        heads=np.zeros((2, (2 + batch) * largest), np.int32),
        bits=np.empty(1, np.uint8),
    )
    given = np.empty((0, batch), dtype)
    if rewards is not None:
        given = rewards.detach().to(tables.torch_dtype).resolve_neg().contiguous().numpy()
    with denormals_flushed():
        run_steps(steps, batch, len(network.neurons), groups, tables.connections, tables.plasticities, given, work)
    for neurons, name, history in tables.histories:
        neurons.append_history(name, history)
    return tables.out


class Tables:
    """The arguments of the kernel. It must outlive the call of the kernel, because it owns the memory at the
    addresses."""

    def __init__(self, network: Graph, spikes: dict[str, Tensor], currents: dict[str, Tensor]) -> None:
        self.steps, self.batch = next(iter({**spikes, **currents}.values())).shape[:2]
        (self.torch_dtype,) = dtypes_of(network)
        self.dtype = torch.empty(0, dtype=self.torch_dtype).numpy().dtype
        self.out: dict[str, Tensor] = {}
        self.histories: list[tuple[Neuron, str, Tensor]] = []
        self._held: list[Tensor] = []
        self._places: dict[Connection, int] = {}
        self._numbers = {neurons: g for g, neurons in enumerate(network.neurons.values())}
        taught = [(rule, *each) for rule in network.rules for each in rule] if network.training else []
        learning = {connection for _, connection, _ in taught}
        carried = [name for name, c in network.connections.items() if self._is_carried(network, name, c in learning)]
        self.groups = np.zeros(len(network.neurons) + len(carried), memory.GROUP)
        self.connections = np.zeros(len(network.connections), memory.CONNECTION)
        self.plasticities = np.zeros(len(taught), memory.PLASTICITY)
        for (name, neurons), row in zip(network.neurons.items(), self.groups, strict=False):
            self._group(row, neurons)
            if name in spikes:
                row["x"] = self._address(spikes[name].contiguous())
            else:
                self.out[name] = self._recorded(neurons, torch.bool)
                row["out"] = self._address(self.out[name])
            if name in currents:
                row["drive"] = self._address(currents[name].resolve_neg().contiguous())
            row["first"] = len(self._places)
            for own, (source, target) in network.paths.items():
                if target == name:
                    self._connection(network, own, self._numbers[network.neurons[source]], self._numbers[neurons])
            row["last"] = len(self._places)
        for g, name in enumerate(carried, start=len(network.neurons)):
            connection = network.connections[name]
            self._carried(self.groups[g], connection, network.neurons[network.paths[name][0]])
            place = self.connections[self._places[connection]]
            place["source"], place["carries"] = g, True
        self.groups["offset"] = self.batch * (self.groups["size"].cumsum() - self.groups["size"])
        for plasticity, (rule, connection, options) in zip(self.plasticities, taught, strict=True):
            self._plasticity(plasticity, rule, connection, options, network.ends_of(connection))

    def _is_carried(self, network: Graph, name: str, learns: bool) -> bool:
        """Whether the arriving spikes differ from the spikes of the source in this step."""
        source, target = (self._numbers[network.neurons[end]] for end in network.paths[name])
        return network.connections[name].delay is not None or (learns and source >= target)

    def _group(self, row: Any, neurons: Neuron) -> None:
        row["size"] = math.prod(neurons.shape)
        row["is_input"], row["subtracts_trace"] = isinstance(neurons, Input), neurons.subtracts_trace
        row["has_trace"], row["nearest"] = neurons.has_trace, neurons.nearest_spike
        if isinstance(neurons, AdaptiveLIF):
            row["adapts"], row["shares_adaptation"] = neurons.adapts, neurons.homeostasis
        for name, value in values_of(neurons, self.batch, self.torch_dtype).items():
            if name in FIELDS:
                row[name] = self._address(value)
        for name in neurons.record:
            history = self._recorded(neurons, torch.bool if name == "spikes" else self.torch_dtype)
            self.histories.append((neurons, name, history))
            row[f"{name}_history"] = self._address(history)

    def _connection(self, network: Graph, name: str, source: int, target: int) -> None:
        connection = network.connections[name]
        place = self._places[connection] = len(self._places)
        address = self._address(weight_of(network, name))
        self.connections[place] = (CONNECTIONS[type(connection)], source, target, address, False)

    def _carried(self, row: Any, connection: Connection, source: Neuron) -> None:
        """Add the presynaptic spikes and trace of a connection as a separate group."""
        shape = (self.batch, *source.shape)
        row["size"], row["origin"] = math.prod(source.shape), self._numbers[source]
        row["spikes"] = self._address(torch.empty(shape, dtype=torch.bool))
        row["has_trace"], row["nearest"] = source.has_trace, source.nearest_spike
        if source.has_trace:
            for name in ("trace_decay", "trace_gain"):
                row[name] = self._address(getattr(source, name).to(self.torch_dtype).expand(source.shape).contiguous())
        if connection.delay is None:
            row["trace"] = self._address(torch.empty(shape, dtype=self.torch_dtype))
            return
        row["delay"] = self._address(connection.delay.to(torch.int32).expand(source.shape).contiguous())
        for name, dtype in (("countdown", torch.int32), ("trace", self.torch_dtype)):
            if name == "countdown" or source.has_trace:
                kept = connection._buffers[name]
                state = torch.zeros(shape, dtype=dtype) if kept is None else kept.to(dtype, copy=True).contiguous()
                connection._buffers[name] = state
                row[name] = self._address(state)

    def _plasticity(
        self,
        row: Any,
        rule: LearningRule,
        connection: WeightedConnection,
        options: SimpleNamespace,
        ends: tuple[Neuron, Neuron],
    ) -> None:
        for end, neurons in zip(("source", "target"), ends, strict=True):
            neurons.require_trace(end)
        check_dependence(connection, getattr(options, "weight_dependence", 0.0))
        row["connection"], row["scale"] = self._places[connection], 1.0
        row["low"], row["high"] = connection.bounds
        for name, value in vars(options).items():
            row["nearest" if name == "nearest_spike" else name] = float(value)
        rows, columns = connection.weight.shape
        if isinstance(rule, TripletSTDP):
            row["slow_pre"] = self._memory(rule, connection, "slow_pre", (self.batch, rows, 1))
            row["slow_post"] = self._memory(rule, connection, "slow_post", (self.batch, columns, 1))
        elif isinstance(rule, MSTDPET):
            row["eligibility"] = self._memory(rule, connection, "eligibility", (self.batch, rows, columns))

    def _memory(self, rule: LearningRule, connection: WeightedConnection, name: str, shape: tuple[int, ...]) -> int:
        """The address of a state that a rule keeps for a connection."""
        state = rule.state[connection]
        kept = state.get(name, torch.zeros(shape, dtype=self.torch_dtype))
        if tuple(kept.shape) != shape:
            raise ValueError(
                f"{name} of {type(rule).__name__} is of {len(kept)} samples, not {self.batch}: call reset()"
            )
        state[name] = kept.to(self.torch_dtype, copy=True, memory_format=torch.contiguous_format)
        return self._address(state[name])

    def _recorded(self, neurons: Neuron, dtype: torch.dtype) -> Tensor:
        return torch.empty((self.steps, self.batch, *neurons.shape), dtype=dtype)

    def _address(self, tensor: Tensor) -> int:
        self._held.append(tensor)
        return tensor.data_ptr()
