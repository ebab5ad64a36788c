"""The reference backend, which computes the equations of a network step by step in PyTorch: any network, any device."""

import torch
from torch import Tensor

from bionets.layers.plastic.graph import Graph
from bionets.layers.plastic.learning_rule import Synapses
from bionets.layers.plastic.neuron import dtype_of
from bionets.layers.plastic.replay import WARM_UP_STEPS, can_replay, capture


def run(
    network: Graph, spikes: dict[str, Tensor], rewards: Tensor | None, currents: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The spikes ``[T, B, *shape]`` of every group that is not an input.

    On a GPU, most steps replay one captured step.
    """
    given = next(iter({**spikes, **currents}.values()))
    steps, batch = given.shape[:2]
    out = {
        name: given.new_empty((steps, batch, *neurons.shape), dtype=torch.bool)
        for name, neurons in network.neurons.items()
        if name not in spikes
    }
    replays = not currents and can_replay(network, steps, given.device)
    for t in range(min(WARM_UP_STEPS, steps) if replays else steps):
        _step(network, _at(spikes, t), _at(out, t), None if rewards is None else rewards[t], _at(currents, t))
    if replays:
        x, y = ({name: values[0].clone() for name, values in groups.items()} for groups in (spikes, out))
        reward = None if rewards is None else rewards[0].clone()
        replay = capture(network, lambda: _step(network, x, y, reward, {}))
        for t in range(WARM_UP_STEPS, steps):
            for name, values in x.items():
                values.copy_(spikes[name][t])
            if rewards is not None and reward is not None:
                reward.copy_(rewards[t])
            replay()
            for name, values in y.items():
                out[name][t] = values
    return out


def _at(groups: dict[str, Tensor], t: int) -> dict[str, Tensor]:
    return {name: values[t] for name, values in groups.items()}


def _step(
    network: Graph,
    x: dict[str, Tensor],
    y: dict[str, Tensor],
    reward: Tensor | None,
    outside: dict[str, Tensor],
) -> None:
    """Compute one step from the spikes ``[B, *shape]`` of the inputs and the external currents, by name, and write the
    spikes of the other groups to ``y``.
    """
    for name, neurons in network.neurons.items():
        if name in x:
            neurons.fire(x[name].clone())  # it is stored, and x may be overwritten
        else:
            y[name].copy_(neurons.integrate(_current(network, name, y[name], outside.get(name))))
    if network.training:
        _learn(network, reward)


def _current(network: Graph, name: str, like: Tensor, outside: Tensor | None) -> Tensor:
    """The current I of a group, summed over its external current and its connections, in the shape of ``like``."""
    currents = [] if outside is None else [outside]
    for source, connection in network.inputs_of(name):
        currents.append(connection(source).reshape(like.shape))
        if network.neurons[name].subtracts_trace:
            currents.append(-connection.summed_trace().reshape(like.shape))
    return torch.stack(currents).sum(0) if currents else torch.zeros_like(like, dtype=dtype_of(network.neurons[name]))


def _learn(network: Graph, reward: Tensor | None) -> None:
    for rule in network.rules:
        for connection, options in rule:
            source, target = network.ends_of(connection)
            present = None if reward is None else reward.to(connection.weight.dtype)
            difference = rule.change(Synapses(connection, source, target, rule.state[connection], present), options)
            if difference is not None:
                connection.change(difference)
