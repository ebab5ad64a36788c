"""A user's own arrays: checking them, and inferring the task's kind."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from .checks import require_one_of
from .data_files import Arrays
from .spec import UNLABELLED, TaskSpec, has_label
from .standardise import mean_and_deviation

MOST_CLASSES = 1000  # that are inferred from fewer samples; more are numbers rather than classes
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
TargetKind = Literal["class", "number", "class_every_step", "number_every_step"]


def kinds_by_target(
    targets: str | Sequence[str], kind: TargetKind | Sequence[TargetKind] | None
) -> dict[str, TargetKind | None]:
    """The kind of each target by its name; None: inferred from the data."""
    names = [targets] if isinstance(targets, str) else list(targets)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"task.targets must be the names of one or more targets, got {names}")
    kinds = [kind] * len(names) if isinstance(kind, str | None) else list(kind)
    if len(kinds) != len(names):
        raise ValueError(f"task.target_kind must be one kind, or one for each of {', '.join(names)}, got {kinds}")
    for each in kinds:
        if each is not None:
            require_one_of(get_args(TargetKind), target_kind=each)
    return dict(zip(names, kinds, strict=True))


def known_classes(
    names: Sequence[str], given: Mapping[str, int | Sequence[str]] | None
) -> dict[str, int | Sequence[str]]:
    """The classes of training of each target, see `with_classes`; empty if there was no training."""
    known = dict(given or {})
    if len(names) == len(known) == 1:  # the target column may have another name in other data
        known = dict(zip(names, known.values(), strict=True))
    if known and list(known) != list(names):
        raise ValueError(f"task.targets={list(names)} are not those of training: {list(known)}")
    return known


def checked_inputs(arrays: Arrays, data: str) -> Tensor:
    """The inputs with zeros after the ends of the sequences; vectors as images with one row.

    Raises:
        ValueError: the shapes, the lengths or the numbers are invalid.
    """
    x, lengths = arrays.x, arrays.lengths
    if x.dim() not in (2, 3, 4) or not x.numel():
        raise ValueError(f"task.data={data}: the inputs must be [N, I], [N, T, I] or [N, C, H, W], got {list(x.shape)}")
    if lengths is not None:
        if x.dim() != 3 or tuple(lengths.shape) != (len(x),) or lengths.is_floating_point():
            raise ValueError(f"task.data={data}: lengths must be whole numbers [N] of sequences [N, T, I]")
        if int(lengths.min()) < 1 or int(lengths.max()) > x.shape[1]:
            raise ValueError(f"task.data={data}: lengths must lie between 1 and T = {x.shape[1]}")
        x = torch.where(valid_steps(arrays).unsqueeze(2), x, 0)
    require_finite(x.float(), data)
    return x[:, None, None, :] if x.dim() == 2 else x


def valid_steps(arrays: Arrays) -> Tensor:
    """The mask ``[N, T]`` of the steps before the end of each sequence."""
    assert arrays.lengths is not None
    return torch.arange(arrays.x.shape[1]) < arrays.lengths.unsqueeze(1)


def require_finite(numbers: Tensor, data: str, or_else: str = "") -> None:
    invalid = ~numbers.isfinite().flatten(1).all(1) if numbers.dim() > 1 else ~numbers.isfinite()
    if bool(invalid.any()):
        raise ValueError(
            f"task.data={data} holds NaN or infinity in sample {int(invalid.nonzero()[0])}: clean it first, "
            f"or give the lengths of sequences that are padded (task.lengths){or_else}"
        )


def as_shape(images: Tensor) -> tuple[int, int, int]:
    """Channels, height and width of images ``[N, C, H, W]``."""
    _, channels, height, width = images.shape
    return channels, height, width


def of_kind(arrays: Arrays, x: Tensor, kind: str | None, data: str) -> Arrays:
    """Convert targets to integers if they are classes, otherwise to floating-point numbers.

    Args:
        arrays: the arrays as read. Targets after the end of a sequence may have any value. If ``kind`` says that there
            is a target at every step, NaN, or -100 in place of a class, marks a step without a label.
        x: the inputs as the model gets them, except for the order of the dimensions.
        kind: a `TargetKind`. None: whole numbers ``[N]`` and words are classes, and targets ``[N, T]`` or ``[N, T, O]``
            of sequences are numbers at every step.
        data: the source of the arrays, for error messages.

    Raises:
        ValueError: the targets are not of this kind, or their number is not that of the inputs.
    """
    y = arrays.y
    if len(x) != len(y):
        raise ValueError(f"task.data={data}: {len(x)} inputs but {len(y)} targets: the first dimension counts samples")
    inferred, stepwise = kind is None, x.dim() == 3 and y.dim() in (2, 3) and y.size(1) == x.shape[1]
    kind = inferred_kind(arrays, stepwise, data) if kind is None else kind
    every_step, said = kind.endswith("every_step"), f"task.data={data}: task.target_kind={kind}"
    if every_step and not stepwise:
        raise ValueError(
            f"{said} needs targets [N, T] or [N, T, O] of sequences [N, T, I], "
            f"got targets {list(y.shape)} of inputs {list(x.shape)}"
        )
    if every_step and arrays.lengths is not None:
        valid = valid_steps(arrays).view(*y.shape[:2], *[1] * (y.dim() - 2))
        y = torch.where(valid, y, y[:, :1])  # a class of the data
    missing = y.isnan() if kind.startswith("number") else y.isnan() | (y == UNLABELLED)
    missing &= every_step and not inferred
    or_else = ", or if these steps have no label, choose task.target_kind=number_every_step"
    require_finite(torch.where(missing, 0, y), data, or_else if every_step and inferred else "")
    if bool(missing.all()):
        raise ValueError(f"{said}: no step has a label")
    arrays = replace(arrays, y=y, every_step=every_step)
    if kind.startswith("number"):
        return as_numbers(arrays, missing, said)
    arrays = as_classes(arrays, missing, said)
    return replace(arrays, count=0 if inferred else int(arrays.y.max()) + 1)


def inferred_kind(arrays: Arrays, stepwise: bool, data: str) -> str:
    """The kind of targets for which none is given; ``stepwise``: there is one for each step of a sequence."""
    y, classes = arrays.y, arrays.classes
    if classes and stepwise:
        raise ValueError(
            f"task.data={data}: the targets are words that differ within a sequence: correct them, or choose "
            "task.target_kind=class_every_step"
        )
    if classes and y.dim() > 1:
        raise ValueError(
            f"task.data={data}: the targets are words {list(y.shape)}: give one for each sample, or if they are a "
            "column, choose task.target_kind=class"
        )
    if classes and all(DECIMAL_COMMA.fullmatch(word) for word in classes):
        raise ValueError(
            f"task.data={data}: the targets have decimal commas ({classes[0]}): write decimal points, or choose "
            "task.target_kind=class"
        )
    return "class" if y.dim() == 1 and not y.is_floating_point() else "number" + "_every_step" * stepwise


def as_numbers(arrays: Arrays, missing: Tensor, said: str) -> Arrays:
    """The targets as floating-point numbers, NaN at the steps without a label (`missing`)."""
    y = arrays.y
    if arrays.classes:
        raise ValueError(f"{said} needs numbers, got the words {', '.join(arrays.classes[:5])}")
    if y.dim() == 3 and bool((partly := missing.any(2) & ~missing.all(2)).any()):
        sample, step = partly.nonzero()[0].tolist()
        raise ValueError(f"{said}: step {step} of sample {sample} has only some of its numbers: give all, or none")
    return replace(arrays, y=y.float())


def as_classes(arrays: Arrays, missing: Tensor, said: str) -> Arrays:
    """The targets as the numbers of classes, -100 at the steps without a label (`missing`)."""
    y, classes, every_step = arrays.y, arrays.classes, arrays.every_step
    known = torch.where(missing, 0, y)
    if y.dim() == 2 + every_step and y.size(-1) == 1:
        known, missing = known.squeeze(-1), missing.squeeze(-1)
    if known.dim() != 1 + every_step or not bool((known == known.round()).all()):
        shape = "[N, T]" if every_step else "[N]"
        raise ValueError(f"{said} needs whole numbers {shape} or words, got {y.dtype} {list(y.shape)}")
    y = known.long().masked_fill(missing, UNLABELLED)
    if classes:  # a word that occurs only after the ends of sequences is not a class
        present, y[~missing] = y[~missing].unique(return_inverse=True)
        classes = tuple(classes[number] for number in present.tolist())
    return replace(arrays, y=y, classes=classes)


def labelled(arrays: Arrays) -> Tensor:
    """The mask ``[N]`` or ``[N, T]`` of the targets without those of steps that have no label."""
    return has_label(arrays.y) if arrays.every_step else torch.ones(len(arrays.y), dtype=torch.bool)


def with_classes(arrays: Arrays, known: int | Sequence[str] | None, data: str) -> Arrays:
    """Number the classes of the targets as in a trained network.

    Args:
        arrays: the arrays as read.
        known: the names of the classes in the order of the outputs, the number of classes if they are integers, or 0 if
            the targets are numbers to be predicted. None: the classes of the data.
        data: the source of the arrays, for error messages.

    Raises:
        ValueError: the targets are of another kind, or a class is not known.
    """
    if known is None:
        if not arrays.y.is_floating_point() and len(present := arrays.y[labelled(arrays)].unique()) == 1:
            only = arrays.classes[int(present)] if arrays.classes else int(present)
            raise ValueError(f"task.data={data} has only the class {only}: there must be at least two")
        return arrays
    if known == 0:
        if arrays.classes:
            words = ", ".join(arrays.classes[:5])
            raise ValueError(f"task.data={data} has the classes {words}, but the targets of training are numbers")
        if arrays.y.is_floating_point():
            return arrays
        return replace(arrays, y=arrays.y.float().masked_fill(~labelled(arrays), torch.nan))
    if arrays.y.is_floating_point():
        raise ValueError(f"task.data={data} has numbers as targets, but those of training are classes")
    numbers = isinstance(known, int)
    names = [str(number) for number in range(known)] if isinstance(known, int) else list(known)
    kept = labelled(arrays)
    present, place = arrays.y[kept].unique(return_inverse=True)
    found = [arrays.classes[number] if arrays.classes else str(number) for number in present.tolist()]
    if unknown := [name for name in found if name not in names]:
        of_training = f"0 to {len(names) - 1}" if numbers else ", ".join(names[:10])
        raise ValueError(f"task.data={data} has the class {unknown[0]}, which training did not know: {of_training}")
    order = torch.tensor([names.index(name) for name in found])
    y = arrays.y.masked_scatter(kept, order[place])
    return replace(arrays, y=y, classes=() if numbers else tuple(names), count=len(names))


def infer_spec(x: Tensor, arrays: Arrays, data: str) -> TaskSpec:
    """The spec of sequences ``[N, T, I]`` or images ``[N, C, H, W]`` with one target, as `of_kind` returns it."""
    y, classes = arrays.y, arrays.count
    if not y.is_floating_point():
        classes = classes or int(y.max()) + 1
        if classes < 2 or int(y[labelled(arrays)].min()) < 0:
            raise ValueError(f"task.data={data}: classes must be 0 to K - 1 with K of at least 2")
        if not arrays.count and classes > max(len(y), MOST_CLASSES):
            raise ValueError(
                f"task.data={data}: whole numbers up to {classes - 1} would be {classes} classes of {len(y)} samples: "
                "choose task.target_kind=number to predict them as numbers, or class"
            )
    elif y.dim() > 2 + arrays.every_step:
        raise ValueError(f"task.data={data}: inputs {list(x.shape)} and targets {list(y.shape)} do not go together")
    outputs = classes or columns(y, arrays.every_step).size(-1)
    if x.dim() == 4:
        return image_spec(x, outputs, bool(classes))
    if arrays.every_step:
        return TaskSpec("sequence_to_sequence", x.shape[2], outputs, classes=bool(classes))
    if classes:
        return TaskSpec("sequence_to_class", x.shape[2], classes, steps=x.shape[1])
    return TaskSpec("sequence_to_value", x.shape[2], outputs)


def joined_spec(x: Tensor, y: Tensor, outputs: int) -> TaskSpec:
    """The spec of sequences or images with several targets ``[N, ..., columns]``, as `join_heads` returns them."""
    if x.dim() == 4:
        return image_spec(x, outputs, classes=False)
    return TaskSpec("sequence_to_sequence" if y.dim() == 3 else "sequence_to_value", x.shape[2], outputs)


def image_spec(x: Tensor, outputs: int, classes: bool) -> TaskSpec:
    """The spec of images ``[N, C, H, W]`` with ``outputs`` classes or numbers."""
    return TaskSpec("image_to_class" if classes else "image_to_value", x[0].numel(), outputs, image_shape=as_shape(x))


def columns(y: Tensor, every_step: bool) -> Tensor:
    """Targets in the layout of the prediction: classes ``[N]`` or ``[N, T]``, or numbers with the outputs as the last
    dimension."""
    return y.unsqueeze(-1) if y.is_floating_point() and y.dim() == 1 + every_step else y


def standardised(x: Tensor, train: Tensor, lengths: Tensor | None, vectors: bool = False) -> Tensor:
    """Standardise x to mean 0 and standard deviation 1 over the samples ``train``, for each feature of sequences (over
    valid steps only), each channel of images, or with ``vectors`` each number of an image with one row.
    """
    if lengths is not None:
        valid = torch.arange(x.shape[1]) < lengths.unsqueeze(1)
        mean, deviation = mean_and_deviation(x[train][valid[train]], (0,))
        return torch.where(valid.unsqueeze(2), (x - mean) / deviation, 0)
    dims = (0,) if vectors else (0, 1) if x.dim() == 3 else (0, 2, 3)
    mean, deviation = mean_and_deviation(x[train], dims)
    return (x - mean) / deviation
