"""Stacks of recurrent, spiking and feed-forward layers, each with optional normalisation, dropout and residual."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_args

import torch
from torch import Tensor, nn

import bionets.layers
from bionets.annotations import parameters_of
from bionets.layers import SequenceDropout, StatefulRecurrent, anneal_delays, reset_states, spiking, unroll
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer
from bionets.layers.sequence_layers import CELLS
from bionets.layers.single_step import StatefulStep
from bionets.layers.spiking import FullyRecurrent, SpikingLayer, ThresholdBatchNorm1d
from bionets.models.layer_arguments import build_layer, import_layer
from bionets.models.model import OptimizerFactory
from bionets.models.optimization import share_of_epochs
from bionets.models.sequence import SequenceModel, make_readout
from bionets.tasks.spec import TaskSpec

NORMS = ("layer", "batch", "threshold_batch")
OWN_KEYS = ("layer", "size", "norm", "dropout", "residual", "recurrent")
WORKS = (
    "layers of a stack take one step at a time: use a recurrent layer, such as BRC, LRU or GRU, or a model of your own"
)


class StackModel(SequenceModel):
    """x ``[T, B, input_size]`` -> layers of any kinds -> readout.

    An entry of ``layers`` has the keys ``layer``, ``size`` (its outputs), and:

    - ``norm``: ``layer``, ``batch`` or ``threshold_batch``, the normalisation of the input of the layer; for spiking
      neurons, after their weights. The statistics of batch normalisation are over batch and time.
    - ``dropout``: share of the outputs set to zero in training, with the same mask for all steps of a sequence.
    - ``residual``: whether the input is added to the output; both must have the same size.
    - ``recurrent``: whether spiking neurons also receive the last spikes of all neurons of the layer, through a weight
      matrix.
    - other arguments of the constructor of the layer.

    An entry with ``layers``, a list of entries, instead of ``layer`` is a block of several layers, with the ``norm``
    (not ``threshold_batch``), ``dropout`` and ``residual`` of the whole block.

    ``layer`` is the name of a class in `bionets.layers` (BRC, NBRC, ...), `bionets.layers.spiking` (LIB, ...) or
    `torch.nn` (GRU, Linear, ...), or the dotted path of your own class: a `SpikingLayer`, a `RecurrentLayer`, or a
    module ``layer(size_in, size)`` from ``[B, size_in]`` to ``[B, size]``. Spiking neurons follow a linear layer and,
    unless ``spike_fn`` is given, have a hard threshold with the surrogate gradient ``arctan``. A layer without
    ``size``, such as ReLU, is built only from its other arguments and keeps the size.

    Args:
        layers: one entry for each layer, in order, for example [{layer: BRC, size: 100}, {layer: LIB, size: 100}].
        decoder: numbers of hidden units of the layers between the last layer and the prediction.
        readout: ``last`` or ``mean``: the prediction after the last step, or the mean over the predictions of all
            steps.
        loss_every_step: whether the training loss is the mean over the losses of the predictions at every step.

    Raises:
        ValueError: the kind of task is not supported, or a layer cannot be built.
    """

    def __init__(
        self,
        spec: TaskSpec,
        layers: Sequence[Mapping[str, Any]],
        decoder: Sequence[int] = (),
        readout: str = "last",
        loss_every_step: bool = False,
        optimizer: OptimizerFactory | None = None,
    ) -> None:
        super().__init__(spec, readout, loss_every_step, optimizer)
        blocks, size = make_blocks(layers, spec.input_size, "model.layers")
        self.network = nn.Sequential(*blocks)
        self.readout = make_readout(size, decoder, spec.output_size)

    def core(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        reset_states(self)
        return unroll(self.network, x, lengths=lengths)

    def single_step(self, x: Tensor) -> StatefulStep:
        return StatefulStep(self.network, x, self.readout)

    def on_train_epoch_start(self) -> None:
        anneal_delays(self, share_of_epochs(self.trainer))


class Residual(nn.Module):
    """x + block(x)."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


def make_block(entry: Mapping[str, Any], size_in: int, key: str) -> tuple[nn.Module, int]:
    """The layers of an entry, with its normalisation, dropout and residual, and the size of their output."""
    if not isinstance(entry, Mapping):
        raise ValueError(f"{key} must be an entry, such as {{layer: BRC, size: 100}}, got {entry!r}")
    for name in ("residual", "recurrent"):  # on the command line, no and off are words
        if not isinstance(entry.get(name), bool | None):
            raise ValueError(f"{key}.{name} must be true or false, got {entry[name]!r}")
    modules, size = (make_group if "layers" in entry else make_modules)(entry, size_in, key)
    if entry.get("dropout"):
        try:
            modules.append(SequenceDropout(entry["dropout"]))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{key}.dropout must lie between 0 and 1, got {entry['dropout']!r}") from error
    block = modules[0] if len(modules) == 1 else nn.Sequential(*modules)
    if not entry.get("residual"):
        return block, size
    if size != size_in:
        raise ValueError(
            f"{key}.residual adds the input, of size {size_in}, to the output, of size {size}: make them one"
        )
    return Residual(block), size


def make_group(entry: Mapping[str, Any], size_in: int, key: str) -> tuple[list[nn.Module], int]:
    """The normalisation and the blocks of an entry that has several layers, and the size of their output."""
    if unknown := set(entry) - {"layers", "norm", "dropout", "residual"}:
        raise ValueError(
            f"{key} is a block of layers, with norm, dropout and residual only: {', '.join(sorted(map(str, unknown)))}"
        )
    if entry.get("norm") == "threshold_batch":
        raise ValueError(f"{key}.norm=threshold_batch belongs to the spiking neurons, not to a block of layers")
    blocks, size = make_blocks(entry["layers"], size_in, f"{key}.layers")
    return [*make_norm(entry, size_in, key), *blocks], size


def make_blocks(entries: Any, size: int, key: str) -> tuple[list[nn.Module], int]:
    """The blocks of a list of entries, and the size of their output."""
    if isinstance(entries, str | Mapping) or not isinstance(entries, Sequence) or not entries:
        raise ValueError(f"{key} must have at least one entry, as in {key}=[{{layer: BRC, size: 100}}]")
    blocks = []
    for number, entry in enumerate(entries):
        block, size = make_block(entry, size, f"{key}[{number}]")
        blocks.append(block)
    return blocks, size


def make_modules(entry: Mapping[str, Any], size_in: int, key: str) -> tuple[list[nn.Module], int]:
    """The layer of an entry with its normalisation, and the size of its output."""
    name, size = entry.get("layer"), entry.get("size", size_in)
    if not isinstance(name, str):
        raise ValueError(f"{key} has no layer: write it as {{layer: BRC, size: 100}}")
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"{key}.size must be a whole number of at least 1, got {size!r}")
    kind = find_layer(name, key)
    arguments = {name: value for name, value in entry.items() if name not in OWN_KEYS}
    if issubclass(kind, SpikingLayer):
        spikes = {"spike_fn": "arctan"}
        neurons = build_entry(kind, (size,), {**spikes, **arguments}, key, spikes)
        connected = FullyRecurrent(neurons) if entry.get("recurrent") else neurons
        return [nn.Linear(size_in, size), *make_norm(entry, size, key), connected], size
    if entry.get("recurrent"):
        raise ValueError(f"{key}.recurrent is for spiking neurons, and {name} is another kind of layer")
    sizes = (size_in, size) if "size" in entry else ()
    if sizes and not takes_size(kind, arguments):
        raise ValueError(f"{key}: {name} takes no size: leave it out, and give the arguments of {name} by their names")
    return [*make_norm(entry, size_in, key), make_layer(kind, sizes, arguments, size_in, size, key)], size


def takes_size(kind: type[nn.Module], named: Collection[str] = ()) -> bool:
    """Whether the first two arguments of a constructor may be the sizes of input and output. The second is not if it is
    a float or a bool, such as ``eps`` of LayerNorm, which would silently be the size, or if it is among the named
    arguments, such as ``max_delay`` of Delay. The first is not if it is the number of groups of GroupNorm, which would
    make one group of each unit, and the output 0."""
    parameters, numbers = parameters_of(kind), {float, bool}
    return [*parameters][:1] != ["num_groups"] and not any(
        each.name in named or numbers & {type(each.default), each.annotation, *get_args(each.annotation)}
        for each in [*parameters.values()][1:2]
    )


def find_layer(name: str, key: str) -> type[nn.Module]:
    """The class of a layer by its name or dotted path."""
    places = (bionets.layers, spiking, nn)
    found = import_layer(name) if "." in name else next((getattr(p, name) for p in places if hasattr(p, name)), None)
    if isinstance(found, type) and issubclass(found, nn.Module):
        return found
    raise ValueError(f"{key}.layer={name} is not a layer of bionets.layers, bionets.layers.spiking or torch.nn")


def make_norm(entry: Mapping[str, Any], size: int, key: str) -> list[nn.Module]:
    """The normalisation of an entry, if any."""
    norm = entry.get("norm")
    if norm is None:
        return []
    if norm not in NORMS:
        raise ValueError(f"{key}.norm={norm} is unknown: choose {', '.join(NORMS)}")
    if norm == "threshold_batch":
        return [ThresholdBatchNorm1d(size, threshold=entry.get("threshold", 1.0))]
    return [nn.LayerNorm(size) if norm == "layer" else nn.BatchNorm1d(size)]


def make_layer(
    kind: type[nn.Module], sizes: tuple[int, ...], arguments: Mapping[str, Any], size_in: int, size: int, key: str
) -> nn.Module:
    """A recurrent layer, wrapped to take one step at a time, or a module for one step."""
    for name in ("batch_first", "proj_size"):
        if name in arguments:
            raise ValueError(f"{key}.{name} would change the shapes that the model relies on")
    layer = build_entry(kind, sizes, arguments, key)
    if isinstance(layer, RecurrentLayer | nn.RNNBase):
        return build_entry(StatefulRecurrent, (layer,), {}, key)
    if isinstance(layer, CELLS):
        raise ValueError(f"{key}: {kind.__name__} does not keep its state: use {kind.__name__.removesuffix('Cell')}")
    x = torch.stack([torch.linspace(-1, 1, size_in), torch.ones(size_in)])
    try:
        y, other = first_answer(layer, x), first_answer(layer, x * torch.tensor([[1.0], [-2.0]]))
    except Exception as error:  # any module may raise any error for this input
        raise ValueError(
            f"{key}: {kind.__name__} takes no input [B, {size_in}], a single step ({str(error)[:80]}): {WORKS}"
        ) from error
    if not isinstance(y, Tensor) or y.shape != (2, size):
        raise ValueError(f"{key}: {kind.__name__} must map [B, {size_in}] to [B, {size}], and gave another result")
    if not torch.allclose(y[0], other[0], equal_nan=True):
        raise ValueError(f"{key}: {kind.__name__} mixes the samples of a batch, or works along time: {WORKS}")
    return layer.train()


def first_answer(layer: nn.Module, x: Tensor) -> Any:
    """The first output of a layer in evaluation mode, with the same random numbers each time."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        y = layer.eval()(x.clone())  # an activation may change it in place
    reset_states(layer)
    return y


def build_entry(kind: type[nn.Module], first: tuple[Any, ...], arguments: Any, key: str, defaults: Any = None) -> Any:
    """`build_layer`, with the key of the entry in every error."""
    try:
        return build_layer(kind, *first, arguments=arguments, defaults=defaults or {}, prefix=f"{key}.")
    except (ValueError, TypeError) as error:
        if not first and "required positional argument" in str(error) and takes_size(kind, arguments):
            named = f"{{layer: {kind.__name__}, size: 100}}"
            raise ValueError(f"{key}: {kind.__name__} needs a size, as in {named}, or other arguments") from error
        raise ValueError(str(error) if str(error).startswith("model.") else f"{key}: {error}") from error
