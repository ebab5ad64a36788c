"""A user's own arrays: reading them from an imported data set, checking them, and inferring the task's kind."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bionets.annotations import require_types
from bionets.import_path import import_object

from .checks import beginning_of
from .data_files import Arrays
from .spec import TaskSpec
from .standardise import mean_and_deviation

MOST_CLASSES = 1000  # that are inferred from fewer samples; more are numbers rather than classes
TargetKind = Literal["class", "number", "class_every_step", "number_every_step"]


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
    try:
        pairs = [dataset[number] for number in range(len(dataset))]
        inputs = [as_tensor(x, f"x of sample {number}") for number, (x, _) in enumerate(pairs)]
        steps = torch.tensor([each.shape[0] if each.dim() == 2 else 1 for each in inputs])
        for name, target_kind in targets.items():
            own = [y[name] if several else y for _, y in pairs]
            x, y = stacked_pairs(inputs, [as_tensor(y, f"the target of sample {n}") for n, y in enumerate(own)])
            y = y.float() if y.is_floating_point() else y.long()
            classes = () if several else names_of_classes(dataset, y, (known or {}).get(name), target_kind)
            found.append(Arrays(x.float(), y, classes, steps if bool((steps < steps.max()).any()) else None))
    except (AttributeError, ValueError, TypeError, LookupError) as error:
        raise ValueError(f"task.data={path} is not a data set of pairs ({beginning_of(error)})") from error
    return found


def as_tensor(value: Any, name: str) -> Tensor:
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
    count = int(y.max()) + 1
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
    """Stack samples of the same shape; with ``padded`` their first dimensions may differ."""
    shape = samples[0].shape
    for number, each in enumerate(samples):
        same = each.dim() == len(shape) and each.shape[1:] == shape[1:] if padded else each.shape == shape
        if not same:
            raise ValueError(f"{name} of the shapes {list(shape)} (sample 0) and {list(each.shape)} (sample {number})")
    return pad_sequence(list(samples), batch_first=True) if padded else torch.stack(list(samples))


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
    require_finite(x, data)
    return x[:, None, None, :] if x.dim() == 2 else x


def valid_steps(arrays: Arrays) -> Tensor:
    """The mask ``[N, T]`` of the steps before the end of each sequence."""
    assert arrays.lengths is not None
    return torch.arange(arrays.x.shape[1]) < arrays.lengths.unsqueeze(1)


def require_finite(numbers: Tensor, data: str) -> None:
    invalid = ~numbers.isfinite().flatten(1).all(1) if numbers.dim() > 1 else ~numbers.isfinite()
    if bool(invalid.any()):
        raise ValueError(
            f"task.data={data} holds NaN or infinity in sample {int(invalid.nonzero()[0])}: clean it first, "
            "or give the lengths of sequences that are padded (task.lengths)"
        )


def as_shape(images: Tensor) -> tuple[int, int, int]:
    """Channels, height and width of images ``[N, C, H, W]``."""
    _, channels, height, width = images.shape
    return channels, height, width


def of_kind(arrays: Arrays, x: Tensor, kind: str | None, data: str) -> Arrays:
    """Convert targets to integers if they are classes, otherwise to floating-point numbers.

    Args:
        arrays: the arrays as read. Targets after the end of a sequence may have any value.
        x: the inputs as the model gets them, except for the order of the dimensions.
        kind: a `TargetKind`. None: whole numbers ``[N]`` and words are classes, and targets ``[N, T]`` or ``[N, T, O]``
            of sequences are numbers at every step.
        data: the source of the arrays, for error messages.

    Raises:
        ValueError: the targets are not of this kind, or their number is not that of the inputs.
    """
    y, classes = arrays.y, arrays.classes
    if len(x) != len(y):
        raise ValueError(f"task.data={data}: {len(x)} inputs but {len(y)} targets: the first dimension counts samples")
    inferred, stepwise = kind is None, x.dim() == 3 and y.dim() in (2, 3) and y.size(1) == x.shape[1]
    if kind is None:
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
        kind = "class" if y.dim() == 1 and not y.is_floating_point() else "number" + "_every_step" * stepwise
    every_step, said = kind.endswith("every_step"), f"task.data={data}: task.target_kind={kind}"
    if every_step and not stepwise:
        raise ValueError(
            f"{said} needs targets [N, T] or [N, T, O] of sequences [N, T, I], "
            f"got targets {list(y.shape)} of inputs {list(x.shape)}"
        )
    if every_step and arrays.lengths is not None:
        valid = valid_steps(arrays).view(*y.shape[:2], *[1] * (y.dim() - 2))
        y = torch.where(valid, y, y[:, :1])  # a class of the data
    require_finite(y, data)
    if kind.startswith("number"):
        if classes:
            raise ValueError(f"{said} needs numbers, got the words {', '.join(classes[:5])}")
        return replace(arrays, y=y.float(), every_step=every_step)
    y = y.squeeze(-1) if y.dim() == 2 + every_step and y.size(-1) == 1 else y
    if y.dim() != 1 + every_step or not bool((y == y.round()).all()):
        shape = "[N, T]" if every_step else "[N]"
        raise ValueError(f"{said} needs whole numbers {shape} or words, got {y.dtype} {list(y.shape)}")
    y = y.long()
    return replace(arrays, y=y, count=0 if inferred else int(y.max()) + 1, every_step=every_step)


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
        if not arrays.y.is_floating_point() and len(present := arrays.y.unique()) == 1:
            only = arrays.classes[int(present)] if arrays.classes else int(present)
            raise ValueError(f"task.data={data} has only the class {only}: there must be at least two")
        return arrays
    if known == 0:
        if arrays.classes:
            words = ", ".join(arrays.classes[:5])
            raise ValueError(f"task.data={data} has the classes {words}, but the targets of training are numbers")
        return replace(arrays, y=arrays.y.float())
    if arrays.y.is_floating_point():
        raise ValueError(f"task.data={data} has numbers as targets, but those of training are classes")
    numbers = isinstance(known, int)
    names = [str(number) for number in range(known)] if isinstance(known, int) else list(known)
    present, place = arrays.y.unique(return_inverse=True)
    found = [arrays.classes[number] if arrays.classes else str(number) for number in present.tolist()]
    if unknown := [name for name in found if name not in names]:
        of_training = f"0 to {len(names) - 1}" if numbers else ", ".join(names[:10])
        raise ValueError(f"task.data={data} has the class {unknown[0]}, which training did not know: {of_training}")
    order = torch.tensor([names.index(name) for name in found])
    return replace(arrays, y=order[place], classes=() if numbers else tuple(names), count=len(names))


def classes_of(arrays: Arrays, spec: TaskSpec) -> int | tuple[str, ...]:
    """The names of the classes in the order of the outputs, or the number of classes; 0 if the targets are numbers."""
    return arrays.classes or (spec.output_size if spec.predicts_classes else 0)


def infer_spec(x: Tensor, arrays: Arrays, data: str) -> TaskSpec:
    """The spec of sequences ``[N, T, I]`` or images ``[N, C, H, W]`` with one target, as `of_kind` returns it."""
    y, classes = arrays.y, arrays.count
    if not y.is_floating_point():
        classes = classes or int(y.max()) + 1
        if classes < 2 or int(y.min()) < 0:
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
