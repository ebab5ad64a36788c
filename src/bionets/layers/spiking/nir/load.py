"""Import of a NIR graph as a model."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, nn

from bionets.layers.spiking.firing import HARD, SpikeFn
from bionets.layers.spiking.fully_recurrent import FullyRecurrent
from bionets.layers.spiking.leaky_integrators import LI, LIB, SLI, SLIB
from bionets.layers.spiking.plif import PLIF
from bionets.layers.spiking.spiking_layer import SpikingLayer

NEURONS = (nir.LI, nir.LIF, nir.CubaLI, nir.CubaLIF, nir.I, nir.IF)


def from_nir(
    graph: nir.NIRGraph, dt: float | None = None, *, reset: str | None = None, spike_fn: str | SpikeFn = "arctan"
) -> "NIRNet":
    """The model of a NIR graph, which is called for one time step or with `bionets.layers.unroll`.

    Args:
        graph: the result of ``nir.read(path)``. The only allowed cycles are: neuron, linear, the same neuron.
        dt: a time step in NIR's unit of time; None: from the metadata of the graph, or 1.
        reset: "zero" or "subtract"; None: from the metadata of each node, or "zero", the reset of NIR.
        spike_fn: a hard spike function, whose surrogate gradient is used in further training.

    Raises:
        TypeError: the graph is not a NIR graph, but for example a path.
        ValueError: bionets cannot express a node of the graph, and the message names the node; or dt is not positive
            and finite; or spike_fn is soft or unknown.
    """
    if not isinstance(graph, nir.NIRGraph):
        raise TypeError(f"from_nir needs a graph, such as nir.read(path), got a {type(graph).__name__}")
    if isinstance(spike_fn, str) and spike_fn not in HARD:
        raise ValueError(f"spike_fn must be hard: choose one of {', '.join(HARD)}, or give a function; got {spike_fn}")
    if reset not in (None, "zero", "subtract"):
        raise ValueError(f"reset must be zero or subtract, got {reset!r}")
    step = float(graph.metadata.get("dt", 1.0) if dt is None else dt)
    if not 0 < step < math.inf:
        raise ValueError(f"dt must be above 0 and finite, got {step}")
    nodes, edges = dict(graph.nodes), list(graph.edges)
    loops: dict[str, np.ndarray] = {}
    for name, node in graph.nodes.items():
        after, before = ({edge[to] for edge in edges if edge[1 - to] == name} for to in (1, 0))
        if isinstance(node, nir.Linear) and after == before and len(after) == 1:
            neuron = after.pop()
            loops[neuron] = loops.get(neuron, 0) + node.weight
            edges = [edge for edge in edges if name not in edge]
            del nodes[name]
    layers: dict[str, nn.Module] = {}
    for name, node in nodes.items():
        if not isinstance(node, (nir.Input, nir.Output)):
            layer = _layer(name, node, step, reset, spike_fn)
            layers[name] = _connect(name, layer, loops[name]) if name in loops else layer
    ends = ([name for name, node in nodes.items() if isinstance(node, kind)] for kind in (nir.Input, nir.Output))
    return NIRNet(layers, edges, *ends)


class Scale(nn.Module):
    """y = scale∘x, where ``scale`` has the shape of a sample (or broadcasts to it)."""

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.as_tensor(scale).clone())

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


class NIRNet(nn.Module):
    """Layers connected by edges; outputs of several edges to one layer are summed. ``layers`` holds the layers by the
    names of the nodes (``.`` is replaced by ``_``)."""

    def __init__(
        self, layers: dict[str, nn.Module], edges: list[tuple[str, str]], inputs: list[str], outputs: list[str]
    ) -> None:
        super().__init__()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ValueError(f"NIR: a graph must have one input and one output, got {inputs} and {outputs}")
        self.keys = _keys(layers)
        self.layers = nn.ModuleDict({self.keys[name]: layer for name, layer in layers.items()})
        self.input, self.output = inputs[0], outputs[0]
        sources: dict[str, list[str]] = {name: [] for name in (*layers, self.output)}
        for source, target in edges:
            if target not in sources:
                raise ValueError(f"NIR: {source} leads to {target}, which takes no input from other nodes")
            sources[target].append(source)
        self.order: list[tuple[str, list[str]]] = []  # each node after its sources
        done = {self.input}
        while sources:
            ready = [name for name, before in sources.items() if done.issuperset(before)]
            if not ready:
                raise ValueError(f"NIR: {', '.join(sources)} form a cycle; only a neuron's own linear one is possible")
            self.order += [(name, sources.pop(name)) for name in ready]
            done.update(ready)

    def forward(self, x: Tensor) -> Tensor:
        values = {self.input: x}
        for name, sources in self.order:
            first, *others = (values[source] for source in sources)
            total = sum(others, start=first)
            values[name] = total if name == self.output else self.layers[self.keys[name]](total)
        return values[self.output]


def _keys(names: Iterable[str]) -> dict[str, str]:
    """A unique key of `torch.nn.ModuleDict` for each name."""
    keys: dict[str, str] = {}
    empty = nn.ModuleDict()
    for name in names:
        key = name.replace(".", "_") or "_"
        while key in keys.values() or hasattr(empty, key):
            key += "_"
        keys[name] = key
    return keys


def _connect(name: str, layer: nn.Module, weight: np.ndarray) -> nn.Module:
    *before, neuron = layer if isinstance(layer, nn.Sequential) else (layer,)
    if not isinstance(neuron, SpikingLayer) or before:
        raise ValueError(f"NIR: {name} cannot be connected to itself; its input must have gain 1")
    connected = FullyRecurrent(neuron)
    with torch.no_grad():
        connected.weight.copy_(_tensor(weight))
    return connected


def _layer(name: str, node: nir.NIRNode, dt: float, reset: str | None, spike_fn: str | SpikeFn) -> nn.Module:
    if isinstance(node, NEURONS):
        return _neuron(name, node, dt, reset, spike_fn)
    match node:
        case nir.Linear() | nir.Affine():
            outputs, inputs = node.weight.shape
            bias = getattr(node, "bias", None)
            return _filled(nn.Linear(inputs, outputs, bias is not None), node.weight, bias)
        case nir.Conv1d() | nir.Conv2d():
            out, per_group, *kernel = node.weight.shape
            options = {key: _plain(getattr(node, key)) for key in ("stride", "padding", "dilation", "groups")}
            kind: Callable[..., nn.Module] = nn.Conv1d if isinstance(node, nir.Conv1d) else nn.Conv2d
            return _filled(kind(per_group * options["groups"], out, tuple(kernel), **options), node.weight, node.bias)
        case nir.Flatten():
            start, end = int(node.start_dim), int(node.end_dim)
            return nn.Flatten(start + 1 if start >= 0 else start, end + 1 if end >= 0 else end)
        case nir.AvgPool2d() | nir.SumPool2d():
            size, stride, padding = (_plain(value) for value in (node.kernel_size, node.stride, node.padding))
            return nn.AvgPool2d(size, stride, padding, divisor_override=1 if isinstance(node, nir.SumPool2d) else None)
        case nir.Scale():
            return Scale(_tensor(node.scale))
    raise ValueError(f"NIR: {name} is a {type(node).__name__}, which bionets cannot express")


def _neuron(name: str, node: Any, dt: float, reset: str | None, spike_fn: str | SpikeFn) -> nn.Module:
    """The layer, after a `Scale` if the input gain of the node differs from that of the layer."""
    for rest in ("v_leak", "v_reset"):
        if np.any(getattr(node, rest, 0)):
            raise ValueError(f"NIR: {name} has {rest} other than 0, which bionets cannot express")
    fires, synaptic = hasattr(node, "v_threshold"), hasattr(node, "tau_syn")
    said = node.metadata.get("reset", "zero")
    subtract = (reset or (said.decode() if isinstance(said, bytes) else said)) == "subtract"
    tau = np.asarray(getattr(node, "tau_mem", getattr(node, "tau", np.inf)), np.float64)
    beta, gain = 1 - dt / tau, np.asarray(node.r * (dt if np.isinf(tau).all() else dt / tau), np.float64)
    values = {"beta": beta}
    if synaptic:
        values["alpha"] = 1 - dt / np.asarray(node.tau_syn, np.float64)
        gain = gain * node.w_in
    if fires:
        values["threshold"] = node.v_threshold
    if not fires:
        kind: Callable[..., SpikingLayer] = SLI if synaptic else LI
    elif subtract:
        kind = SLIB if synaptic else LIB
    elif synaptic or np.any(beta == 1):
        raise ValueError(
            f"NIR: {name} is a {type(node).__name__} that resets to 0, which bionets cannot express; "
            "reset='subtract' reads it as one whose threshold is taken off"
        )
    else:
        kind, gain = PLIF, gain / (1 - beta)
    shape = np.shape(node.r)
    if not shape:
        raise ValueError(f"NIR: {name} has single numbers as parameters: it needs arrays with one entry per neuron")
    values = {key: np.broadcast_to(value, shape) for key, value in values.items()}
    try:
        layer = _placed(kind, values, shape, {"spike_fn": spike_fn} if fires else {})
    except ValueError as error:
        raise ValueError(
            f"NIR: {name} is a {type(node).__name__} that bionets cannot express with dt={dt:g} (a decay is "
            f"1 - dt/tau): {error}"
        ) from None
    if np.allclose(gain, 1, rtol=1e-9, atol=0):
        return layer
    return nn.Sequential(Scale(_tensor(np.broadcast_to(gain, shape))), layer)


def _placed(
    kind: Callable[..., SpikingLayer], values: dict[str, np.ndarray], shape: tuple[int, ...], firing: dict[str, Any]
) -> nn.Module:
    """Place the neurons along the axis along which their values differ; if there are several, each element is a
    neuron."""
    several = [axis for axis in range(len(shape)) if any(np.ptp(value, axis=axis).any() for value in values.values())]
    if len(several) > 1:
        flat = {key: value.reshape(-1) for key, value in values.items()}
        return nn.Sequential(nn.Flatten(), _placed(kind, flat, (int(np.prod(shape)),), firing), nn.Unflatten(1, shape))
    axis = several[0] if several else 0
    index = tuple(slice(None) if each == axis else 0 for each in range(len(shape)))
    options: dict[str, Any] = {}
    for key, value in values.items():
        options[key] = each = _tensor(value[index])
        options[f"{key}_rank"] = 1
        options[f"learn_{key}"] = key == "threshold" or bool(((each > 0) & (each < 1)).all())
    return kind(shape[axis], dim=axis - len(shape), **options, **firing)


def _filled(layer: nn.Module, weight: np.ndarray, bias: np.ndarray | None) -> nn.Module:
    with torch.no_grad():
        layer.get_parameter("weight").copy_(_tensor(weight))
        if bias is not None:
            layer.get_parameter("bias").copy_(_tensor(bias))
    return layer


def _plain(value: Any) -> Any:
    """Convert arrays and bytes to numbers, strings and tuples."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    return int(array) if array.ndim == 0 else tuple(int(each) for each in array)


def _tensor(value: np.ndarray) -> Tensor:
    return torch.tensor(np.asarray(value), dtype=torch.get_default_dtype())
