"""The scan of spiking neurons, for time-varying and time-invariant inputs."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from bionets.layers.time_invariant import one_step
from bionets.scan import scan
from bionets.scan.online import active


def neurons_over_time(
    step: Callable[..., tuple[Tensor, Any]],
    to_scan: Callable[[Tensor, int], Any],
    x: Tensor,
    noise: tuple[Tensor, ...],
    state: Any,
    params: Any,
    *,
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, Any]:
    """Run `bionets.scan.scan` on a step that takes the input, or with noise ``(input, *noise)``.

    ``to_scan(tensor, lead)`` converts the input and the noise to the layout of the scan, ``[T, B, *N]`` with ``lead`` =
    1 and ``[B, *N]`` with ``lead`` = 0; state and params already have this layout.

    A time-invariant input (see `one_step`) is passed to the scan as a parameter, one for each position in the batch. It
    is read once, and its gradient is accumulated over time instead of being written T times. This is not possible with
    lengths or resets, which belong to the batch, nor with online gradients, which track the parameters of a step from
    chunk to chunk.
    """
    drawn = tuple(to_scan(each, 1) for each in noise)
    invariant = one_step(x) if lengths is None and reset is None and active() is None else None
    if invariant is None:
        drive = to_scan(x, 1)
        return scan(step, (drive, *drawn) if noise else drive, state, params, lengths=lengths, reset=reset, **options)
    # The batch becomes an axis of N, because parameters have no batch axis.
    drive = to_scan(invariant, 0)
    shape = pytree.tree_leaves(drive)[0].shape
    nothing = x.new_zeros(shape).expand(len(x), 1, *shape)
    drawn, state = (
        pytree.tree_map(lambda leaf, at=at: leaf.unsqueeze(at), tree) for at, tree in ((1, drawn), (0, state))
    )
    y, state = scan(
        partial(time_invariant_step, step=step), drawn if noise else nothing, state, (drive, params), **options
    )
    return y.squeeze(1), pytree.tree_map(lambda leaf: leaf.squeeze(0), state)


def time_invariant_step(
    noise: Any, state: Any, params: Any, *, step: Callable[..., tuple[Tensor, Any]]
) -> tuple[Tensor, Any]:
    """The step with its input as one of the parameters."""
    drive, own = params
    return step((drive, *noise) if isinstance(noise, tuple) else drive, state, own)
