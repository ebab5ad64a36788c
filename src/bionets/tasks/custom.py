"""A task made of a user's own data: a file of arrays, a folder of images, or a data set by import path."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import MeanAbsoluteError, MeanSquaredError, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from bionets.import_path import import_object

from .bases import FixedSets
from .checks import require_at_least, require_one_of, split_sizes
from .custom_arrays import (
    arrays_of_dataset,
    as_shape,
    checked,
    classes_of,
    columns,
    image_spec,
    infer_spec,
    standardised,
    with_classes,
)
from .custom_events import CustomEvents, own_recordings
from .data_files import SUFFIXES, Arrays, read_arrays
from .heads import Head, join_heads
from .image_layout import as_sequence, check_layout, in_colour, resized
from .seeding import split_generator
from .spec import Kind, TaskSpec
from .task import Data, Task

ImageAs = Literal["image", "rows", "columns", "pixels", "patches"]


class CustomData(FixedSets):
    """Train on your own data.

    The inputs have the samples in front: sequences `[N, T, I]`, images `[N, C, H, W]`, or single vectors `[N, I]`,
    which are handed over as images of one row. The kind of the task follows from inputs and targets:

    - whole-number targets `[N]`: the classes 0 to K − 1 (`sequence_to_class` or `image_to_class`);
    - other targets `[N]` or `[N, O]`: `sequence_to_value` or `image_to_value`;
    - targets `[N, T]` or `[N, T, O]` of sequences: `sequence_to_sequence`;
    - several targets: each of its own kind, predicted side by side; the loss is the weighted sum of theirs and every
      metric has the name of its target in front.

    Sequences may be shorter than T: name their `lengths`. What lies past the end of a sequence does not count, neither
    for the model nor in losses and metrics. Sequences of a CSV have as many steps as they have rows.

    A random share of the samples is the validation set and another one the test set, the same for every `seed`.

    Args:
        data: a file (`.pt`, `.safetensors`, `.npz`, `.csv`), a folder with a folder of images for each class, or the
            import path of a `torch.utils.data.Dataset` of pairs (`my_data.MyDataset`). On the command line also a
            folder of event recordings (`CustomEvents`), or the import path of a `Task`.
        inputs: the key of the inputs in the file (default `x`), or the columns of the CSV (default: all others).
        targets: the key or column of the targets, or a list of several.
        target_weights: of the loss of each of several targets; None: all 1.
        sequences: the column of the CSV that names the sequence of a row; None: every row is a sample.
        lengths: the key of the sequences' lengths in the file, `[N]` whole numbers of at least 1; for one target.
        read_as: `image`, or the image as a sequence of `rows`, `columns`, `pixels` or `patches`.
        size: height and width to which images are scaled; None leaves them as they are.
        colour: `gray` or `colour`, one channel or three; None leaves them as they are.
        patch: pixels along the side of a patch.
        standardise: shift and scale each feature (each channel of an image) to mean 0 and deviation 1 of the training
            set; a feature that is constant there becomes 0 there.
        val_share, test_share: shares of the samples.
        split_seed: another number makes another random split.
        class_weights: weights of the classes in the loss, or `balanced`: inverse to their number in the training set.
        arguments: of the constructor of a data set or task by import path, or of `CustomEvents`.
        class_names: for each target, the names of its classes in the order of the outputs; how many there are where
            they are whole numbers; 0 where it is no class. A run keeps them, so that other data are numbered as those
            of training. None: the classes of the data, sorted.
        others: see `Task`.

    Raises:
        ValueError: data that cannot be read, or inputs and targets that do not go together.
    """

    def __init__(
        self,
        data: str,
        inputs: Sequence[str] = (),
        targets: str | Sequence[str] = "y",
        target_weights: Sequence[float] | None = None,
        sequences: str | None = None,
        lengths: str | None = None,
        read_as: ImageAs = "image",
        size: Sequence[int] | None = None,
        colour: str | None = None,
        patch: int = 4,
        standardise: bool = False,
        val_share: float = 0.1,
        test_share: float = 0.1,
        split_seed: int = 0,
        class_weights: Sequence[float] | Literal["balanced"] | None = None,
        arguments: Mapping[str, Any] | None = None,
        class_names: Mapping[str, int | Sequence[str]] | None = None,
        batch_size: int = 32,
        epochs: int = 20,
        stop_below: float | None = None,
        seed: int = 0,
    ) -> None:
        require_one_of(get_args(ImageAs), read_as=read_as)
        require_at_least(0, split_seed=split_seed)
        names = [targets] if isinstance(targets, str) else list(targets)
        if not names or len(set(names)) < len(names):
            raise ValueError(f"task.targets must be the names of one or more targets, got {names}")
        known = dict(class_names or {})
        if len(names) == len(known) == 1:  # the column may have another name in other data
            known = dict(zip(names, known.values(), strict=True))
        if known and list(known) != names:
            raise ValueError(f"task.targets={names} are not those of training: {list(known)}")

        def fit(images: Tensor) -> Tensor:
            check_layout(as_shape(images), read_as, patch, size, colour)
            return resized(in_colour(images, colour), size)

        def read(target: str) -> Arrays:
            if len(names) > 1 and Path(data).is_dir():
                raise ValueError(f"task.data={data}: a folder of images has one target, the class")
            if is_file(data):
                return read_arrays(Path(data), inputs, target, sequences, names, fit, lengths)
            return arrays_of_dataset(data, target if len(names) > 1 else None, arguments or {}, known.get(target))

        found = [with_classes(read(name), known.get(name), data) for name in names]
        x, _ = checked(found[0], data)
        own_lengths = found[0].lengths
        if own_lengths is not None:
            if len(names) > 1:
                raise ValueError(f"task.data={data}: sequences of different lengths go with one target")
            x = torch.where((torch.arange(x.shape[1]) < own_lengths.unsqueeze(1)).unsqueeze(2), x, 0)
        if x.dim() == 4:
            x = fit(x)
            if read_as != "image":
                x = as_sequence(x, read_as, patch).transpose(0, 1)
        self.classes = found[0].classes
        self.heads: list[Head] = []
        if len(names) == 1:
            if target_weights is not None:
                raise ValueError("task.target_weights are for several targets: give them as task.targets=[a,b]")
            spec = infer_spec(x, found[0].y, data, found[0].count)
            self.spec = replace(spec, lengths=own_lengths is not None)
            self.classes_by_target = {names[0]: classes_of(found[0], spec)}
            y = columns(found[0].y, self.spec)
        else:
            self.spec, y = self._join(x, names, found, target_weights, data)
        count = len(x)
        sizes = split_sizes(count, val_share, test_share, data)
        super().__init__(
            train_size=sizes[0],
            val_size=sizes[1],
            test_size=sizes[2],
            batch_size=batch_size,
            epochs=epochs,
            stop_below=stop_below,
            seed=seed,
        )
        order = torch.randperm(count, generator=split_generator("split", split_seed))
        self._parts = dict(zip(("train", "val", "test"), order.split(sizes), strict=True))
        if standardise:
            vectors = found[0].x.dim() == 2 and read_as == "image"
            x = standardised(x, self._parts["train"], own_lengths, vectors)
        if self.spec.kind.startswith("sequence"):  # time first, as models want it
            x = x.transpose(0, 1)
        if self.spec.kind == "sequence_to_sequence":
            y = y.transpose(0, 1)
        self._x, self._y, self._lengths = x, y, own_lengths
        self.is_class = self.spec.kind.endswith("class")
        if self.is_class:
            self.monitor, self.mode = "val/accuracy", "max"
        self.class_weights = self._weights(class_weights)

    def _join(
        self, x: Tensor, names: list[str], found: list[Arrays], weights: Sequence[float] | None, data: str
    ) -> tuple[TaskSpec, Tensor]:
        """The spec of several targets, and these side by side."""
        specs = [infer_spec(x, checked(each, data)[1], data, each.count) for each in found]
        self.classes_by_target = {
            name: classes_of(arrays, spec) for name, arrays, spec in zip(names, found, specs, strict=True)
        }
        parts = [columns(each.y, spec) for each, spec in zip(found, specs, strict=True)]
        classes = [spec.output_size if spec.kind.endswith("class") else 0 for spec in specs]
        self.heads, y = join_heads(names, parts, classes, weights)
        outputs = self.heads[-1].outputs.stop
        if x.dim() == 4:
            return image_spec(x, outputs, classes=False), y
        kind: Kind = "sequence_to_sequence" if y.dim() == 3 else "sequence_to_value"
        return TaskSpec(kind, x.shape[2], outputs), y

    def _weights(self, given: Sequence[float] | str | None) -> Tensor | None:
        if given is None:
            return None
        if not self.is_class:
            raise ValueError("task.class_weights need whole-number targets, the classes")
        if given == "balanced":
            counts = torch.bincount(self._y[self._parts["train"]], minlength=self.spec.output_size)
            return counts.sum() / (counts.clamp(min=1) * self.spec.output_size)
        weights = torch.tensor([float(weight) for weight in given])
        if len(weights) != self.spec.output_size or bool((weights < 0).any()):
            raise ValueError(
                f"task.class_weights must be {self.spec.output_size} numbers of at least 0, got {list(given)}"
            )
        return weights

    def part(self, split: str) -> Data:
        rows, (x_dim, y_dim) = self._parts[split], self.spec.batch_dims
        data = self._x.index_select(x_dim, rows), self._y.index_select(y_dim, rows)
        return data if self._lengths is None else (*data, self._lengths[rows])

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of classes, else the mean squared error; the weighted sum over several targets."""
        if self.heads:
            return sum((head.weight * head.loss(prediction, target) for head in self.heads), prediction.new_zeros(()))
        if self.is_class:
            weights = None if self.class_weights is None else self.class_weights.to(prediction)
            return functional.cross_entropy(prediction, target, weights)
        return functional.mse_loss(prediction, target)

    def scored_steps(self, target: Tensor) -> float:
        """With weights of the classes, their sum."""
        if self.class_weights is None:
            return super().scored_steps(target)
        return float(self.class_weights[target.cpu()].sum())

    def metrics(self) -> MetricCollection:
        """`accuracy` of classes, else `mse` and `mae`; of several targets with the name of each in front."""
        if self.heads:
            return MetricCollection({name: metric for head in self.heads for name, metric in head.metrics().items()})
        if self.is_class:
            return MetricCollection({"accuracy": MulticlassAccuracy(self.spec.output_size, average="micro")})
        return MetricCollection({"mse": MeanSquaredError(), "mae": MeanAbsoluteError()})


def is_file(data: str) -> bool:
    """Whether `task.data` names a file or folder rather than a data set to import."""
    return Path(data).exists() or Path(data).suffix in SUFFIXES or "/" in data


def classes_by_target(task: Task) -> Mapping[str, int | Sequence[str]]:
    """The ``class_names`` that other data need to be numbered as those of this task, see `CustomData`; empty for tasks
    that are not made of a user's own files."""
    return task.classes_by_target if isinstance(task, CustomData | CustomEvents) else {}


def own_task(node: Mapping[str, Any]) -> dict[str, Any] | None:
    """The config node of the task that ``data`` of a node of `CustomData` names: a `Task` by import path, or
    `CustomEvents` for a folder of recordings. None where it is data for `CustomData` itself.

    Such a task takes ``arguments``, and of the other keys those that its constructor names.
    """
    data = str(node["data"])
    kind: Any = None
    if not is_file(data):
        with suppress(ValueError):  # reported later, as data that cannot be read
            kind = import_object(data)
    elif Path(data).is_dir() and own_recordings(Path(data)):
        kind = CustomEvents
    if not isinstance(kind, type) or not issubclass(kind, Task):
        return None
    given = dict(node.get("arguments") or {})
    names = signature(kind).parameters
    takes_any = any(each.kind is Parameter.VAR_KEYWORD for each in names.values())
    named = (
        "data",
        "val_share",
        "test_share",
        "split_seed",
        "batch_size",
        "epochs",
        "stop_below",
        "seed",
        "class_names",
    )
    taken = {name for name in named if name in names} | ({"batch_size", "epochs", "seed"} if takes_any else set())
    chosen = {name: node[name] for name in named if name in taken and name in node}
    return {"_target_": f"{kind.__module__}.{kind.__qualname__}", "name": node.get("name"), **chosen, **given}
