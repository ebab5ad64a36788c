"""Arrays of a user's own data from an imported `torch.utils.data.Dataset`."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bionets.annotations import require_types
from bionets.import_path import import_object

from .checks import beginning_of
from .data_files import Arrays, exact
from .spec import UNLABELLED


def arrays_of_dataset(
    path: str,
    targets: Mapping[str, str | None],
    arguments: Mapping[str, Any],
    known: Mapping[str, int | Sequence[str]] | None = None,
) -> list[Arrays]:
    """Stack all pairs of a `torch.utils.data.Dataset`; sequences of different lengths are padded. The pairs are read
    once, so that all targets belong to the same inputs.

    Args:
        path: the import path of the data set.
        targets: the name and the `TargetKind` (see `of_kind`) of each target; of several, the entries of a mapping.
        arguments: arguments of the constructor.
        known: for each target, see `with_classes`.
    """
    try:
        kind = import_object(path)
    except ValueError as error:
        raise ValueError(f"task.data={path} is neither a file nor an importable data set ({error})") from error
    try:
        require_types("task.arguments.", kind, arguments)
        dataset: Any = kind(**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"task.data={path} refuses task.arguments={dict(arguments)}: {beginning_of(error)}") from error
    several, found = len(targets) > 1, []
    inputs: list[Tensor] = []
    values: dict[str, list[Tensor]] = {name: [] for name in targets}
    try:
        for number in range(len(dataset)):
            x, y = dataset[number]
            # copies, because a data set may return the same array each time
            inputs.append(as_tensor(x, f"x of sample {number}").clone())
            for name, own in values.items():
                own.append(as_tensor(y[name] if several else y, f"the target of sample {number}").clone())
        if not inputs:
            raise ValueError("it has no samples")
        steps = torch.tensor([each.shape[0] if each.dim() == 2 else 1 for each in inputs])
        for name, target_kind in targets.items():
            x, y = stacked_pairs(inputs, values[name])
            y = y.float() if y.is_floating_point() else y.long()
            classes = () if several else names_of_classes(dataset, y, (known or {}).get(name), target_kind)
            found.append(Arrays(exact(x), y, classes, steps if bool((steps < steps.max()).any()) else None))
    except LookupError as error:
        what = f"{type(error).__name__}: {beginning_of(error)}"
        raise ValueError(f"task.data={path} is not a data set of pairs ({what})") from error
    except (AttributeError, ValueError, TypeError) as error:
        raise ValueError(f"task.data={path} is not a data set of pairs ({beginning_of(error)})") from error
    return found


def as_tensor(value: Any, name: str) -> Tensor:
    """Numbers, a list or an array as a tensor. Raises ValueError for anything else."""
    if isinstance(value, np.ndarray):  # torch has neither negative strides nor another byte order
        value = value.astype(value.dtype.newbyteorder("="), order="C", copy=False)
    try:
        tensor = torch.as_tensor(value)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{name} is a {type(value).__name__}, not numbers") from error
    if tensor.is_complex():
        raise ValueError(f"{name} is complex: give real numbers")
    return tensor


def names_of_classes(
    dataset: Any, y: Tensor, known: int | Sequence[str] | None, kind: str | None = None
) -> tuple[str, ...]:
    """The attribute ``classes`` of a data set, as in torchvision. In training it must name as many classes as the
    targets have, because the highest target determines the number of outputs of the network. If the class names of
    training are known, it may name more.
    """
    are_classes = y.dim() == 1 and not y.is_floating_point() if kind is None else kind.startswith("class")
    names = getattr(dataset, "classes", None)
    if not are_classes or isinstance(known, int) or not isinstance(names, list | tuple):
        return ()
    count = int(y.nan_to_num(UNLABELLED).max()) + 1
    if len(names) < count or (known is None and len(names) > count):
        return ()
    return tuple(names) if all(isinstance(name, str) for name in names) and len(set(names)) == len(names) else ()


def stacked_pairs(inputs: Sequence[Tensor], targets: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Stack inputs and targets. Sequences ``[T, I]`` of different lengths T are padded with zeros at the end; so are
    targets ``[T]`` or ``[T, O]`` with the same number of steps as their inputs.
    """
    if all(x.dim() == 2 for x in inputs) and len({len(x) for x in inputs}) > 1:
        x = stack_samples(inputs, "inputs", padded=True)
        stepwise = all(y.dim() in (1, 2) and len(y) == len(x) for x, y in zip(inputs, targets, strict=True))
        return x, stack_samples(targets, "targets", padded=stepwise)
    return stack_samples(inputs, "inputs"), stack_samples(targets, "targets")


def stack_samples(samples: Sequence[Tensor], name: str, padded: bool = False) -> Tensor:
    """Stack samples of the same shape; with ``padded`` their first dimensions may differ. If some are integers and
    some floating-point numbers, the result is floating-point."""
    shape = samples[0].shape
    for number, each in enumerate(samples):
        same = each.dim() == len(shape) and each.shape[1:] == shape[1:] if padded else each.shape == shape
        if not same:
            raise ValueError(f"{name} of the shapes {list(shape)} (sample 0) and {list(each.shape)} (sample {number})")
    dtype = reduce(torch.promote_types, [each.dtype for each in samples])
    samples = [each.to(dtype) for each in samples]  # pad_sequence has the dtype of the first sample
    return pad_sequence(list(samples), batch_first=True) if padded else torch.stack(list(samples))
