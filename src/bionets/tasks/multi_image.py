"""Several image classification tasks for one network: shown one at a time, as channels, or as a sum of images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Generator, Tensor
from torch.nn import functional
from torchmetrics import MeanMetric, MetricCollection

from . import image_files
from .bases import FixedSets
from .batches import Batches
from .checks import require_at_least, require_one_of
from .image_files import IMAGE_FILES
from .metrics import MeanOf
from .prediction_columns import Columns, class_columns, with_suffix
from .seeding import generator
from .spec import TaskSpec

SIDE = 28
NOT_SHOWN = -1  # the label of a task without an image in the input
Pair = tuple[Tensor, Tensor]
Presentation = Literal["sequential", "concatenate", "mix"]
Sampling = Literal["random", "task"]
LossOver = Literal["all", "shown"]


class MultiImage(FixedSets):
    """Classify the images of several ``datasets``; each data set is a separate task.

    ``presentation`` gives the input of the network:

    - ``sequential``: an image of one task, ``[B, 1, 28, 28]``;
    - ``concatenate``: an image of each task, as channels, ``[B, tasks, 28, 28]``;
    - ``mix``: the sum of an image of each task, ``[B, 1, 28, 28]``.

    The prediction ``[B, labels · tasks]`` is reshaped to ``[B, labels, tasks]``, so unit u belongs to task u mod tasks.
    The target ``[B, tasks]`` holds a label for each task, -1 if the task is not shown. Labels are taken modulo
    ``labels``.

    ``train_size``, ``val_size`` and ``test_size`` are numbers of images of each task. For training and test, a data set
    with fewer images is repeated as a whole, and the remaining images are drawn at random. Validation images are not
    repeated. The images of different tasks in one input are paired at random in every epoch.

    With ``sampling=task``, an epoch shows one task; the first task follows the last one.

    The loss of ``sequential`` is the cross-entropy over all units, so the network must also recognise the task; with
    ``loss_over=shown`` it is the cross-entropy over the units of the shown task, as in the original. For the other
    presentations, the loss is the mean over tasks of the cross-entropy over the units of each task.

    Args:
        datasets: the data sets; each is one task.
        data_dir: the folder with a subfolder for each data set.
        presentation: ``sequential``, ``concatenate`` or ``mix``.
        sampling: ``random``, or ``task``: one task after the other, as in continual learning.
        epochs_per_task: number of successive epochs of each task, with sampling=task; None: each task is shown in one
            block.
        labels: number of labels of each task; labels are taken modulo this number.
        train_size, val_size, test_size: number of images of each task in each set.
        batch_size: number of inputs in a batch; each shows one task (``sequential``) or all tasks.
        loss_over: with presentation=sequential, the units in the cross-entropy: ``all``, or only the units of the
            ``shown`` task. ``accuracy`` uses the same units.
        others: see `Task`.

    Source: Wołczyk, Tabor, Śmieja and Maszke, "Biologically-Inspired Spatial Neural Networks", arXiv 1910.02776.
    """

    monitor = "val/accuracy"
    mode = "max"
    stored_batch_dims = (0, 0)

    def __init__(
        self,
        datasets: Sequence[str] = ("mnist", "fashion_mnist"),
        data_dir: str | Path = "data",
        presentation: Presentation = "sequential",
        sampling: Sampling = "random",
        epochs_per_task: int | None = None,
        labels: int = 10,
        train_size: int = 55_000,
        val_size: int = 5_000,
        test_size: int = 10_000,
        batch_size: int = 256,
        epochs: int = 50,
        seed: int = 0,
        loss_over: LossOver = "all",
    ) -> None:
        for name in datasets:
            if name not in IMAGE_FILES:
                raise ValueError(f"task.datasets names {name}, which is unknown: choose {', '.join(IMAGE_FILES)}")
        if not datasets or len(set(datasets)) < len(datasets):
            raise ValueError(f"task.datasets must name some data sets, each once, got {list(datasets)}")
        require_one_of(get_args(Presentation), presentation=presentation)
        require_one_of(get_args(LossOver), loss_over=loss_over)
        require_one_of(get_args(Sampling), sampling=sampling)
        if sampling == "task" and presentation != "sequential":
            raise ValueError("task.sampling=task shows one task at a time: choose task.presentation=sequential")
        if loss_over == "shown" and presentation != "sequential":
            raise ValueError(
                f"task.presentation={presentation} shows all tasks at once: leave out task.loss_over=shown"
            )
        require_at_least(2, labels=labels)
        require_at_least(1, train_size=train_size, epochs=epochs)
        tasks = len(datasets)
        self.epochs_per_task = -(-epochs // tasks) if epochs_per_task is None else epochs_per_task
        require_at_least(1, epochs_per_task=self.epochs_per_task)
        self.shown_one_by_one = presentation == "sequential"
        self.units_compete = self.shown_one_by_one and loss_over == "all"
        shown = tasks if self.shown_one_by_one else 1
        samples = train_size * shown if sampling == "random" else train_size
        super().__init__(samples, val_size * shown, test_size * shown, batch_size, epochs, seed=seed)
        self.images_per_task = {"train": train_size, "val": val_size, "test": test_size}
        self.datasets = tuple(datasets)
        self.data_dir = Path(data_dir)
        self.presentation = presentation
        self.sampling = sampling
        self.labels = labels
        channels = tasks if presentation == "concatenate" else 1
        shape = (channels, SIDE, SIDE)
        self.spec = TaskSpec("image_to_class", channels * SIDE * SIDE, labels * tasks, image_shape=shape, answers=tasks)
        self._read_once: dict[str, list[Pair]] = {}

    def prepare_data(self) -> None:
        """Download missing files, and check that they are complete, have one image shape and hold enough images."""
        self._sets("train")
        self._sets("test")

    def task_of_epoch(self, epoch: int) -> int | None:
        """The only task that an epoch shows; None if it shows all."""
        return (epoch // self.epochs_per_task) % len(self.datasets) if self.sampling == "task" else None

    def train_data(self, epoch: int) -> Pair:
        """Images ``[N, images in an input, 28, 28]``, uint8, and labels ``[N, tasks]``, in the pairs of the epoch."""
        sets = self._sets("train")
        alone = self.task_of_epoch(epoch)
        if alone is not None:
            return self._shown({alone: sets[alone]})
        if self.shown_one_by_one:
            return self._shown(dict(enumerate(sets)))
        shuffled = {}
        for task, (name, (x, y)) in enumerate(zip(self.datasets, sets, strict=True)):
            rows = torch.randperm(self.images_per_task["train"], generator=generator(self.seed, "pairs", epoch, name))
            shuffled[task] = x[rows], y[rows]
        return self._shown(shuffled)

    def part(self, split: str) -> Pair:
        """The images of every task, in their fixed order."""
        return self._shown(dict(enumerate(self._sets(split))))

    def alone(self, task: int, split: str = "test") -> Batches:
        """Batches that show only the images of one task; the images of all other tasks are blank."""
        x, target = self._shown({task: self._sets(split)[task]})
        if not self.shown_one_by_one:
            blank = x.new_zeros(len(x), len(self.datasets), *x.shape[2:])
            blank[:, task] = x[:, 0]
            x = blank
        return self._batches((x, target))

    def prepare(self, x: Tensor, target: Tensor, random: Generator | None) -> Pair:
        """Convert images ``[B, images in an input, 28, 28]``, uint8, to the input of the model."""
        x = x.float().div_(255)
        return (x.sum(1, keepdim=True) if self.presentation == "mix" else x), target

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The mean cross-entropy over the batch, and over tasks if all are shown at once."""
        if self.units_compete:
            return functional.cross_entropy(prediction, unit_of(target))
        return functional.cross_entropy(by_task(prediction, len(self.datasets)), target, ignore_index=NOT_SHOWN)

    def metrics(self) -> MetricCollection:
        """``accuracy_<data set>`` is the share of images of a task whose label has the highest score among the units of
        the task. ``accuracy`` is the mean over tasks; for ``sequential`` with loss_over=all, it is the share of images
        whose unit has the highest score of all units.
        """
        own = {f"accuracy_{name}": TaskAccuracy(task) for task, name in enumerate(self.datasets)}
        overall = MeanOf(right_units) if self.units_compete else TaskAccuracy()
        # Compute groups would merge the metrics of two tasks whose first batches happen to have the same accuracy.
        return MetricCollection({"accuracy": overall, **own}, compute_groups=False)

    def prediction_columns(self, prediction: Tensor, target: Tensor) -> Columns:
        """For each data set, the class (empty if it is not shown), the predicted class and the probabilities of its
        classes among the units of its task, see `class_columns`."""
        columns: Columns = {}
        scores = by_task(prediction, len(self.datasets))
        for task, name in enumerate(self.datasets):
            own = class_columns(scores[:, :, task], target[:, task].clamp(min=0))
            own["target"] = [None if number == NOT_SHOWN else number for number in target[:, task].tolist()]
            columns |= with_suffix(own, name)
        return columns

    def _shown(self, sets: Mapping[int, Pair]) -> Pair:
        """Convert the images and labels of tasks to inputs and targets: each row shows one task, or all at once."""
        images, targets = [pictures for pictures, _ in sets.values()], []
        for task, (_, labels) in sets.items():
            target = labels.new_full((len(labels), len(self.datasets)), NOT_SHOWN)
            target[:, task] = labels
            targets.append(target)
        if self.shown_one_by_one:
            return torch.cat(images).unsqueeze(1), torch.cat(targets)
        return torch.stack(images, 1), torch.stack(targets).amax(0)

    def _sets(self, split: str) -> list[Pair]:
        """Images ``[N, 28, 28]`` and labels ``[N]`` of every task; N is the same for all tasks."""
        if split not in self._read_once:
            file = "test" if split == "test" else "train"
            read = [image_files.read(IMAGE_FILES[name], self.data_dir, file) for name in self.datasets]
            self._require_one_shape([images for images, _ in read])
            if split == "test":
                pools = [torch.arange(len(labels)) for _, labels in read]
                self._read_once["test"] = self._taken(read, pools, self.images_per_task["test"], "test")
            else:
                orders = [torch.randperm(len(labels), generator=generator("split")) for _, labels in read]
                val_size = self.images_per_task["val"]
                if any(val_size >= len(order) for order in orders):
                    raise ValueError(f"task.val_size={val_size} leaves no images of some data set to train on")
                val = [order[-val_size:] for order in orders]
                train = [order[:-val_size] for order in orders]
                self._read_once["train"] = self._taken(read, train, self.images_per_task["train"], "train")
                self._read_once["val"] = self._taken(read, val, val_size, "val")
        return self._read_once[split]

    def _taken(self, read: Sequence[Pair], pools: Sequence[Tensor], size: int, split: str) -> list[Pair]:
        longest = max(map(len, pools))
        if size > longest:
            raise ValueError(f"task.{split}_size must be at most {longest}, the images of the longest set, got {size}")
        taken = []
        for (images, labels), pool, name in zip(read, pools, self.datasets, strict=True):
            rows = pool[resampled(len(pool), size, generator("resample", split, name))]
            taken.append((images[rows], labels[rows] % self.labels))
        return taken

    def _require_one_shape(self, images: Sequence[Tensor]) -> None:
        shapes = [" × ".join(map(str, each.shape[1:])) for each in images]
        if set(shapes) != {f"{SIDE} × {SIDE}"}:
            found = ", ".join(f"{name} {shape}" for name, shape in zip(self.datasets, shapes, strict=True))
            raise ValueError(f"task.datasets must all hold images of {SIDE} × {SIDE} pixels, got {found}")


def resampled(available: int, size: int, random: Generator) -> Tensor:
    """``size`` row numbers below ``available``: the first ones, or repetitions of all and a random rest."""
    if size <= available:
        return torch.arange(size)
    whole = torch.arange(available).repeat(size // available)
    return torch.cat([whole, torch.randperm(available, generator=random)[: size % available]])


def by_task(prediction: Tensor, tasks: int) -> Tensor:
    """Reshape ``[B, labels · tasks]`` to ``[B, labels, tasks]``."""
    return prediction.unflatten(1, (-1, tasks))


def unit_of(target: Tensor) -> Tensor:
    """The correct output unit ``[B]`` for a target with one shown task in each row."""
    label, task = target.max(1)
    return label * target.shape[1] + task


class TaskAccuracy(MeanMetric):
    """The share of labels that have the highest score among the units of their task, for one task or all tasks."""

    def __init__(self, task: int | None = None) -> None:
        super().__init__()
        self.task = task

    def update(self, prediction: Tensor, target: Tensor) -> None:  # type: ignore[override]
        chosen = by_task(prediction, target.shape[1]).argmax(1)
        if self.task is not None:
            chosen, target = chosen[:, self.task], target[:, self.task]
        super().update(chosen == target, target != NOT_SHOWN)


def right_units(prediction: Tensor, target: Tensor) -> Tensor:
    """The mask of the images whose unit has the highest score of all units: both task and label must be correct."""
    return prediction.argmax(1) == unit_of(target)
