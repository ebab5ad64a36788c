"""Export of a model with spiking and other layers to a NIR graph."""

import math
import operator
from dataclasses import replace
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.modules.utils import _pair

from bionets.layers.precision import at_least_float32
from bionets.layers.sequence_dropout import SequenceDropout
from bionets.layers.spiking.firing import firing_of
from bionets.layers.spiking.fully_recurrent import FullyRecurrent
from bionets.layers.spiking.leaky_integrator import LeakyIntegrator
from bionets.layers.spiking.nir.load import Scale
from bionets.layers.spiking.nir.shapes import Shape, shapes_of_modules
from bionets.layers.spiking.plif import PLIF
from bionets.layers.spiking.spiking_layer import SpikingLayer
from bionets.layers.stateful import StatefulModule

IDENTITIES = (nn.Identity, nn.modules.dropout._DropoutNd, SequenceDropout)  # in evaluation mode


def to_nir(model: nn.Module, sample: Tensor, dt: float = 1.0) -> nir.NIRGraph:
    """The NIR graph of a model: layers are nodes, and sums (skip connections) are several edges to one node.

    Time constants are those of Euler's method with step dt: β = 1 − dt/τ. In NIR and in `PLIF`, a reset sets the
    membrane to ``v_reset``. The leaky integrators subtract the threshold, which the metadata of the node stores as
    ``reset: subtract``. NIR spikes at v > θ, bionets at v >= θ.

    Args:
        model: a model of `LI`, `SLI`, `LIB`, `SLIB`, `PLIF` (only hard spikes), `FullyRecurrent` with these, and
            linear, convolution, flatten and average pooling layers, with any forward that torch.fx can trace. Dropout
            is left out. Batch normalisation (with its running statistics) is merged into the linear or convolution
            layer before it, also if an average pooling is between them.
        sample: the input of one step ``[B, ...]``, for the shapes.
        dt: a time step in NIR's unit of time.

    Raises:
        ValueError: NIR cannot express a part of the model, and the message names it; or dt is not positive and finite.
    """
    if not 0 < dt < math.inf:
        raise ValueError(f"dt must be above 0 and finite, got {dt}")
    model = nn.Sequential(model) if isinstance(model, StatefulModule) else model
    graph = _Tracer().trace(model)
    shapes = shapes_of_modules(model, sample)
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(np.array(sample.shape[1:]))}
    edges: list[tuple[str, str]] = []
    sources: dict[fx.Node, tuple[str, ...]] = {}  # the nodes whose outputs are summed to a value
    modules = dict(model.named_modules())
    for step in graph.nodes:
        if step.op == "placeholder":
            if sources:
                raise ValueError("NIR: the model must have one input")
            sources[step] = ("input",)
        elif step.op == "call_module":
            module, name = modules[step.target], step.target or type(model).__name__
            if isinstance(module, IDENTITIES):
                sources[step] = sources[step.args[0]]
                continue
            if isinstance(module, nn.modules.batchnorm._BatchNorm):  # private: the base class of batch normalisation
                layer = _normalised(step, modules, shapes)
                nodes[layer] = _with_affine(nodes[layer], *_affine(module))
                sources[step] = sources[step.args[0]]
                continue
            if name in ("input", "output"):
                raise ValueError(f"NIR: a layer cannot have the name {name}, which is that of a node: rename it")
            if name not in shapes or name in nodes:
                raise ValueError(f"NIR: {name} must be called exactly once, with one positional argument")
            found, own = _convert(module, name, *shapes[name], dt)
            nodes |= found
            edges += [*((source, name) for source in sources[step.args[0]]), *own]
            sources[step] = (name,)
        elif step.op == "call_function" and step.target in (operator.add, torch.add) and len(step.kwargs) == 0:
            sources[step] = tuple(source for argument in step.args for source in sources.get(argument, ()))
            if len(set(sources[step])) < len(sources[step]) or len(step.args) != sum(a in sources for a in step.args):
                raise ValueError(f"NIR cannot express {step.format_node()}: only different outputs add up")
        elif step.op == "output":
            with torch.no_grad():
                nodes["output"] = nir.Output(np.array(shapes[""][1]))
            edges += [(source, "output") for source in sources[step.args[0]]]
        else:
            raise ValueError(f"NIR cannot express {step.target} ({step.op}); it knows layers and sums")
    return nir.NIRGraph(nodes, edges, metadata={"dt": dt})


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        leaves = (StatefulModule, Scale, nn.modules.batchnorm._BatchNorm)  # ThresholdBatchNorm1d is not of torch.nn
        return isinstance(m, leaves) or super().is_leaf_module(m, module_qualified_name)


def _convert(
    module: nn.Module, name: str, before: Shape, after: Shape, dt: float
) -> tuple[dict[str, nir.NIRNode], list[tuple[str, str]]]:
    """The nodes of a module and the edges among them."""
    if isinstance(module, FullyRecurrent):
        if module.delays is not None:
            raise ValueError(f"NIR cannot express {name}: it has no node for delays of recurrent connections")
        node, back = _neuron(module.layer, name, before, dt), f"{name}.weight"
        if len(before) != 1:
            raise ValueError(f"NIR cannot express {name} ({module}): dense weights over images")
        return {name: node, back: nir.Linear(_array(module.weight))}, [(name, back), (back, name)]
    node = _neuron(module, name, before, dt) if isinstance(module, SpikingLayer) else _plain(module, name, before)
    node.input_type, node.output_type = {"input": np.array(before)}, {"output": np.array(after)}
    return {name: node}, []


def _neuron(layer: SpikingLayer, name: str, shape: Shape, dt: float) -> nir.NIRNode:
    """The primitive of a neuron, with its parameters broadcast to the shape of one sample."""
    firing = firing_of(layer)
    if isinstance(layer, LeakyIntegrator):
        words = {
            "dual": "traces split by sign",
            "recurrent": "a trace of a layer's own output",
            "average": "a moving average",
        }
        lacking = next((what for trait, what in words.items() if getattr(layer.kind, trait)), None)
        lacking = lacking or ("ternary spikes" if layer.kind.ternary else None)
        lacking = lacking or ("a bias of the spikes" if "bias" in layer.constraints else None)
    else:
        lacking = None if isinstance(layer, PLIF) else "such a neuron"
    if lacking:
        raise ValueError(f"NIR cannot express {name}, a {type(layer).__name__}: it has no node for {lacking}")
    if firing is not None and not firing.hard:
        raise ValueError(
            f"NIR cannot express {name}, a {type(layer).__name__} with soft or random spikes: only hard thresholds, "
            "such as spike_fn='arctan'"
        )

    axis = layer.neuron_axis(torch.Size((1, *shape))) - 1

    def spread(parameter: str) -> np.ndarray:
        value: Tensor = getattr(layer, parameter)
        each = value.detach().double().expand(layer.num_neurons).view(-1, *(1,) * (len(shape) - 1 - axis))
        return _array(each.expand(shape))

    plif = isinstance(layer, PLIF)
    fires, synaptic = firing is not None, not plif and layer.kind.synaptic
    with np.errstate(divide="ignore"):
        tau = dt / (1 - spread("beta"))
        tau_syn = dt / (1 - spread("alpha")) if synaptic else None
    endless = bool(np.isinf(tau).all())
    if np.isinf(tau).any() and (plif or synaptic or not endless):
        raise ValueError(f"NIR cannot express {name}, a {type(layer).__name__} with beta = 1")
    one, zero = np.ones(shape), np.zeros(shape)
    rest: dict[str, Any] = {"v_threshold": spread("threshold"), "v_reset": zero} if fires else {}
    if fires and not plif:
        rest["metadata"] = {"reset": "subtract"}
    if endless:
        return (nir.IF if fires else nir.I)(r=one / dt, **rest)
    r = one if plif else tau / dt
    if synaptic:
        cuba = nir.CubaLIF if fires else nir.CubaLI
        return cuba(tau_mem=tau, r=r, v_leak=zero, tau_syn=tau_syn, w_in=one, **rest)
    return (nir.LIF if fires else nir.LI)(tau=tau, r=r, v_leak=zero, **rest)


def _plain(module: nn.Module, name: str, shape: Shape) -> nir.NIRNode:
    refused = ValueError(f"NIR cannot express {name}, a {' '.join(str(module).split())}")
    match module:
        case nn.Linear():
            weight = _array(module.weight)
            return nir.Linear(weight) if module.bias is None else nir.Affine(weight, _array(module.bias))
        case nn.Conv1d() | nn.Conv2d() if module.padding_mode == "zeros":
            bias = np.zeros(module.out_channels, np.float32) if module.bias is None else _array(module.bias)
            options: Any = (module.stride, module.padding, module.dilation)
            one, weight = isinstance(module, nn.Conv1d), _dense_weight(module)
            if isinstance(module, nn.Conv2d) and weight.shape[2] != weight.shape[3] and module.padding != "same":
                weight, options = _square(module, name, weight)
            if one:
                options = tuple(value[0] if isinstance(value, tuple) else value for value in options)
            kind = nir.Conv1d if one else nir.Conv2d
            return kind(shape[1] if one else shape[1:], weight, *options, 1, bias)
        case nn.Flatten() if module.start_dim > 0:
            end = module.end_dim if module.end_dim < 0 else module.end_dim - 1
            return nir.Flatten({"input": np.array(shape)}, module.start_dim - 1, end)
        case nn.AvgPool2d() if not module.ceil_mode and module.divisor_override in (None, 1):
            sizes = [np.array(_pair(value)) for value in (module.kernel_size, module.stride, module.padding)]
            if module.divisor_override == 1:
                return nir.SumPool2d(*sizes)
            if module.count_include_pad or not np.any(sizes[2]):
                return nir.AvgPool2d(*sizes)
            raise refused
        case Scale():
            return nir.Scale(np.broadcast_to(_array(module.scale), shape))
        case nn.modules.pooling._MaxPoolNd():  # private: the base class of max-pooling
            raise ValueError(f"{refused}: it has no maximum, only average pooling (model.pool=average)")
    raise refused


def _dense_weight(convolution: nn.Conv1d | nn.Conv2d) -> np.ndarray:
    """The weight with zeros between groups, because NIR's reader takes the channels of a group for all channels."""
    weight = convolution.weight.detach()
    outputs, inputs = len(weight) // convolution.groups, weight.shape[1]
    dense = weight.new_zeros(convolution.out_channels, convolution.in_channels, *weight.shape[2:])
    for group in range(convolution.groups):
        rows, columns = slice(group * outputs, (group + 1) * outputs), slice(group * inputs, (group + 1) * inputs)
        dense[rows, columns] = weight[rows]
    return _array(dense)


def _square(convolution: nn.Conv2d, name: str, weight: np.ndarray) -> tuple[np.ndarray, tuple[Any, ...]]:
    """The kernel with zeros on both sides of its shorter axis, because NIR's reader takes every kernel for square, and
    its stride, padding and dilation."""
    missing = max(weight.shape[2:]) - np.array(weight.shape[2:])
    if np.any(missing % 2):
        raise ValueError(
            f"NIR cannot express {name}, a {convolution}: its reader takes kernels for square, and zeros on both sides "
            "do not make this one square"
        )
    added = missing // 2
    given = (0, 0) if convolution.padding == "valid" else _pair(convolution.padding)
    padding = tuple(int(each) for each in given + added * _pair(convolution.dilation))
    square = np.pad(weight, ((0, 0), (0, 0), *((each, each) for each in added)))
    return square, (convolution.stride, padding, convolution.dilation)


def _normalised(norm: fx.Node, modules: dict[str, nn.Module], shapes: dict[str, tuple[Shape, Shape]]) -> str:
    """The name of the linear or convolution layer into which a batch normalisation is merged."""
    source = norm.args[0]
    while isinstance(source, fx.Node) and source.op == "call_module" and len(source.users) == 1:
        module = modules[str(source.target)]
        if isinstance(module, nn.Linear) and len(shapes[str(source.target)][1]) > 1:
            break  # it works along the last axis, a batch normalisation along the first
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
            return str(source.target)
        options = (module.divisor_override, module.ceil_mode) if isinstance(module, nn.AvgPool2d) else ()
        averages = isinstance(module, nn.AvgPool2d) and not any(options) and not np.any(module.padding)
        if not averages and not isinstance(module, IDENTITIES):
            break
        source = source.args[0]
    raise ValueError(
        f"NIR cannot express {norm.target}, a {modules[str(norm.target)]}: only one that follows a convolution or "
        "a linear layer of vectors, whose output nothing else reads, can become part of it"
    )


def _affine(norm: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """The factor and the offset of each channel of a batch normalisation with its running statistics."""
    assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError(f"NIR cannot express {norm}, which keeps no running statistics")
    factor = (norm.running_var.double() + norm.eps).rsqrt()
    offset = torch.zeros_like(factor)
    if norm.affine:
        factor, offset = factor * norm.weight, norm.bias.double()
    return _array(factor), _array(offset - factor * norm.running_mean)


def _with_affine(node: Any, factor: np.ndarray, offset: np.ndarray) -> nir.NIRNode:
    """The node of a linear or convolution layer, with its outputs scaled by the factor and shifted by the offset."""
    weight = (node.weight * factor.reshape(-1, *(1,) * (node.weight.ndim - 1))).astype(node.weight.dtype)
    bias = (getattr(node, "bias", 0) * factor + offset).astype(node.weight.dtype)
    new = nir.Affine(weight, bias) if isinstance(node, nir.Linear) else replace(node, weight=weight, bias=bias)
    new.input_type, new.output_type = node.input_type, node.output_type
    return new


def _array(value: Tensor) -> np.ndarray:
    return np.array(at_least_float32(value.detach()).cpu().numpy())  # numpy has no bfloat16
