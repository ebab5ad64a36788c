"""The base class of all models: training, validation and test steps for the interface of a task."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from lightning import LightningModule
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from bionets.layers.lengths import valid_steps
from bionets.layers.single_step import SingleStep
from bionets.models.checks import dtype_of_weights, explain_dtype, require_gradient, require_one_of
from bionets.models.chunks import GRADIENTS, loss_in_chunks, saved_mebibytes
from bionets.models.forecast import forecast
from bionets.models.meters import make_meters, measure, values_of
from bionets.models.optimization import (
    OptimizerFactory,
    ScheduleFactory,
    configure_optimizers,
    has_one_group,
    require_monitors,
    require_optimizer_state,
    step_plateau_schedules,
)
from bionets.models.weighting import has_samples, loss_of, weighted_loss
from bionets.tasks.spec import Kind, TaskSpec

__all__ = ["Model", "OptimizerFactory", "ScheduleFactory"]


class Model(LightningModule):
    """The base of a model family: a network that maps x to a prediction, for every task whose kind it ``accepts``.

    A family sets ``accepts`` and implements ``forward(x) -> prediction``. The loss and the metrics are those of the
    task (the trainer's datamodule), so that model and task are independent. A family with ``accepts_lengths``
    implements ``forward(x, lengths)``.

    Args:
        spec: the spec of the task; raises ``ValueError`` for a kind that the family does not accept.
        optimizer: called with the parameters, returns the optimizer. It may be None for evaluation.
        gradients: ``bptt``, ``online`` or ``eprop``; the latter two process time in chunks of ``trainer.tbptt`` steps,
            see `bionets.scan.OnlineGradients`.

    Attributes:
        tbptt: number of steps of the chunks of time in which a batch is trained; None for the whole sequence.
        schedule: called with the optimizer and the number of training steps, returns the scheduler of the learning
            rate, which is stepped after each training step unless a `Schedule` specifies otherwise; None for a constant
            rate.
        loss_every_step: whether the training loss is the mean over the losses of `step_predictions`, for a task with
            one prediction per sequence. The loss of the task must be a mean over samples.
    """

    abstract: ClassVar[bool] = True  # cannot be chosen in a config; not inherited
    accepts: ClassVar[frozenset[Kind]] = frozenset()
    accepts_lengths: ClassVar[bool] = False
    needed_options: tuple[tuple[str, str], ...] = ()  # an option, and the one without which it has no effect
    uses_optimizer: ClassVar[bool] = True
    exportable: ClassVar[bool] = True  # whether forward consists only of tensor operations

    def __init__(self, spec: TaskSpec, optimizer: OptimizerFactory | None = None, *, gradients: str = "bptt") -> None:
        super().__init__()
        require_one_of(GRADIENTS, gradients=gradients)
        if not self.fits(spec):
            lengths = " with sequences of different lengths" if spec.lengths else ""
            raise ValueError(f"{type(self).__name__} does not fit a task of kind {spec.kind}{lengths}")
        self.spec = spec
        self.optimizer = optimizer
        self.schedule: ScheduleFactory | None = None
        self.test_results: dict[str, dict[str, float]] = {}
        self.confusion_matrices: dict[str, tuple[Sequence[str], Tensor]] = {}
        self.one_group = False
        self.loss_every_step = False
        self.gradients = gradients
        self.tbptt: int | None = None

    @classmethod
    def fits(cls, spec: TaskSpec) -> bool:
        """Whether the family can be trained on a task with this spec. Override it for further requirements."""
        return spec.kind in cls.accepts and (cls.accepts_lengths or not spec.lengths)

    def require_one_answer(self, key: str, asked: bool) -> None:
        """Raise ValueError if a key for tasks with one prediction per sequence is used with another task."""
        if asked and self.spec.kind == "sequence_to_sequence":
            raise ValueError(f"model.{key} is for tasks with one answer to a sequence: leave it out")

    def recurrent_layer(self) -> nn.Module | None:
        """The layer with the interface of ``nn.GRU`` that ``method=dynamics`` analyses, or None."""
        return None

    def step_inputs(self, x: Tensor) -> Tensor:
        """The input of the network at each time step, ``[T, B, ...]``, for a batch x."""
        return x

    def single_step(self, x: Tensor) -> SingleStep:
        """One time step of the network with its states as arguments, for export.

        Args:
            x: an input of one step ``[B, ...]``, as `step_inputs` gives it.

        Raises:
            ValueError: the family does not work step by step.
        """
        raise ValueError(
            f"{type(self).__name__} does not work step by step: export the whole sequence, single_step=False"
        )

    def lr_factors(self) -> dict[str, float]:
        """The learning rates of parameters, by name, as multiples of that of the optimizer, if they are not 1."""
        return {}

    def chunk(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The predictions at every step ``[K, B, output_size]`` of a chunk x ``[K, B, input_size]``, and its state;
        with ``loss_every_step``, as many for each step as `step_predictions` gives.

        ``state`` is the state after the previous chunk, without its graph; None at the beginning of a sequence.

        Raises:
            ValueError: the model cannot be trained in chunks of time.
        """
        raise ValueError(
            f"{type(self).__name__} cannot be trained in chunks of time: leave out trainer.tbptt and model.gradients"
        )

    @property
    def in_chunks(self) -> bool:
        """Whether training processes time in chunks."""
        return self.tbptt is not None or self.gradients != "bptt"

    @property
    def task(self) -> Any:
        return self.trainer.datamodule  # type: ignore[attr-defined]

    def configure_optimizers(self) -> Any:
        return configure_optimizers(
            self, self.optimizer, self.schedule, one_group=self.one_group, lr_factors=self.lr_factors()
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Use one group of parameters if the checkpoint has one; see `has_one_group`."""
        if self.automatic_optimization:
            require_optimizer_state(checkpoint)
        self.one_group = has_one_group(checkpoint)

    def step_predictions(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The predictions at every step, ``[T, B, output_size]``, for a task with one prediction
        ``[B, output_size]``."""
        raise NotImplementedError(f"{type(self).__name__} has no prediction at every step")

    def before_training(self, batches: Iterable[Tensor], seed: int) -> None:
        """Adapt the initial weights to batches of training inputs; called once, before the first step. By default, the
        weights do not change. All random numbers must be a function of the seed.
        """

    def on_fit_start(self) -> None:
        self.task.loss_every_step = self.loss_every_step  # its batches are weighted accordingly

    def on_train_start(self) -> None:
        if self.trainer.global_step == 0 and self.trainer.current_epoch == 0:
            self.before_training(map(self.converted, training_inputs(self.task)), self.task.seed)
            if self.trainer.world_size > 1:  # each process has seen its own batches
                for parameter in self.parameters():
                    parameter.data.copy_(self.trainer.strategy.broadcast(parameter.data))

    def training_step(self, batch: tuple[Tensor, ...], batch_index: int) -> Tensor:
        with explain_dtype(batch[0], self):
            return self._training_loss(batch)

    def _training_loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        if self.in_chunks:
            x, target = batch
            return loss_in_chunks(self, self.task, x, target)
        if not self.loss_every_step:
            return loss_of(self.task, *self.answers(batch))
        x, target, *lengths = batch
        predictions = self.step_predictions(x, *lengths)
        targets = target.expand(len(predictions), *target.shape)
        if not lengths:
            return self.task.loss(predictions.flatten(0, 1), targets.flatten(0, 1))
        valid = valid_steps(lengths[0] * (len(predictions) // len(x)), len(predictions))
        return self.task.loss(predictions[valid], targets[valid])

    def converted(self, x: Tensor) -> Tensor:
        """x on the device and, if x is floating point, in the dtype of the weights, as passed by a trainer."""
        return x.to(self.device, dtype_of_weights(self) if x.is_floating_point() else None)

    def answers(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """The prediction for a batch, and its target. If only some steps are scored, both hold these alone,
        ``[M, output_size]``, see `TaskSpec.only_scored`. For a closed loop outside training, the prediction is a
        forecast of the length of the target."""
        x, target, *lengths = batch
        if self.spec.closed_loop and not self.training:
            return forecast(self, x, len(target)), target
        return self.spec.only_scored(self(x, *lengths), target, *lengths)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        require_gradient(loss)
        super().backward(weighted_loss(self.trainer, loss), *args, **kwargs)

    def on_validation_epoch_start(self) -> None:
        self.validation_meters = self._meters(["validation"])
        self.own_values: dict[str, Tensor] = {}

    def validation_step(self, batch: tuple[Tensor, ...], batch_index: int) -> None:
        counts = has_samples(self.trainer.val_dataloaders, batch_index)
        self._measure(self.validation_meters["validation"], batch, counts)
        if batch_index == 0:
            self.own_values = self.validation_metrics(batch[0], *batch[2:])

    def on_validation_epoch_end(self) -> None:
        values = {f"val/{name}": value for name, value in values_of(self.validation_meters["validation"]).items()}
        self.log_dict(values, sync_dist=False, logger=False)  # `Record` passes them to the loggers
        own = {f"val/{name}": value for name, value in self.own_values.items()}
        self.log_dict(own, sync_dist=True, logger=False)  # each process has its own batch

    def on_validation_end(self) -> None:
        step_plateau_schedules(self.trainer)

    def on_train_epoch_end(self) -> None:
        require_monitors(self.trainer)

    def on_test_epoch_start(self) -> None:
        self.test_meters = self._meters(self.task.test_names)
        self.test_matrices = {name: self._confusion_matrices() for name in self.task.test_names}

    def test_step(self, batch: tuple[Tensor, ...], batch_index: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Measure a batch, and return its ``prediction`` and ``target`` for callbacks."""
        loaders = self.trainer.test_dataloaders
        counts = has_samples(loaders[dataloader_idx] if isinstance(loaders, list) else loaders, batch_index)
        name = self.task.test_names[dataloader_idx]
        matrices = [metric for _, metric in self.test_matrices[name].values()]
        return self._measure(self.test_meters[name], batch, counts, matrices)

    def on_test_epoch_end(self) -> None:
        """Set ``test_results``: test set -> metric -> value, and ``confusion_matrices``: name -> the names of the
        classes, and the number of samples of each true class (rows) and predicted class (columns)."""
        self.test_results = {
            test: {name: float(value) for name, value in values_of(meters).items()}
            for test, meters in self.test_meters.items()
        }
        self.confusion_matrices = {
            name if len(self.test_matrices) == 1 else f"{name}_{test}": (names, metric.compute().cpu())
            for test, matrices in self.test_matrices.items()
            for name, (names, metric) in matrices.items()
        }

    # Additions of a family to a run

    def draw(self, directory: Path, title: str, x: Tensor) -> list[Path]:
        """Write figures of the trained model, or of its activity for x, the first test batch, and return the files. By
        default there are none.
        """
        return []

    def test_metrics(self, batches: Iterable[tuple[Tensor, ...]]) -> dict[str, float]:
        """Headline numbers in addition to those of the task, measured on the batches of the first test set: x, and the
        lengths of its sequences if it has any.

        By default, for a model that is trained in chunks of time, the MiB that autograd saves for the backward pass of
        the first batch.
        """
        return {"train/kept_mebibytes": saved_mebibytes(self, next(iter(batches))[0])} if self.in_chunks else {}

    def validation_metrics(self, x: Tensor, lengths: Tensor | None = None) -> dict[str, Tensor]:
        """Scalars in addition to the metrics of the task, measured at every validation on x, the first validation
        batch, and recorded as ``val/<name>``. By default there are none.
        """
        return {}

    def recorded_arrays(self) -> dict[str, dict[str, Tensor]]:
        """Tensors to be recorded before training and after every epoch, by the name of the file in the run folder and
        the name in the file. By default there are none.
        """
        return {}

    def _meters(self, sets: list[str]) -> dict[str, MetricCollection]:
        # Plain dicts, created for every pass: meters are not part of the model and its state_dict.
        return {name: make_meters(self.task).to(self.device) for name in sets}

    def _confusion_matrices(self) -> dict[str, tuple[Sequence[str], Metric]]:
        found = self.task.confusion_matrices().items()
        return {name: (names, metric.to(self.device)) for name, (names, metric) in found}

    def _measure(
        self, meters: MetricCollection, batch: tuple[Tensor, ...], counts: bool, matrices: Sequence[Metric] = ()
    ) -> dict[str, Tensor]:
        prediction, target = self.answers(batch)
        if counts:
            measure(meters, self.task, prediction, target)
            for matrix in matrices:
                matrix.update(prediction, target)
        return {"prediction": prediction, "target": target}


def training_inputs(task: Any) -> Iterator[Tensor]:
    """The inputs of the batches of the first epoch, in the order of training."""
    return (x for x, *_ in task.train_batches(0))
