"""The base class of all tasks."""

from collections.abc import Callable, Mapping, Sequence

import torch
from lightning import LightningDataModule
from torch import Generator, Tensor
from torchmetrics import Metric, MetricCollection

from .batches import Batches
from .checks import check_data, require_at_least
from .metrics import ConfusionMatrix
from .prediction_columns import Columns, class_columns, number_columns
from .seeding import drawing_float32, generator
from .spec import TaskSpec

Data = tuple[Tensor, ...]
"""A whole data set: x ``[T, N, input_size]``, a target whose batch dimension is that of the prediction, and if the spec
says so the length of each sequence, ``[N]``."""


class Task(LightningDataModule):
    """Data with their loss and metrics, behind an interface that is independent of models.

    A task of your own sets ``spec`` and implements `draw`, `loss` and `metrics`::

        class SumOfInputs(Task):
            spec = TaskSpec("sequence_to_value", input_size=1, output_size=1)

            def draw(self, split, size, generator):
                x = torch.randn(50, size, 1, generator=generator)
                return x, x.sum(0)

            def loss(self, prediction, target):
                return torch.nn.functional.mse_loss(prediction, target)

            def metrics(self):
                return MetricCollection({"mse": MeanSquaredError()})

        task = SumOfInputs(train_size=10_000, val_size=1_000, test_size=1_000, batch_size=100, epochs=20)

    The training and validation sets are then drawn once, and the test set when it is needed. Override `train_data`,
    `val_data`, `test_data` and ``test_names`` instead of `draw` if the data change with the epoch, are read from disk,
    or are tested under several conditions.

    The data of an epoch and the order of the rows depend only on the seed and the epoch, so that an interrupted run
    continues with the same numbers. A Trainer must therefore reload them in every epoch:
    ``Trainer(reload_dataloaders_every_n_epochs=1)``.

    Args:
        train_size, val_size, test_size: number of samples in each set.
        batch_size: number of samples in a batch.
        epochs: number of passes over the training set, unless trainer.max_epochs is set.
        stop_below: training ends once the monitored value is better than this value: below it, or above it if ``mode``
            is "max", as for accuracies; None for never.
        seed: seed of the data.

    Attributes:
        spec: the shapes and meaning of the input and the prediction of a model.
        monitor, mode: the logged value by which the best epoch is chosen, and whether its smallest ("min") or largest
            ("max") value is best.
        test_names: a name for each test set, in the order of `test_dataloader`.
        loss_every_step: whether the training loss is a mean over the steps of sequences with one target; set by the
            model.
        extra_metrics: factories of metrics in addition to `metrics`, by their names.
    """

    spec: TaskSpec
    needed_options: tuple[tuple[str, str], ...] = ()  # an option, and the one without which it has no effect
    notes: Sequence[str] = ()  # printed at the start of a run
    monitor: str = "val/loss"
    mode: str = "min"

    def __init__(
        self,
        train_size: int,
        val_size: int,
        test_size: int,
        batch_size: int,
        epochs: int,
        *,
        stop_below: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        require_at_least(
            1, train_size=train_size, val_size=val_size, test_size=test_size, batch_size=batch_size, epochs=epochs
        )
        require_at_least(0, seed=seed)
        self.train_size = train_size
        self.val_size = val_size
        self.test_size = test_size
        self.batch_size = batch_size
        self.epochs = epochs
        self.stop_below = stop_below
        self.seed = seed
        self.test_names = ["test"]
        self.loss_every_step = False
        self.extra_metrics: dict[str, Callable[[], Metric]] = {}
        self._drawn_once: dict[str, Data] = {}

    def __str__(self) -> str:  # that of Lightning needs a DataLoader
        sizes = f"train_size={self.train_size}, val_size={self.val_size}, test_size={self.test_size}"
        return f"{type(self).__name__}({sizes}, batch_size={self.batch_size}, seed={self.seed})"

    # Implemented by a task

    def draw(self, split: str, size: int, generator: Generator) -> Data:
        """Draw ``size`` samples of ``split`` ("train", "val" or "test"), with all random numbers from ``generator``."""
        raise NotImplementedError(f"{type(self).__name__} must implement draw, or train_data, val_data and test_data")

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The scalar to be minimised, for the prediction (with the shape given by ``spec``) and the target of a batch.

        For a prediction at every step of sequences with lengths or unlabelled steps, both hold only the M steps that
        count, ``[M, output_size]``, see `TaskSpec.only_scored`; metrics get the same tensors. M is at least 1.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement loss")

    def scored_steps(self, target: Tensor) -> float:
        """The number of answers over which `loss` is the mean, for a target as in `loss`; by default all answers. The
        losses of batches and of chunks of time are weighted by this number, so that their sizes do not change the mean.
        If a task overrides this method, its `prepare` must not change the targets.
        """
        return self.spec.answers_in(target)

    def metrics(self) -> MetricCollection:
        """New metrics, by the names under which they are logged, without prefix."""
        raise NotImplementedError(f"{type(self).__name__} must implement metrics")

    def confusion_matrices(self) -> Mapping[str, ConfusionMatrix]:
        """New confusion matrices for one test set, by the names of their figures. By default there are none."""
        return {}

    def prediction_columns(self, prediction: Tensor, target: Tensor) -> Columns:
        """The columns of a table of predictions, by name, for predictions ``[M, output_size]`` and their targets.

        By default those of `class_columns` if the spec predicts classes, otherwise those of `number_columns`.
        """
        columns = class_columns if self.spec.predicts_classes else number_columns
        return columns(prediction, target)

    def test_samples(self, name: str) -> Sequence[str | int] | None:
        """The name of each sample of a test set in the user's own files; None if they have no names."""
        return None

    def train_data(self, epoch: int) -> Data:
        """The training set of an epoch, in the stored order; `train_dataloader` shuffles it."""
        return self._draw_once("train", self.train_size)

    def val_data(self) -> Data:
        """The validation set."""
        return self._draw_once("val", self.val_size)

    def test_data(self, name: str) -> Data:
        """The test set with this name in ``test_names``, as it is stored; `batches_of` returns batches for a model.

        Raises ValueError for another name."""
        self.require_test_set(name)
        return self._draw("test", self.test_size, generator(self.seed, "test", name))

    def require_test_set(self, name: str) -> None:
        """Raise ValueError for a name that is not in ``test_names``; for tasks that override `test_data`."""
        if name not in self.test_names:
            raise ValueError(f"there is no test set {name}: choose {', '.join(self.test_names)}")

    @property
    def stored_batch_dims(self) -> tuple[int, int]:
        """The batch dimensions of x and target in `train_data`, `val_data` and `test_data`."""
        return self.spec.batch_dims

    def prepare(self, x: Tensor, target: Tensor, random: Generator | None) -> Data:
        """Convert a batch of the stored data to the input of the model and the target; by default it is unchanged.

        ``random`` is given only in training; data augmentation draws its random numbers from it.
        """
        return x, target

    def encode(self, x: Tensor, random: Generator) -> Tensor:
        """Apply the randomness that is part of the task to a prepared batch, in all splits; by default none."""
        return x

    def summarise(self, test_results: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
        """The headline numbers of a test, from the metrics of each test set by name.

        By default, all metrics of the only test set, as ``test/<metric>``.
        """
        return {f"test/{metric}": value for metric, value in test_results[self.test_names[0]].items()}

    def batches_of(self, data: str) -> Batches:
        """The batches of ``train`` (in epoch 0), ``val``, ``test`` (the last test set), or a test set by its name, as a
        model gets them: ``(x, target)``, or ``(x, target, lengths)``."""
        if data == "train":
            return self.train_batches(0)
        if data == "val":
            return self.val_dataloader()
        known = dict.fromkeys(("train", "val", "test", *self.test_names))
        if data not in known:
            raise ValueError(f"data={data} is unknown: choose {', '.join(known)}")
        name = self.test_names[-1] if data == "test" else data
        return self._test_batches(name)

    # Called by the Trainer

    @property
    def train_batches_per_epoch(self) -> int:
        """The number of training batches of an epoch."""
        return -(-self.train_size // self.batch_size)

    def train_dataloader(self) -> Batches:
        """The training batches of the trainer's current epoch, or of epoch 0 without a trainer.

        With ``Trainer(overfit_batches=...)`` every epoch has the batches of epoch 0.
        """
        if self.trainer is None:
            return self.train_batches(0)
        if self.trainer.reload_dataloaders_every_n_epochs != 1:  # type: ignore[attr-defined]
            raise ValueError("give the Trainer reload_dataloaders_every_n_epochs=1: a task's data depend on the epoch")
        overfitting = self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        return self.train_batches(0 if overfitting else self.trainer.current_epoch)

    def train_batches(self, epoch: int) -> Batches:
        """The training batches of an epoch, a pure function of the arguments of the task and the epoch."""
        order = torch.randperm(self.train_size, generator=generator(self.seed, "order", epoch))
        return self._batches(self.train_data(epoch), order, epoch)

    def val_dataloader(self) -> Batches:
        """The validation batches."""
        return self._batches(self.val_data())

    def test_dataloader(self) -> list[Batches]:
        """The test batches, one entry for each of ``test_names``."""
        return [self._test_batches(name) for name in self.test_names]

    def _test_batches(self, name: str) -> Batches:
        return self._batches(self.test_data(name), encoded_as=f"test {name}")

    def _batches(
        self, data: Data, order: Tensor | None = None, epoch: int | None = None, encoded_as: str | None = None
    ) -> Batches:
        """Batches of a set. Sets with the same ``encoded_as`` (by default the epoch) have the same randomness of
        `encode`, batch by batch."""
        key = str(epoch) if encoded_as is None else encoded_as

        def prepare(number: int, x: Tensor, target: Tensor, *lengths: Tensor) -> Data:
            random = None if epoch is None else generator(self.seed, "prepare", epoch, number, 0)
            with drawing_float32():
                x, target = self.prepare(x, target, random)
                return self.encode(x, generator(self.seed, "encode", key, number, 0)), target, *lengths

        check_data(data, self.stored_batch_dims, None if order is None else len(order))
        of_unequal_length = self.spec.selects_steps or (self.spec.lengths and self.loss_every_step)
        counts = of_unequal_length or type(self).scored_steps is not Task.scored_steps
        as_stored = type(self).prepare is Task.prepare and type(self).encode is Task.encode
        return Batches(
            data,
            (*self.stored_batch_dims, 0)[: len(data)],
            self.batch_size,
            order=order,
            rank=0 if self.trainer is None else self.trainer.global_rank,
            world_size=1 if self.trainer is None else self.trainer.world_size,
            prepare=None if as_stored else prepare,
            weigh=self._weigh if counts else None,
            prepared_dims=(*self.spec.batch_dims, 0)[: len(data)],
        )

    def _weigh(self, target: Tensor, *lengths: Tensor) -> float:
        if lengths and self.loss_every_step:
            return self.scored_steps(target.repeat_interleave(lengths[0], 0))
        _, target = self.spec.only_scored(target, target, *lengths)
        return self.scored_steps(target)

    def _draw_once(self, split: str, size: int) -> Data:
        if split not in self._drawn_once:
            self._drawn_once[split] = self._draw(split, size, generator(self.seed, split))
        return self._drawn_once[split]

    def _draw(self, split: str, size: int, random: Generator) -> Data:
        with drawing_float32():
            data = self.draw(split, size, random)
        check_data(data, self.stored_batch_dims, size)
        dtype = torch.get_default_dtype()
        return tuple(each.to(dtype) if each.dtype == torch.float32 else each for each in data)
