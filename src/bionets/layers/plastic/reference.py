"""A network step by step, as its equations are written, in PyTorch: any network, any device."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bionets.layers.plastic.integrate_and_fire import LIF
from bionets.layers.plastic.learning_rule import Synapses

if TYPE_CHECKING:
    from bionets.layers.plastic.network import Network


def run(network: "Network", spikes: dict[str, Tensor], rewards: Tensor | None) -> dict[str, Tensor]:
    """The spikes ``[T, B, *shape]`` of every group that is no input."""
    driven = [name for name in network.neurons if name not in spikes]
    steps, batch = next(iter(spikes.values())).shape[:2]
    out = {
        name: torch.empty((steps, batch, *network.neurons[name].shape), dtype=torch.bool, device=rows.device)
        for rows in list(spikes.values())[:1]
        for name in driven
    }
    for t in range(steps):
        for name, neurons in network.neurons.items():
            if name in spikes:
                neurons.fire(spikes[name][t])
            else:
                assert isinstance(neurons, LIF)
                out[name][t] = neurons.integrate(_current(network, name, neurons, batch))
        if network.training:
            _learn(network, None if rewards is None else rewards[t])
    return out


def _current(network: "Network", name: str, neurons: LIF, batch: int) -> Tensor:
    """I, summed over all connections to a group."""
    total = torch.zeros((batch, *neurons.shape), dtype=neurons.rest.dtype, device=neurons.rest.device)
    for source, connection in network.inputs_of(name):
        total += connection(source).reshape(total.shape)
        if neurons.subtracts_trace:
            total -= connection.summed_trace().reshape(total.shape)
    return total


def _learn(network: "Network", reward: Tensor | None) -> None:
    for rule in network.rules:
        for connection, options in rule:
            source, target = network.ends_of(connection)
            present = None if reward is None else reward.to(connection.weight.dtype)
            difference = rule.change(Synapses(connection, source, target, rule.state[connection], present), options)
            if difference is not None:
                connection.change(difference)
