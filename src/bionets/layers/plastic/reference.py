"""A network step by step, as its equations are written, in PyTorch: any network, any device."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bionets.layers.plastic.learning_rule import Synapses

if TYPE_CHECKING:
    from bionets.layers.plastic.network import Network


def run(network: "Network", spikes: dict[str, Tensor], rewards: Tensor | None) -> dict[str, Tensor]:
    """The spikes ``[T, B, *shape]`` of every group that is no input."""
    given = next(iter(spikes.values()))
    steps, batch = given.shape[:2]
    out = {
        name: given.new_empty((steps, batch, *neurons.shape))
        for name, neurons in network.neurons.items()
        if name not in spikes
    }
    for t in range(steps):
        for name, neurons in network.neurons.items():
            if name in spikes:
                neurons.fire(spikes[name][t])
            else:
                out[name][t] = neurons.integrate(_current(network, name, out[name][t]))
        if network.training:
            _learn(network, None if rewards is None else rewards[t])
    return out


def _current(network: "Network", name: str, like: Tensor) -> Tensor:
    """I, summed over all connections to a group, in the shape of ``like``."""
    currents = []
    for source, connection in network.inputs_of(name):
        currents.append(connection(source).reshape(like.shape))
        if network.neurons[name].subtracts_trace:
            currents.append(-connection.summed_trace().reshape(like.shape))
    return torch.stack(currents).sum(0) if currents else torch.zeros_like(like, dtype=torch.get_default_dtype())


def _learn(network: "Network", reward: Tensor | None) -> None:
    for rule in network.rules:
        for connection, options in rule:
            source, target = network.ends_of(connection)
            present = None if reward is None else reward.to(connection.weight.dtype)
            difference = rule.change(Synapses(connection, source, target, rule.state[connection], present), options)
            if difference is not None:
                connection.change(difference)
