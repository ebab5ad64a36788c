"""Layers that an unrolled model cannot call, because they would misinterpret the T·B samples."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from bionets.layers.find_modules import find_modules
from bionets.layers.folding import refuse_cell, refuse_sequence_layer, refuse_within_unroll
from bionets.layers.plain_calls import temporary_hooks
from bionets.layers.recurrent.recurrent_cell import RecurrentCell
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer

CELLS = (nn.RNNCellBase, RecurrentCell)
SEQUENCE_LAYERS = (
    RecurrentLayer,
    nn.RNNBase,
    nn.MultiheadAttention,
    nn.Transformer,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)
ALONG_AN_AXIS = (nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.GLU, nn.CosineSimilarity)


@contextmanager
def refuse_sequence_layers(model: nn.Module) -> Iterator[None]:
    """Raise RuntimeError if the model calls a layer that works along time or along the batch, such as `BRC` or
    `torch.nn.GRU`.

    A layer with ``batch_first=True`` and a batch of sequences, such as attention over the patches of an image, is not
    refused: these sequences belong to one time step.
    """
    refused = find_modules(model, (*CELLS, *SEQUENCE_LAYERS, *ALONG_AN_AXIS))
    with temporary_hooks(layer.register_forward_pre_hook(_check, with_kwargs=True) for _, layer in refused):
        yield


def _check(layer: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
    x = next((each for each in (*arguments, *named.values()) if isinstance(each, Tensor)), None)
    if isinstance(layer, CELLS):
        refuse_cell(layer)
    elif isinstance(layer, ALONG_AN_AXIS):
        if x is not None and _along_first_axis(layer, x):
            name = type(layer).__name__
            refuse_within_unroll(f"{name} works along the batch axis", "the samples of a batch must not mix")
    elif x is None or x.dim() != 3 or not _batch_first(layer):
        refuse_sequence_layer(layer)


def _along_first_axis(layer: nn.Module, x: Tensor) -> bool:
    dim: Any = layer.dim
    if dim is None:  # the dimension that torch chooses for softmax without dim
        return x.dim() in (0, 1, 3)
    return int(dim) % max(x.dim(), 1) == 0


def _batch_first(layer: nn.Module) -> bool:
    attention = getattr(layer, "self_attn", layer)
    return bool(getattr(attention, "batch_first", False))
