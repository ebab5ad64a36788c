"""A model written for one time step, run over a whole sequence."""

from typing import Any

from torch import Tensor, nn

# Private, but in torch since 1.11; the public equivalents require another package.
from torch.utils import _pytree as pytree

from bionets.layers.folding import Folding, folding, refuse_within_unroll
from bionets.layers.plain_calls import calls_only, flatten_sequential, is_time_invariant, run_one_step
from bionets.layers.sequence_layers import refuse_sequence_layers
from bionets.layers.spiking.pooled_spikes import can_pool, pooled
from bionets.layers.stateful import StatefulModule
from bionets.layers.time_invariant import one_step
from bionets.scan.arguments import check_lengths, check_reset
from bionets.scan.online import active


def unroll(model: nn.Module, x: Tensor, *, lengths: Tensor | None = None, reset: Tensor | None = None) -> Any:
    """Run a model over x ``[T, B, ...]``. The result is that of calling it step by step, but is computed much faster.

    The forward of the model runs once, with all hooks, and may have skip connections, branches and several outputs.
    Layers without a state get all steps as one batch of T·B samples; layers with a state unfold them to ``[T, B, ...]``
    and scan over time from their kept state. The batch must therefore stay on the first axis; samples may be split into
    more samples. The forward must not mix the samples of a batch (``x.mean(0)``), which is not checked. Values carried
    from step to step must be states of a `StatefulModule`.

    An operation that a layer performs once per call is performed once for all steps: in training, batch normalisation
    computes statistics over all T·B samples, and `torch.nn.utils.spectral_norm` makes one power iteration.

    Two shortcuts for an ``nn.Sequential`` do not change any number, and are not used if a hook reads the values. A
    time-invariant x (``image.expand(T, *image.shape)``) that requires no gradient passes only once through the layers
    before the first layer that has a state or is random. Spiking neurons and a following max-pooling are computed in
    one pass, which writes only the largest spike of each window.

    **Lengths** (``lengths``, ``[B]`` integers) are for sequences that end before T. States do not change past the end
    of a sequence, and results there are zero. Layers without a state get only the valid steps, so that values of x past
    the ends are ignored and take no time.

    **Resets** (``reset``, ``[T, B]`` bools) mark steps within a sequence, such as the first steps of episodes, before
    which every layer starts from its initial states.

    Returns:
        The result of the model, with every tensor as ``[T, B, ...]``.

    Raises:
        RuntimeError: the model cannot run all steps at once: it calls a stateful layer twice, a layer that runs over
            time (`torch.nn.GRU`), a cell (`torch.nn.GRUCell`), or unroll, or it reads, resets or detaches states. The
            kept states are then restored.
        ValueError: x has no axes of time and batch, the lengths are not B integers from 0 to T or are given with online
            gradients, the resets are not ``[T, B]`` bools, or a result does not have one entry for each of the T·B
            samples.
    """
    refuse_within_unroll("unroll", "the model's forward unrolls a sequence itself, so call it as it is, model(x)")
    if not isinstance(x, Tensor):
        raise TypeError(f"unroll needs a tensor x [T, B, ...], got a {type(x).__name__}")
    if x.dim() < 2:
        raise ValueError(f"unroll needs x [T, B, ...], got shape {tuple(x.shape)}")
    time, batch = x.shape[:2]
    if lengths is not None and active() is not None:
        raise ValueError("online gradients go on from chunk to chunk: unroll takes no lengths with them")
    if lengths is not None:
        lengths = check_lengths(lengths, x.shape, x.device)
    if reset is not None:
        reset = check_reset(reset, x.shape, x.device)
    step = one_step(x) if lengths is None else None
    fold = Folding(time, batch, one_step=step is not None, lengths=lengths, reset=reset)
    with folding(fold), refuse_sequence_layers(model):
        try:
            y = _call(model, fold.fold(x) if step is None else step, fold)
        except BaseException:
            fold.restore()
            raise

    def unfold(y: Any) -> Any:
        if y is None:
            return None
        if not isinstance(y, Tensor):
            raise ValueError(f"{type(model).__name__} gave a {type(y).__name__}: unroll can unfold only tensors")
        if y.dim() == 0 or y.size(0) != fold.samples:
            raise ValueError(
                f"{type(model).__name__} gave a tensor of shape {tuple(y.shape)} for {time} steps of {batch} samples: "
                "unroll needs one result for each of them"
            )
        return fold.unfold(y, type(model).__name__) if fold.valid is not None else y.unflatten(0, (time, batch))

    return unfold(y) if isinstance(y, Tensor) else pytree.tree_map(unfold, y)


def _call(model: nn.Module, x: Any, fold: Folding) -> Any:
    """The output of the model for all steps, for x of all steps or the single step that is repeated."""

    def every_step(x: Any) -> Any:
        fold.one_step = False
        return pytree.tree_map_only(Tensor, lambda each: each.expand(fold.time, *each.shape).flatten(0, 1), x)

    layers = flatten_sequential(model)
    while layers:
        layer = layers.pop(0)
        if isinstance(layer, StatefulModule):
            if fold.one_step and not calls_only(layer, StatefulModule.forward):
                x = every_step(x)
            pool = layers.pop(0) if layers and can_pool(layer, layers[0], x) else None
            x = layer(x) if pool is None else pooled(layer, pool, x)
            fold.one_step = False
        elif fold.one_step and is_time_invariant(layer, x):
            x = run_one_step(layer, x, fold.time)
        else:
            x = layer(every_step(x) if fold.one_step else x)
    return every_step(x) if fold.one_step else x
