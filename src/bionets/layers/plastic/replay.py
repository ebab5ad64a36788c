"""Replay of network steps as a CUDA graph: the results of the reference without Python between its kernels."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch

from bionets.layers.plastic.graph import Graph
from bionets.layers.stateful import stateful_modules

WARM_UP_STEPS = 2  # steps before the capture, which create the states and initialise CUDA's libraries
FEWEST_STEPS = 16  # with fewer steps, the capture costs more time than it saves

Step = Callable[[], None]
Slot = tuple[dict[Any, Any], Any]


def can_replay(network: Graph, steps: int, device: torch.device) -> bool:
    """Whether a CUDA graph can be used for a presentation, and is faster. A network that records its history, or calls
    hooks, cannot: Python runs in no replayed step."""
    recorded = any(neurons.record for neurons in network.neurons.values())
    hooked = any(connection.has_hooks for connection in network.connections.values())
    return (
        device.type == "cuda"
        and steps >= FEWEST_STEPS
        and not recorded
        and not hooked
        and not torch.cuda.is_current_stream_capturing()
    )


def capture(network: Graph, step: Step) -> Step:
    """Capture `step`, and return a function that updates the stored states of the network in the same way.

    A graph reads and writes fixed addresses; at its end, the new states are therefore copied to the old addresses.
    """
    slots = list(_state_slots(network))
    for states, name in slots:  # each state has its own memory
        states[name] = states[name].clone()
    old = [states[name] for states, name in slots]
    addresses = {tensor.untyped_storage().data_ptr() for tensor in old}

    def step_in_place() -> None:
        step()
        new = [states[name] for states, name in slots]
        held = [
            one.untyped_storage().data_ptr() in addresses and one is not kept
            for one, kept in zip(new, old, strict=True)
        ]
        new = [one.clone() if copied else one for one, copied in zip(new, held, strict=True)]
        for (states, name), kept, one in zip(slots, old, new, strict=True):
            if one is not kept:
                kept.copy_(one)
            states[name] = kept

    try:
        return cuda_graph(step_in_place)
    except RuntimeError as error:  # a user's rule may do what a graph does not support, e.g. wait for the GPU
        for (states, name), kept in zip(slots, old, strict=True):
            states[name] = kept
        warnings.warn(f"the network's steps run one by one, slowly: {str(error).splitlines()[0]}", stacklevel=2)
        return step_in_place


def cuda_graph(step: Step) -> Step:
    """Capture a step, without running it."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _state_slots(network: Graph) -> Iterator[Slot]:
    """The owner and name of every tensor that a step replaces; weights change in place."""
    for _, module in stateful_modules(network):
        for name in module.state_names:
            if module._buffers[name] is not None:
                yield module._buffers, name
