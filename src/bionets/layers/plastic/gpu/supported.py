"""The networks that the Triton kernels compute."""

import importlib.util
import os

import torch

from bionets.layers.plastic.compiled import unsupported_part
from bionets.layers.plastic.graph import Graph
from bionets.layers.plastic.integrate_and_fire import IF, LIF, AdaptiveLIF
from bionets.layers.plastic.lateral import LateralInhibition, OneToOne
from bionets.layers.plastic.linear import Linear
from bionets.layers.plastic.neuron import Input
from bionets.layers.plastic.pair_stdp import PairSTDP

NEURONS = (Input, IF, LIF, AdaptiveLIF)
CONNECTIONS = (Linear, OneToOne, LateralInhibition)
RULES = (PairSTDP,)


def unsupported_reason(network: Graph, device: torch.device) -> str | None:
    """The part of this network that the kernels cannot compute; None if they can compute all."""
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"it lies on {device.type}"
    if importlib.util.find_spec("triton") is None:
        return "the package triton is not installed"
    for name, neurons in network.neurons.items():
        if neurons.record:
            return f"{name!r} records its history"
    for name, connection in network.connections.items():
        if connection.delay is not None:
            return f"{name!r} has a delay"
    return unsupported_part(network, NEURONS, CONNECTIONS, RULES) or _recurrent_learning(network)


def _recurrent_learning(network: Graph) -> str | None:
    if not network.training:
        return None
    order = {name: number for number, name in enumerate(network.neurons)}
    taught = {changed for rule in network.rules for changed, _ in rule}
    for name, connection in network.connections.items():
        source, target = network.paths[name]
        if connection in taught and order[source] >= order[target]:
            return f"{name!r} learns and is recurrent"
    return None
