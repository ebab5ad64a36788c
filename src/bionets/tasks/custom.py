"""A task from a user's own data: a file of arrays, a folder of images, or a data set by import path."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from .bases import FixedSets
from .checks import require_at_least, require_one_of, split_sizes
from .custom_arrays import (
    TargetKind,
    as_shape,
    checked_inputs,
    columns,
    infer_spec,
    joined_spec,
    kinds_by_target,
    known_classes,
    of_kind,
    standardised,
    with_classes,
)
from .custom_notes import notes_on_channels, notes_on_rounding, notes_on_training, notes_on_whole_numbers
from .data_files import Arrays
from .heads import Target, join_heads
from .image_layout import as_sequence, check_layout, in_colour, resized
from .metrics import ConfusionMatrix
from .prediction_columns import Columns
from .read_own import read_own
from .seeding import split_generator
from .spec import has_label
from .task import Data

ImageAs = Literal["image", "rows", "columns", "pixels", "patches"]
SETS = {"train": "training", "val": "validation", "test": "test"}


class CustomData(FixedSets):
    """Train on your own data.

    The first dimension of the inputs is the sample: sequences `[N, T, I]`, images `[N, C, H, W]`, or vectors `[N, I]`,
    which are treated as images with one row. The kind of the task is inferred from inputs and targets, unless
    `target_kind` is given:

    - words, integers, or whole numbers in a CSV or in a float64 array of a file, `[N]`: the classes 0 to K − 1
      (`sequence_to_class` or `image_to_class`);
    - other targets `[N]` or `[N, O]`: `sequence_to_value` or `image_to_value`;
    - targets `[N, T]` or `[N, T, O]` of sequences: numbers at every step (`sequence_to_sequence`);
    - several targets: each target has its own kind. The loss is the weighted sum of their losses, and the name of each
      metric begins with the name of its target.

    If sequences are shorter than T, give their `lengths`. Values after the end of a sequence are ignored by the model,
    the loss and the metrics. In a CSV, the length of a sequence is its number of rows.

    A random share of the samples is the validation set, and another share is the test set; both are the same for every
    `seed`.

    Args:
        data: a file (`.pt`, `.safetensors`, `.npz`, `.csv`), a folder with a subfolder of images for each class, or the
            import path of a `torch.utils.data.Dataset` of pairs (`my_data.MyDataset`). On the command line, it can also
            be a folder of event recordings (`CustomEvents`) or the import path of a `Task`.
        inputs: the key of the inputs in the file (default `x`), or the columns of the CSV (default: all others).
        targets: the key or column of the targets, or a list of several.
        target_kind: `class`, `number`, `class_every_step` or `number_every_step`, or a list with one for each target;
            None: inferred from the targets. If it is given, a step without a label may have the class -100, the number
            NaN, or an empty cell of the CSV. It is an input, but does not count in the loss and the metrics.
        target_weights: weight of the loss of each of several targets; None: all 1.
        sequences: the column of the CSV that identifies the sequence of a row; None: every row is a sample.
        sort_by: the column of the CSV by whose numbers the rows of each sequence are sorted, such as the time; it is no
            input unless `inputs` names it. None: the rows have the order of the file.
        lengths: the key of the lengths of the sequences in the file, `[N]` integers of at least 1; only with one
            target.
        read_as: `image`, or a sequence of `rows`, `columns`, `pixels` or `patches`; for images and vectors only.
        size: height and width to which images are scaled; None for no scaling.
        colour: `gray` (one channel) or `colour` (three channels); None for the channels of the files.
        patch: side length of a patch, in pixels.
        standardise: whether each feature (each channel of an image) is shifted and scaled to mean 0 and standard
            deviation 1 over the training set; a feature that is constant in the training set becomes 0 there.
        val_share, test_share: shares of the samples for validation and test.
        split_seed: seed of the random split.
        class_weights: weights of the classes in the loss, or `balanced`: inversely proportional to their frequency in
            the training set, where a class without samples counts as one sample. A class with the weight 0 does not
            change the loss; the accuracy counts all samples.
        arguments: arguments of the constructor of a data set or task given by import path, or of `CustomEvents`.
        class_names: for each target, the names of its classes in the order of the outputs, the number of classes if
            they are integers, or 0 if the target is not a class. A run stores them, so that other data use the class
            numbers of training. None: the sorted classes of the data.
        others: see `Task`.

    Raises:
        ValueError: the data cannot be read, or inputs and targets do not match.
    """

    needed_options = (("patch", "read_as=patches"),)

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
        *,
        target_kind: TargetKind | Sequence[TargetKind] | None = None,
        sort_by: str | None = None,
    ) -> None:
        require_one_of(get_args(ImageAs), read_as=read_as)
        require_at_least(0, split_seed=split_seed)
        kinds = kinds_by_target(targets, target_kind)
        known = known_classes(list(kinds), class_names)

        def fit(images: Tensor) -> Tensor:
            check_layout(as_shape(images), read_as, patch, size, colour)
            return resized(in_colour(images, colour), size)

        read = read_own(data, kinds, inputs, sequences, sort_by, lengths, fit, arguments or {}, known)
        x, own_lengths = checked_inputs(read[0], data), read[0].lengths
        if own_lengths is not None and len(kinds) > 1:
            raise ValueError(f"task.data={data}: sequences of different lengths go with one target")
        if x.dim() == 4:
            x = fit(x)
            if read_as != "image":
                x = as_sequence(x, read_as, patch).transpose(0, 1)
        elif read_as not in ("image", "rows") or size is not None or colour is not None:
            raise ValueError(
                "task.read_as, task.size and task.colour are for images: the inputs are sequences of "
                f"{tuple(x.shape[1:])}; store images as [samples, channels, height, width]"
            )
        self.notes = notes_on_whole_numbers(read, x, kinds) + notes_on_channels(read[0].x)
        found = {
            name: with_classes(of_kind(arrays, x, kind, data), known.get(name), data)
            for arrays, (name, kind) in zip(read, kinds.items(), strict=True)
        }
        y = self._set_targets(found, x, target_weights, data)
        sizes = split_sizes(len(x), val_share, test_share, data)
        super().__init__(
            train_size=sizes[0],
            val_size=sizes[1],
            test_size=sizes[2],
            batch_size=batch_size,
            epochs=epochs,
            stop_below=stop_below,
            seed=seed,
        )
        order = torch.randperm(len(x), generator=split_generator("split", split_seed))
        self._parts = dict(zip(("train", "val", "test"), order.split(sizes), strict=True))
        if self.spec.kind == "sequence_to_sequence":
            self._find_labels(y, data)
        self.notes += notes_on_training(found, self._parts["train"])
        if standardise:
            vectors = read[0].x.dim() == 2 and read_as == "image"
            x = standardised(x, self._parts["train"], own_lengths, vectors)
        else:
            self.notes += notes_on_rounding(x)
        if self.spec.kind.startswith("sequence"):  # models expect time as the first dimension
            x = x.transpose(0, 1)
        if self.spec.kind == "sequence_to_sequence":
            y = y.transpose(0, 1)
        self._x, self._y, self._lengths, self._names = x.float(), y, own_lengths, read[0].names
        self.class_weights = self._weights(class_weights)
        if self.class_weights is not None and not known:  # a trained network has an accuracy also without a loss
            self._require_weight(self.class_weights)

    def _set_targets(
        self, found: Mapping[str, Arrays], x: Tensor, weights: Sequence[float] | None, data: str
    ) -> Tensor:
        """Set the spec, the heads and the class names. Returns the targets ``[N, ...]``, those of several heads
        concatenated."""
        first = next(iter(found.values()))
        self.classes, self.columns = first.classes, first.columns
        specs = [infer_spec(x, each, data) for each in found.values()]
        counts = [spec.output_size if spec.predicts_classes else 0 for spec in specs]
        words = [each.classes for each in found.values()]
        self.classes_by_target = {name: own or count for name, own, count in zip(found, words, counts, strict=True)}
        parts = [columns(each.y, each.every_step) for each in found.values()]
        self.heads: Sequence[Target]
        if len(found) == 1:
            if weights is not None:
                raise ValueError("task.target_weights are for several targets: give them as task.targets=[a,b]")
            self.heads, y = [Target(counts[0], words[0])], parts[0]
            self.spec = replace(specs[0], lengths=first.lengths is not None)
        else:
            heads, y = join_heads(list(found), parts, counts, words, weights)
            self.heads, self.spec = heads, joined_spec(x, y, heads[-1].outputs.stop)
        self.is_class = self.spec.predicts_classes
        if self.is_class:
            self.monitor, self.mode = "val/accuracy", "max"
        return y

    def _find_labels(self, y: Tensor, data: str) -> None:
        """Set ``spec.unlabelled`` for targets ``[N, T, ...]``. Raises ValueError if a set has no label."""
        found = has_label(y)
        self.spec = replace(self.spec, unlabelled=not bool(found.all()))
        for split, name in SETS.items():
            if not bool(found[self._parts[split]].any()):
                raise ValueError(
                    f"task.data={data}: no step of the {name} set has a label: choose another task.split_seed, or give "
                    "labels to more sequences"
                )

    def _weights(self, given: Sequence[float] | str | None) -> Tensor | None:
        if given is None:
            return None
        if not self.is_class:
            raise ValueError("task.class_weights need whole-number targets, the classes")
        if given == "balanced":
            counts = torch.bincount(self._scored_targets("train"), minlength=self.spec.output_size)
            return counts.sum() / (counts.clamp(min=1) * self.spec.output_size)
        size = self.spec.output_size
        if isinstance(given, str):
            raise ValueError(f"task.class_weights must be balanced or {size} numbers, got {given!r}")
        weights = torch.tensor([float(weight) for weight in given])
        valid = bool((weights >= 0).all() and weights.isfinite().all() and weights.any())
        if len(weights) != size or not valid:
            raise ValueError(f"task.class_weights must be {size} numbers of at least 0, not all 0, got {list(given)}")
        return weights

    def _require_weight(self, weights: Tensor) -> None:
        """Raise ValueError if a set has no loss, because all its classes have the weight 0."""
        for split, name in SETS.items():
            if not bool(weights[self._scored_targets(split)].any()):
                raise ValueError(
                    f"task.class_weights: all classes of the {name} set have the weight 0, so it has no loss: choose "
                    "other weights or another task.split_seed"
                )

    def _scored_targets(self, split: str) -> Tensor:
        """The targets ``[M]`` of a set that count in the loss."""
        _, target, *lengths = self.part(split)
        return self.spec.only_scored(target, target, *lengths)[1].flatten()

    def part(self, split: str) -> Data:
        rows, (x_dim, y_dim) = self._parts[split], self.spec.batch_dims
        data = self._x.index_select(x_dim, rows), self._y.index_select(y_dim, rows)
        return data if self._lengths is None else (*data, self._lengths[rows])

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy for classes, otherwise the mean squared error; for several targets their weighted sum."""
        weights = None if self.class_weights is None else self.class_weights.to(prediction, non_blocking=True)
        first, *others = (head.loss(prediction, target, weights) for head in self.heads)
        return sum(others, first)

    def scored_steps(self, target: Tensor) -> float:
        """The number of answers; with weights of the classes, the sum of these weights."""
        if self.class_weights is None:
            return super().scored_steps(target)
        return float(self.class_weights[target.cpu()].sum())

    def metrics(self) -> MetricCollection:
        """`accuracy` for classes, otherwise `mse` and `mae`; several targets prefix these with their names."""
        return MetricCollection({name: metric for head in self.heads for name, metric in head.metrics().items()})

    def confusion_matrices(self) -> Mapping[str, ConfusionMatrix]:
        """The confusion matrix of each target that is a class."""
        return {name: matrix for head in self.heads for name, matrix in head.confusion_matrix().items()}

    def prediction_columns(self, prediction: Tensor, target: Tensor) -> Columns:
        """The columns of each target, see `class_columns` and `number_columns`; the names of those of several targets
        end with the name of their target."""
        every = (head.columns_of(prediction, target) for head in self.heads)
        return {name: column for columns in every for name, column in columns.items()}

    def test_samples(self, name: str) -> Sequence[str | int]:
        """The names of the sequences of a CSV, the files of images, otherwise the positions in the data, from 0."""
        rows = self._parts["test"].tolist()
        return [self._names[row] for row in rows] if self._names else rows
