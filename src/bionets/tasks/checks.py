"""One-line errors for invalid values of a task's keys, and for data that do not match its spec."""

import contextlib
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from bionets import annotations

from .spec import TaskSpec

LOSSES = (functional.mse_loss, functional.l1_loss, functional.smooth_l1_loss, functional.huber_loss)


def require_at_least(minimum: int, **values: int) -> None:
    """Raise ``ValueError`` with the first of the task's keys that is not a whole number of at least ``minimum``."""
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"task.{key} must be a whole number, got {value!r}")
        if value < minimum:
            raise ValueError(f"task.{key} must be at least {minimum}, got {value}")


require_one_of = partial(annotations.require_one_of, "task.")


def beginning_of(error: Exception) -> str:
    """The beginning of the message of an error, on one line."""
    return " ".join(str(error).split())[:80]


def split_sizes(count: int, val_share: float, test_share: float, data: str) -> tuple[int, int, int]:
    """The numbers of samples for training, validation and test. Raises ValueError if one of them would be 0."""
    for name, share in (("val_share", val_share), ("test_share", test_share)):
        if not 0 < share < 1:
            raise ValueError(f"task.{name} must be above 0 and below 1, got {share}")
    val_size, test_size = round(val_share * count), round(test_share * count)
    sizes = count - val_size - test_size, val_size, test_size
    if min(sizes) < 1:
        raise ValueError(
            f"task.data={data}: {count} samples are too few for shares of {val_share}, {test_share}: "
            "take more, or cut long sequences into several"
        )
    return sizes


def check_data(data: Any, dims: tuple[int, int], size: int | None = None) -> None:
    """Raise ``ValueError`` unless a data set is a tuple of two tensors, or of three tensors with lengths, and x and the
    target hold ``size`` samples along their batch dimensions."""
    kinds = [type(each).__name__ for each in data] if isinstance(data, tuple | list) else [type(data).__name__]
    if len(kinds) not in (2, 3) or not all(isinstance(each, Tensor) for each in data):
        raise ValueError(f"a data set must be tensors, (x, target) or (x, target, lengths); got {', '.join(kinds)}")
    if size is None:
        return
    for name, tensor, dim in zip(("x", "the target"), data, dims, strict=False):
        if dim >= tensor.dim() or tensor.shape[dim] != size:
            first = "; sequences are [T, B, ...], time first" if dim == 1 and len(tensor) == size else ""
            raise ValueError(
                f"{name} of a data set must have its {size} samples along dimension {dim}, "
                f"got the shape {tuple(tensor.shape)}{first}"
            )


def check_batch(spec: TaskSpec, x: Tensor, target: Tensor, *lengths: Tensor) -> None:
    """Raise ``ValueError`` unless the shapes of a batch match the spec."""
    if len(lengths) != spec.lengths:
        said, given = ("lengths=True", "without them") if spec.lengths else ("no lengths", "with them")
        raise ValueError(f"the spec of the task says {said}, but a batch came {given}: it is (x, target, lengths)")
    batch, target_batch = spec.batch_dims
    numbers = (spec.input_size,)
    expected = {"sequence": numbers, "image": spec.image_shape, "control": ()}[spec.kind.partition("_")[0]]
    got = tuple(x.shape[batch + 1 :])
    if x.dim() <= batch or got != expected:
        raise ValueError(
            f"x of a task of kind {spec.kind} must be [{'T, ' * batch}B{''.join(f', {n}' for n in expected or ())}], "
            f"got the shape {tuple(x.shape)}"
        )
    if target.dim() <= target_batch or target.shape[target_batch] != x.shape[batch]:
        raise ValueError(
            f"x has {x.shape[batch]} samples along dimension {batch}, so the target must have as many along dimension "
            f"{target_batch}; got the shape {tuple(target.shape)}"
        )
    if lengths:
        (each,) = lengths
        rows = x.shape[batch]
        if tuple(each.shape) != (rows,) or each.is_floating_point() or not batch:
            raise ValueError(f"lengths of a batch must be [{rows}] integers for [T, B, ...], got {list(each.shape)}")
        if int(each.min()) < 1 or int(each.max()) > len(x):
            raise ValueError(f"lengths must lie between 1 and T = {len(x)}, got {int(each.min())} to {int(each.max())}")


def check_loss(
    loss: Callable[[Tensor, Tensor], Any], spec: TaskSpec, x: Tensor, target: Tensor, *lengths: Tensor
) -> None:
    """Raise ``ValueError`` unless the loss of a batch is a scalar and does not broadcast prediction or target.

    The prediction consists of zeros in the shape that the spec requires. A loss that raises an error for zeros is not
    checked.
    """
    if spec.kind == "control":
        return
    every_step = bool(spec.batch_dims[1])
    batch = x.shape[spec.batch_dims[0]]
    steps = (len(x), batch) if every_step else (batch,)
    prediction = torch.zeros(*steps, spec.output_size, requires_grad=True)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        try:
            prediction, target = spec.only_scored(prediction, target, *lengths)
            if not len(target):  # no step has a label
                return
            with _Broadcasts() as broadcasts:
                found = loss(prediction, target)
        except Exception:
            return
    if broadcasts.found:
        shapes = f"a prediction {list(prediction.shape)} and a target {list(target.shape)}"
        raise ValueError(f"the loss of the task broadcasts {shapes}: give both one shape")
    if not isinstance(found, Tensor) or found.numel() != 1:
        kind = f"a tensor {list(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise ValueError(f"the loss of a task must be a tensor of one number, got {kind}: take the mean")


class _Broadcasts(TorchFunctionMode):
    """Record whether an operation broadcasts a column and a row of equal length to a matrix, ``[*, B, 1]`` and
    ``[*, B]`` to ``[*, B, B]``, or one of torch's losses broadcasts its prediction. PyTorch raises no error, but the
    loss then compares predictions with the targets of other samples."""

    found = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if len(args) < 2 or not all(isinstance(each, Tensor) for each in (*args[:2], result)):
            return result
        one, other = args[0].shape, args[1].shape
        with contextlib.suppress(RuntimeError):  # shapes that do not broadcast, as in a matrix product
            together = torch.broadcast_shapes(one, other)
            column = (*other, 1) == one or (*one, 1) == other
            self.found |= column and result.shape == together and together not in (one, other)
            self.found |= func in LOSSES and together != one
        return result
