"""Networks that no compiled backend of plastic networks can compute."""

import torch

from bionets.layers.plastic.connection import Connection
from bionets.layers.plastic.graph import Graph
from bionets.layers.plastic.learning_rule import LearningRule


def dtypes_of(network: Graph) -> set[torch.dtype]:
    """Of all parameters and buffers. Network.buffers() would cost more than a short presentation."""
    tensors = (tensor for own in network.modules() for tensor in (*own._buffers.values(), *own._parameters.values()))
    return {tensor.dtype for tensor in tensors if tensor is not None and tensor.is_floating_point()}


def unsupported_dtypes(network: Graph) -> str | None:
    """The reason why a network is not float32 or float64 throughout; None if it is."""
    dtypes = dtypes_of(network)
    if len(dtypes) == 1 and dtypes <= {torch.float32, torch.float64}:
        return None
    return f"it is of {' and '.join(sorted(map(str, dtypes))) or 'no dtype'}"


def unsupported_rules(network: Graph, known: tuple[type[LearningRule], ...]) -> str | None:
    """The reason why not all rules are known with at most one for each connection; None if they are."""
    taught: set[Connection] = set()
    for rule in network.rules:
        if type(rule) not in known:
            return f"it learns by {type(rule).__name__}"
        for connection, _ in rule:
            if connection in taught:
                return "a connection learns by more than one rule"
            taught.add(connection)
    return None
