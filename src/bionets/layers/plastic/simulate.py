"""Run a graph of neurons over time: step by step in PyTorch, or by compiled kernels."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bionets.layers.plastic import reference
from bionets.layers.plastic.graph import Graph, tensors_of
from bionets.layers.plastic.neuron import Input, Neuron, dtype_of
from bionets.layers.plastic.reward_modulated import reward_tensor
from bionets.scan.warn_once import warn_once

BACKENDS = {"cpu": "numba", "cuda": "triton"}  # by type of device
MODULES = {"numba": "bionets.layers.plastic.events", "triton": "bionets.layers.plastic.gpu"}

Run = Callable[..., dict[str, Tensor]]  # arguments: graph, spikes, rewards, currents


def simulate(
    graph: Graph,
    x: Tensor | Mapping[str, Tensor] | None,
    reward: float | Tensor | None = None,
    backend: str = "auto",
    currents: Mapping[str, Tensor] | None = None,
) -> tuple[str, dict[str, Tensor]]:
    """Run all steps of x from the stored states, with learning in training mode; see `Network.forward`.

    Returns:
        The name of the backend, and the spikes of every group that is not an input, bool ``[T, B, *shape]``.
    """
    spikes, driven = input_spikes(graph, x), outside_currents(graph, {} if currents is None else currents)
    steps, batch, device = extent_of([*spikes.values(), *driven.values()])
    for tensor in tensors_of(graph):
        if tensor.device != device:
            raise ValueError(f"the network is on {tensor.device} and its input on {device}: move one of them")
    rewards = None if reward is None else _rewards(reward, steps, batch, device)
    for rule in graph.rules if graph.training else ():
        for learnt in rule.state:
            learnt.check_changeable()
    name, run = choose_backend(graph, backend, device, bool(driven))
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        for neurons in graph.neurons.values():
            neurons.prepare(batch, device)
        for connection in graph.connections.values():
            connection.prepare(batch)
        if not steps or not batch:  # means over no samples would be NaN
            sizes = {each: (steps, batch, *group.shape) for each, group in graph.neurons.items() if each not in spikes}
            return name, {each: torch.empty(size, dtype=torch.bool, device=device) for each, size in sizes.items()}
        return name, run(graph, spikes, rewards, driven)


def choose_backend(graph: Graph, backend: str, device: torch.device, driven: bool = False) -> tuple[str, Run]:
    """The name of the backend and its function.

    Raises:
        ValueError: there is no backend of this name, or the chosen backend cannot compute this network.
    """
    if backend == "reference":
        return backend, reference.run
    if backend not in ("auto", "numba", "triton"):
        raise ValueError(f"unknown backend {backend!r}; choose auto, reference, numba or triton")
    chosen = backend if backend != "auto" else BACKENDS.get(device.type, "reference")
    if chosen == "reference":
        return chosen, reference.run
    module = importlib.import_module(MODULES[chosen])  # imported only here, because the backends import Numba or Triton
    reason = module.unsupported_reason(graph, device)
    if reason is None and driven and chosen == "triton":
        reason = "it takes currents from outside"
    if reason is None:
        return chosen, module.run
    if backend != "auto":
        raise ValueError(f"backend {backend!r} cannot compute this network: {reason}")
    if chosen == "numba":
        warn_once(f"the network runs step by step on the slow reference backend: {reason}", 4)
    return "reference", reference.run


def input_spikes(graph: Graph, x: Tensor | Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """The spikes of each input by name, as bool."""
    inputs = {name: neurons for name, neurons in graph.neurons.items() if isinstance(neurons, Input)}
    if x is None:
        x = {}
    if not inputs and not isinstance(x, Mapping):
        raise ValueError("the network has no Input for x: give currents={name: values}")
    if isinstance(x, Tensor):
        if len(inputs) != 1:
            raise ValueError(f"the network has {len(inputs)} inputs ({', '.join(inputs)}): give a dict by name")
        x = dict.fromkeys(inputs, x)
    if not isinstance(x, Mapping):
        raise TypeError(f"x must be a tensor of spikes or a dict of them by the names of inputs, got {_kind(x)}")
    if x.keys() != inputs.keys():
        raise ValueError(f"spikes are given for {', '.join(x) or 'nothing'}; the inputs are {', '.join(inputs)}")
    return {name: _checked_spikes(name, inputs[name], values) for name, values in x.items()}


def outside_currents(graph: Graph, currents: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The currents of each group by name, in the dtype of its neurons."""
    groups = [name for name, neurons in graph.neurons.items() if not isinstance(neurons, Input)]
    if not isinstance(currents, Mapping):
        raise TypeError(f"currents must be a dict of tensors by the names of groups, got {_kind(currents)}")
    for name, values in currents.items():
        if name not in groups:
            raise ValueError(f"a current is given for {name!r}; those that take one are {', '.join(groups)}")
        _check_shape(name, graph.neurons[name], values, "a current")
        if values.is_complex():
            raise TypeError(f"{name!r}: a current must be real, got {values.dtype}")
    return {name: values.to(dtype_of(graph.neurons[name])) for name, values in currents.items()}


def extent_of(given: Sequence[Tensor]) -> tuple[int, int, torch.device]:
    """The number of steps, the batch size and the device of the given tensors."""
    if not given:
        raise ValueError("the network has no Input: give currents")
    sizes = {tuple(values.shape[:2]) for values in given}
    if len(sizes) > 1:
        raise ValueError(f"all inputs need the same steps and batch, got {' and '.join(map(str, sizes))}")
    if len(devices := {values.device for values in given}) > 1:
        raise ValueError(f"all inputs must be on one device, got {' and '.join(map(str, devices))}")
    steps, batch = given[0].shape[:2]
    return steps, batch, given[0].device


def _rewards(reward: float | Tensor, steps: int, batch: int, device: torch.device) -> Tensor:
    given = reward_tensor(reward, device)
    try:
        return given.expand(steps, batch)
    except RuntimeError:
        got = tuple(given.shape)
        raise ValueError(f"expected a number as reward, [B] or [T, B] = [{steps}, {batch}], got {got}") from None


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"


def _check_shape(name: str, neurons: Neuron, values: Tensor, what: str) -> None:
    if not isinstance(values, Tensor):
        raise TypeError(f"{name!r}: {what} must be a tensor, got {_kind(values)}")
    if values.dim() < 2 or tuple(values.shape[2:]) != neurons.shape:
        expected = ", ".join(["T", "B", *map(str, neurons.shape)])
        raise ValueError(f"{name!r}: expected {what} of shape [{expected}], got {tuple(values.shape)}")


def _checked_spikes(name: str, neurons: Neuron, values: Tensor) -> Tensor:
    _check_shape(name, neurons, values, "spikes")
    if values.dtype == torch.bool:
        return values
    spikes = values != 0
    if not torch.equal(spikes.to(values.dtype), values):
        raise ValueError(f"{name!r}: spikes must be 0 or 1; make them of rates with torch.rand_like(x) < x")
    return spikes
