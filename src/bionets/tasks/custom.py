"""A task made of a user's own data: a file of arrays, a folder of images, or a data set by import path."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import MeanAbsoluteError, MeanSquaredError, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from .data_files import SUFFIXES, Arrays, read_arrays, shortened
from .seeding import generator
from .spec import TaskSpec
from .task import Data, Task

ImageAs = Literal["image", "rows", "columns", "pixels"]


class CustomData(Task):
    """Train on your own data.

    The inputs have the samples in front: sequences `[N, T, I]`, images `[N, C, H, W]`, or single vectors `[N, I]`,
    which are handed over as images of one row. The kind of the task follows from inputs and targets:

    - whole-number targets `[N]`: the classes 0 to K − 1 (`sequence_to_class` or `image_to_class`);
    - other targets `[N]` or `[N, O]` of sequences: `sequence_to_value`;
    - targets `[N, T]` or `[N, T, O]` of sequences: `sequence_to_sequence`.

    A random share of the samples is the validation set and another one the test set, the same for every `seed`.

    Args:
        data: a file (`.pt`, `.safetensors`, `.npz`, `.csv`), a folder with a folder of images for each class, or the
            import path of a `torch.utils.data.Dataset` of pairs (`my_data.MyDataset`), built without arguments.
        inputs: the key of the inputs in the file (default `x`), or the columns of the CSV (default: all others).
        targets: the key or column of the targets.
        sequences: the column of the CSV that names the sequence of a row; None: every row is a sample.
        read_as: `image`, or the image as a sequence of `rows`, `columns` or `pixels`.
        standardise: shift and scale each feature (each channel of an image) to mean 0 and deviation 1 of the training
            set.
        val_share, test_share: shares of the samples.
        class_weights: weights of the classes in the loss, or `balanced`: inverse to their number in the training set.
        batch_size, epochs, stop_below, seed: as in `Task`.

    Raises:
        ValueError: data that cannot be read, or inputs and targets that do not go together.
    """

    def __init__(
        self,
        data: str,
        inputs: Sequence[str] = (),
        targets: str = "y",
        sequences: str | None = None,
        read_as: ImageAs = "image",
        standardise: bool = False,
        val_share: float = 0.1,
        test_share: float = 0.1,
        class_weights: Sequence[float] | Literal["balanced"] | None = None,
        batch_size: int = 32,
        epochs: int = 20,
        stop_below: float | None = None,
        seed: int = 0,
    ) -> None:
        if read_as not in get_args(ImageAs):
            raise ValueError(f"task.read_as={read_as} is unknown: choose {', '.join(get_args(ImageAs))}")
        for name, share in (("val_share", val_share), ("test_share", test_share)):
            if not 0 < share < 1:
                raise ValueError(f"task.{name} must lie between 0 and 1, got {share}")
        arrays = read_arrays(Path(data), inputs, targets, sequences) if is_file(data) else _from_dataset(data)
        x, y = _checked(arrays, data)
        if x.dim() == 4:
            x = _as_sequence(x, read_as)
        self.classes = arrays.classes
        self.spec = _spec(x, y, data)
        if not self.spec.kind.endswith("class"):
            y = (
                y.float()
                if y.dim() == (3 if self.spec.kind == "sequence_to_sequence" else 2)
                else y.float().unsqueeze(-1)
            )
        count = len(x)
        val_size, test_size = round(val_share * count), round(test_share * count)
        train_size = count - val_size - test_size
        if min(train_size, val_size, test_size) < 1:
            raise ValueError(f"task.data={data}: {count} samples are too few for shares of {val_share}, {test_share}")
        super().__init__(
            train_size=train_size,
            val_size=val_size,
            test_size=test_size,
            batch_size=batch_size,
            epochs=epochs,
            stop_below=stop_below,
            seed=seed,
        )
        order = torch.randperm(count, generator=generator("split"))
        self._parts = dict(zip(("train", "val", "test"), order.split((train_size, val_size, test_size)), strict=True))
        if standardise:
            x = _standardised(x, self._parts["train"])
        if self.spec.kind.startswith("sequence"):  # time first, as models want it
            x = x.transpose(0, 1)
        if self.spec.kind == "sequence_to_sequence":
            y = y.transpose(0, 1)
        self._x, self._y = x, y
        self.is_class = self.spec.kind.endswith("class")
        if self.is_class:
            self.monitor, self.mode = "val/accuracy", "max"
        self.class_weights = self._weights(class_weights)

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

    def train_data(self, epoch: int) -> Data:
        return self._part("train")

    def val_data(self) -> Data:
        return self._part("val")

    def test_data(self, name: str) -> Data:
        return self._part("test")

    def _part(self, split: str) -> Data:
        rows, (x_dim, y_dim) = self._parts[split], self.spec.batch_dims
        return self._x.index_select(x_dim, rows), self._y.index_select(y_dim, rows)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of classes, else the mean squared error."""
        if self.is_class:
            weights = None if self.class_weights is None else self.class_weights.to(prediction)
            return functional.cross_entropy(prediction, target, weights)
        return functional.mse_loss(prediction, target)

    def metrics(self) -> MetricCollection:
        """`accuracy` of classes, else `mse` and `mae`."""
        if self.is_class:
            return MetricCollection({"accuracy": MulticlassAccuracy(self.spec.output_size, average="micro")})
        return MetricCollection({"mse": MeanSquaredError(), "mae": MeanAbsoluteError()})


def is_file(data: str) -> bool:
    """Whether `task.data` names a file or folder rather than a data set to import."""
    return Path(data).exists() or Path(data).suffix in SUFFIXES or "/" in data


def _checked(arrays: Arrays, data: str) -> tuple[Tensor, Tensor]:
    x, y = arrays.x, arrays.y
    if len(x) != len(y):
        raise ValueError(f"task.data={data}: {len(x)} inputs but {len(y)} targets")
    if x.dim() not in (2, 3, 4):
        raise ValueError(f"task.data={data}: the inputs must be [N, I], [N, T, I] or [N, C, H, W], got {list(x.shape)}")
    if not bool(x.isfinite().all()) or not bool(y.isfinite().all()):
        raise ValueError(f"task.data={data} holds NaN or infinity: clean it first")
    return (x[:, None, None, :] if x.dim() == 2 else x), y


def _as_sequence(x: Tensor, read_as: str) -> Tensor:
    if read_as == "rows":
        return x.transpose(1, 2).flatten(2)
    if read_as == "columns":
        return x.permute(0, 3, 1, 2).flatten(2)
    return x.flatten(2).transpose(1, 2) if read_as == "pixels" else x


def _spec(x: Tensor, y: Tensor, data: str) -> TaskSpec:
    classes = int(y.max()) + 1 if y.dim() == 1 and not y.is_floating_point() else 0
    if classes and (classes < 2 or int(y.min()) < 0):
        raise ValueError(f"task.data={data}: classes must be 0 to K - 1 with K of at least 2")
    if x.dim() == 4:
        if not classes:
            raise ValueError(f"task.data={data}: images need whole-number targets [N], the classes")
        _, channels, height, width = x.shape
        return TaskSpec("image_to_class", channels * height * width, classes, image_shape=(channels, height, width))
    steps, size = x.shape[1:]
    if classes:
        return TaskSpec("sequence_to_class", size, classes, steps=steps)
    if y.dim() in (2, 3) and y.size(1) == steps:
        return TaskSpec("sequence_to_sequence", size, 1 if y.dim() == 2 else y.size(2))
    if y.dim() <= 2:
        return TaskSpec("sequence_to_value", size, 1 if y.dim() == 1 else y.size(1))
    raise ValueError(f"task.data={data}: inputs {list(x.shape)} and targets {list(y.shape)} do not go together")


def _standardised(x: Tensor, train: Tensor) -> Tensor:
    """Over all but the features of a sequence, or all but the channels of an image."""
    dims = (0, 1) if x.dim() == 3 else (0, 2, 3)
    mean = x[train].mean(dims, keepdim=True)
    deviation = x[train].std(dims, keepdim=True)
    return (x - mean) / deviation.clamp(min=1e-8)


def _from_dataset(path: str) -> Arrays:
    """All pairs of a `torch.utils.data.Dataset`, stacked."""
    module, _, name = path.rpartition(".")
    try:
        dataset: Any = getattr(import_module(module), name)()
        pairs = [dataset[number] for number in range(len(dataset))]
        x, y = (torch.stack([torch.as_tensor(value) for value in values]) for values in zip(*pairs, strict=True))
    except (ImportError, AttributeError, ValueError) as error:
        reason = shortened(error)
        raise ValueError(f"task.data={path} is neither a file nor an importable data set ({reason})") from error
    return Arrays(x.float(), y.float() if y.is_floating_point() else y.long())
