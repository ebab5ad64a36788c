"""A model written for one time step, run over a whole sequence."""

from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from bionets.layers.folding import current_folding, folding
from bionets.layers.spiking.pooled_spikes import can_pool, pooled
from bionets.layers.stateful import StatefulModule
from bionets.layers.still import is_still, one_step

__all__ = ["unroll"]

RANDOM = (
    nn.modules.dropout._DropoutNd,
    nn.RReLU,
    nn.FractionalMaxPool2d,
    nn.FractionalMaxPool3d,
    nn.MultiheadAttention,
    nn.RNNBase,
)  # while training


def unroll(model: nn.Module, x: Tensor) -> Any:
    """Run a model over x ``[T, B, ...]``: the numbers of calling it step by step, much faster.

    The model's forward runs once, whatever it does (skip connections, branches, several outputs): layers without a
    state see all steps as one batch of T·B samples, and layers with one take them apart, ``[T, B, ...]``, and scan over
    time from their kept state. So the batch must stay on the first axis; samples may be cut into more samples. What is
    carried from step to step must be the state of a `StatefulModule`: a model that remembers in another way, or that
    calls a stateful layer twice in one step, must be called step by step.

    An x that is the same at every step and says so (``image.expand(T, *image.shape)``) passes but once through the
    first layers of an ``nn.Sequential``, up to the first that has a state or is random.

    Spiking neurons and a max-pooling behind them in an ``nn.Sequential`` are one pass, which does not write the spikes
    that are not the largest of their window (unless a hook looks at them).

    Returns:
        What the model returns, every tensor as ``[T, B, ...]``.

    Raises:
        RuntimeError: a stateful layer is called twice, or the model unrolls a sequence itself.
        ValueError: a result is not one for each of the T·B samples.
    """
    if current_folding() is not None:
        raise RuntimeError(
            "unroll within unroll: the model's forward unrolls a sequence itself, so call it as it is, model(x)"
        )
    if isinstance(model, StatefulModule):
        return model(x, whole_sequence=True)
    if type(model).forward is nn.Sequential.forward:
        layers = list(model.children())
        while layers:
            layer = layers.pop(0)
            x = pooled(layer, layers.pop(0), x) if layers and can_pool(layer, layers[0], x) else unroll(layer, x)
        return x
    time, batch = x.shape[:2]
    if is_still(x) and _same_for_same(model):
        return pytree.tree_map_only(Tensor, lambda y: y.expand(time, *y.shape), model(one_step(x)))

    def unfold(y: Tensor) -> Tensor:
        if y.dim() == 0 or len(y) != time * batch:
            raise ValueError(
                f"{type(model).__name__} gave a tensor of shape {tuple(y.shape)} for {time} steps of {batch} samples: "
                "unroll needs one result for each of them"
            )
        return y.unflatten(0, (time, batch))

    with folding(time):
        y = model(x.flatten(0, 1))
    return pytree.tree_map_only(Tensor, unfold, y)


def _same_for_same(model: nn.Module) -> bool:
    """Whether the model surely gives the same at every step for the same input: torch's own layers, none random."""
    return all(
        type(module).__module__.startswith("torch.nn.modules.") and not (isinstance(module, RANDOM) and module.training)
        for module in model.modules()
    )
