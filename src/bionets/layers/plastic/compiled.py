"""Common code of the compiled backends of plastic networks: supported networks, and the values that kernels read."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from bionets.layers.plastic.connection import Connection
from bionets.layers.plastic.graph import Graph, tensors_of
from bionets.layers.plastic.learning_rule import LearningRule
from bionets.layers.plastic.neuron import Neuron
from bionets.layers.plastic.weighted import Bounds

DTYPES = {"spikes": torch.bool, "waiting": torch.int32, "refractory": torch.int32}  # others: the dtype of the network


def unsupported_part(
    network: Graph,
    neurons: Collection[type[Neuron]],
    connections: Collection[type[Connection]],
    rules: Collection[type[LearningRule]],
) -> str | None:
    """The part of a network that kernels for these neurons, connections and rules cannot compute, or None."""
    for name, group in network.neurons.items():
        if type(group) not in neurons:
            return f"{name!r} are neurons of the kind {type(group).__name__}"
    for name, connection in network.connections.items():
        if type(connection) not in connections:
            return f"{name!r} is a connection of the kind {type(connection).__name__}"
        if connection.has_hooks:
            return f"{name!r} has a forward hook"
    if (transposed := _transposed_weight(network)) is not None:
        return f"weights of {transposed!r} are those of another connection in another layout"
    dtypes = dtypes_of(network)
    if len(dtypes) != 1 or not dtypes <= {torch.float32, torch.float64}:
        return f"it is of {' and '.join(sorted(map(str, dtypes))) or 'no dtype'}"
    return _unsupported_rule(network, rules) if network.training else None


def _transposed_weight(network: Graph) -> str | None:
    """The connection whose weights are a view of those of another one that `weight_of` would replace by a copy."""
    weights = {name: connection._parameters["weight"] for name, connection in network.connections.items()}
    for name, weight in weights.items():
        if weight is not None and not weight.is_contiguous():
            memory = weight.untyped_storage().data_ptr()
            others = (own for own in weights.values() if own is not None and own is not weight)
            if any(own.untyped_storage().data_ptr() == memory for own in others):
                return name
    return None


def _unsupported_rule(network: Graph, known: Collection[type[LearningRule]]) -> str | None:
    taught: set[Connection] = set()
    bounds: dict[int, Bounds] = {}  # by the address of the weights
    for rule in network.rules:
        if type(rule) not in known:
            return f"it learns by {type(rule).__name__}"
        for connection, options in rule:
            if connection in taught:
                return "a connection learns by more than one rule"
            if any(isinstance(value, Tensor) and value.dim() for value in vars(options).values()):
                return f"an option of {type(rule).__name__} has a value for each synapse"
            taught.add(connection)
            if bounds.setdefault(connection.weight.data_ptr(), connection.bounds) != connection.bounds:
                return "connections that share weights have different bounds"  # kernels clamp only what they change
    return None


def dtypes_of(network: Graph) -> set[torch.dtype]:
    """The dtypes of all parameters, and of buffers in floating point; the states of rules are converted."""
    tensors = (*tensors_of(network.neurons), *tensors_of(network.connections))
    return {each.dtype for each in tensors if each.is_floating_point() or isinstance(each, nn.Parameter)}


def values_of(neurons: Neuron, batch: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """The buffers of a group by their names, in the shapes and dtypes that kernels read: states ``[B, *shape]``, others
    ``[*shape]``, contiguous. Other shapes and dtypes, set by a user, are converted.

    States are copied, because kernels write to them and a user may hold references to the current ones.
    """
    values = {}
    for name, value in neurons._buffers.items():
        if value is None:
            continue
        is_state = name in neurons.state_names
        shape = (batch, *neurons.shape) if is_state else neurons.shape
        if value.shape != shape:
            value = value.expand(shape)
        if value.dtype != (own := DTYPES.get(name, dtype)):
            value = value.to(own)
        values[name] = value.clone(memory_format=torch.contiguous_format) if is_state else value.contiguous()
        if is_state or name == "adaptation":  # kernels write to the adaptation of homeostatic neurons in place
            neurons._buffers[name] = values[name]
    return values


def weight_of(network: Graph, name: str) -> Tensor:
    """The weights of a connection, contiguous.

    Raises:
        ValueError: the weights no longer fit the groups that they connect.
    """
    connection = network.connections[name]
    source, target = network.paths[name]
    connection.check(network.neurons[source].shape, network.neurons[target].shape)
    weight = connection._parameters["weight"]
    assert weight is not None
    if not weight.is_contiguous():
        weight.data = weight.data.contiguous()
    return weight.data
