"""Several models of one family as one module, with stacked parameters and a forward pass by `torch.vmap`."""

from collections.abc import Iterable, Mapping, Sequence
from inspect import getattr_static, isroutine
from typing import Any

import torch
from lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from bionets.experiment.errors import UserError
from bionets.models import Model
from bionets.models.checks import InterfaceError, require_gradient
from bionets.models.meters import MetricError, make_meters, measure, values_of
from bionets.models.model import training_inputs
from bionets.models.optimization import (
    configure_optimizers,
    has_one_group,
    names_without_decay,
    require_optimizer_state,
)
from bionets.models.weighting import loss_of, weighted_loss
from bionets.tasks import Batches, Task

ELEMENTWISE = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop)
OWN = (
    *("forward", "before_training", "validation_metrics", "on_train_epoch_start"),  # called here for each model
    *("fits", "lr_factors", "chunk", "step_inputs", "step_predictions", "single_step", "recurrent_layer", "draw"),
)
OF_A_TEST = ("test_", "on_test_", "predict_", "on_predict_")  # each seed is tested alone
ONE_BY_ONE = "train the seeds one by one instead: -m sweep=seeds"


class StackedModels(LightningModule):
    """S models that differ only in their parameters and data. Each learns what it would learn alone, since the loss is
    the sum of their losses, and an elementwise optimizer updates every number independently.

    Attributes:
        stacked: the parameters of one model, in its order, each `[S, ...]`.
        values: for each model, the metrics of its last validation, as ``val/<metric>``.
        over: the numbers of the models whose training has ended, which are not validated.

    Raises:
        UserError: a model that overrides methods such as ``training_step``, or that has parameters with their own
            learning rates, chunks of time, or sequences of different lengths.
    """

    def __init__(self, models: Sequence[Model], tasks: Sequence[Task]) -> None:
        super().__init__()
        self.name = type(models[0]).__name__
        if type(models[0]).training_step is not Model.training_step or models[0].loss_every_step:
            raise UserError(f"{self.name} has a training step of its own, which cannot be batched; {ONE_BY_ONE}")
        for name in overridden(type(models[0])):
            if name not in OWN and not name.startswith(OF_A_TEST):
                raise UserError(f"{self.name} has {name} of its own, which several seeds do not call; {ONE_BY_ONE}")
        if any(factor != 1 for factor in models[0].lr_factors().values()):
            raise UserError(f"{self.name} has parameters with learning rates of their own; {ONE_BY_ONE}")
        if models[0].in_chunks:
            raise UserError(f"model.gradients and trainer.tbptt train one seed at a time; {ONE_BY_ONE}")
        if models[0].spec.lengths:
            raise UserError(f"sequences of different lengths cannot be batched over seeds; {ONE_BY_ONE}")
        refuse_shared_learning(models[0])
        refuse_tensors_of_one_seed(models)
        self._template = [models[0]]  # in a list, so that it is not a submodule
        self.tasks = list(tasks)
        parameters, buffers = stack_module_state(list(models))
        self.names, self.buffer_names = list(parameters), list(buffers)
        if shared := models[0].state_dict().keys() - {*self.names, *self.buffer_names}:
            raise UserError(f"{self.name} has a parameter with two names, one of them {min(shared)}; {ONE_BY_ONE}")
        # A ParameterList would make frozen tensors trainable.
        self.stacked = nn.ParameterList(nn.Parameter(each, each.requires_grad) for each in parameters.values())
        for number, buffer in enumerate(buffers.values()):
            self.register_buffer(f"buffer{number}", buffer)
        self.values: list[dict[str, Tensor]] = [{} for _ in models]
        self.over: set[int] = set()
        self.one_group = False

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The tensors of one model by name, each `[S, ...]`."""
        everything = dict(zip(self.names, self.stacked, strict=True)) | self._buffers_of_models()
        return {name: everything[name].detach() for name in self._template[0].state_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Tensor], strict: bool = True, assign: bool = False) -> Any:
        for name, value in self.state_dict().items():
            value.copy_(state_dict[name])

    def _buffers_of_models(self) -> dict[str, Tensor]:
        return {name: getattr(self, f"buffer{number}") for number, name in enumerate(self.buffer_names)}

    def forward(self, x: Tensor) -> Tensor:
        """The predictions `[S, ...]` of all models for their inputs `[S, ...]`."""
        parameters = dict(zip(self.names, self.stacked, strict=True))
        buffers = self._buffers_of_models()
        template = self._template[0].train(self.training)

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Any:
            return functional_call(template, (parameters, buffers), (x,))

        return torch.vmap(one)(parameters, buffers, x)

    def try_out(self, batches: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Raise UserError if the forward pass cannot be batched, for example because it draws random numbers or calls a
        function that `torch.vmap` does not support. The statistics of a batch normalisation are not changed.
        """
        before = [buffer.clone() for buffer in self.buffers()]
        try:
            self(_inputs(batches))
        except InterfaceError:  # a single seed fails too
            raise
        except (RuntimeError, NotImplementedError, ValueError, TypeError) as error:
            why = str(error).strip().splitlines()[0].partition(". ")[0]
            raise UserError(f"{self.name} cannot train several seeds at once ({why}); {ONE_BY_ONE}") from error
        for buffer, value in zip(self.buffers(), before, strict=True):
            buffer.copy_(value)

    def training_step(self, batches: Sequence[tuple[Tensor, Tensor]], batch_index: int) -> dict[str, Tensor]:
        predictions = self(_inputs(batches))
        losses = torch.stack(
            [
                loss_of(task, *task.spec.only_scored(prediction, target))
                for task, prediction, (_, target) in zip(self.tasks, predictions, batches, strict=True)
            ]
        )
        return {"loss": losses.sum(), "losses": losses.detach()}

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        require_gradient(loss)
        super().backward(weighted_loss(self.trainer, loss), *args, **kwargs)

    def on_train_start(self) -> None:
        if self.trainer.global_step == 0 and self.trainer.current_epoch == 0:
            for number, task in enumerate(self.tasks):
                model = self.model(number)
                model.before_training(map(model.converted, training_inputs(task)), task.seed)
                for stacked, value in zip(self.stacked, dict(model.named_parameters()).values(), strict=True):
                    stacked.data[number] = value.detach()

    def on_train_epoch_start(self) -> None:
        if type(self._template[0]).on_train_epoch_start is Model.on_train_epoch_start:
            return
        everything = self.state_dict()
        for number in range(len(self.tasks)):
            model = self.model(number)
            model.trainer = self.trainer
            model.on_train_epoch_start()
            for name, value in model.state_dict().items():
                everything[name][number].copy_(value)

    def on_validation_epoch_start(self) -> None:
        self.meters = [make_meters(task).to(self.device) for task in self.tasks]
        self.own_values: list[dict[str, Tensor]] = [{} for _ in self.tasks]

    def validation_step(self, batches: Sequence[tuple[Tensor, Tensor]], batch_index: int) -> None:
        predictions = self._predictions(batches)
        for number, (prediction, (x, target)) in enumerate(zip(predictions, batches, strict=True)):
            if number in self.over:  # if its weights are NaN, a metric may raise an error
                continue
            task = self.tasks[number]
            measure(self.meters[number], task, *task.spec.only_scored(prediction, target))
            if batch_index == 0:
                self.own_values[number] = self.model(number).validation_metrics(x)

    def _predictions(self, batches: Sequence[tuple[Tensor, Tensor]]) -> Iterable[Tensor]:
        if self._template[0].spec.closed_loop:  # step by step, for one model after the other
            return [self.model(number).answers(batch)[0] for number, batch in enumerate(batches)]
        return self(_inputs(batches))

    def model(self, number: int) -> Model:
        """The model of one seed, in evaluation mode; the next call changes its weights."""
        values = {name: value[number] for name, value in self.state_dict().items()}
        template = self._template[0].to(self.device).eval()
        for name, tensor in [*template.named_parameters(), *template.named_buffers()]:
            if name in values:
                tensor.data = tensor.data.to(values[name].dtype)  # of trainer.precision
        template.load_state_dict(values)
        return template

    def on_validation_epoch_end(self) -> None:
        monitor, monitored = self.tasks[0].monitor, []
        for number in (each for each in range(len(self.tasks)) if each not in self.over):
            values = {**values_of(self.meters[number]), **self.own_values[number]}
            self.values[number] = {f"val/{name}": as_logged(value) for name, value in values.items()}
            if monitor not in self.values[number]:
                names = ", ".join(self.values[number])
                raise MetricError(f"the monitor of the task, {monitor}, is not measured: choose one of {names}")
            monitored.append(self.values[number][monitor])
        if monitored:
            self.log(monitor, torch.stack(monitored).mean())  # for the progress bar

    def configure_optimizers(self) -> Any:
        first = self._template[0]
        return configure_optimizers(
            self,
            first.optimizer,
            first.schedule,
            parameters=dict(zip(self.names, self.stacked, strict=True)),
            without_decay=names_without_decay(first),
            one_group=self.one_group,
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        require_optimizer_state(checkpoint)
        self.one_group = has_one_group(checkpoint)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient of each model by its own norm."""
        if gradient_clip_val is None:
            return
        if gradient_clip_algorithm == "value":
            nn.utils.clip_grad_value_(self.parameters(), gradient_clip_val)
            return
        gradients = [parameter.grad for parameter in self.parameters() if parameter.grad is not None]
        norms = torch.stack([each.reshape(len(each), -1).norm(dim=1) for each in gradients]).norm(dim=0)
        factors = (gradient_clip_val / (norms + 1e-6)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(factors.view(-1, *(1 for _ in gradient.shape[1:])))


def refuse_shared_learning(model: Model) -> None:
    """Raise UserError if the optimizer or the schedule of a model would make the seeds depend on each other."""
    monitor = getattr(model.schedule, "monitor", None)
    if monitor is not None:
        raise UserError(f"a schedule that depends on {monitor} would couple the seeds; {ONE_BY_ONE}")
    if model.optimizer is not None and type(model.optimizer(model.parameters())) not in ELEMENTWISE:
        names = ", ".join(kind.__name__ for kind in ELEMENTWISE)
        raise UserError(f"several seeds at once need one of the optimizers {names}; {ONE_BY_ONE}")


def refuse_tensors_of_one_seed(models: Sequence[Model]) -> None:
    """Raise UserError if a tensor that is neither a parameter nor a buffer differs between the models: all of them
    would train with that of the first."""
    for modules in zip(*(model.modules() for model in models), strict=True):
        for name, value in vars(modules[0]).items():
            if isinstance(value, Tensor) and not all(torch.equal(value, vars(each)[name]) for each in modules):
                raise UserError(
                    f"{type(modules[0]).__name__}.{name} differs from seed to seed, but is neither a parameter nor a "
                    f"buffer: register it with register_buffer; or {ONE_BY_ONE}"
                )


def as_logged(value: Any) -> Tensor:
    """A metric, as Lightning stores it for one seed."""
    value = torch.as_tensor(value).detach().squeeze()
    return value if value.dtype in (torch.float32, torch.float64) else value.float()


def overridden(family: type[Model]) -> list[str]:
    """The methods and properties of `Model`, including those of Lightning, that a family overrides."""
    known = {name: getattr_static(Model, name) for name in dir(Model) if not name.startswith("__")}
    methods = [name for name, each in known.items() if isroutine(each) or isinstance(each, property)]
    return [name for name in methods if getattr_static(family, name) is not known[name]]


class StackedTasks(LightningDataModule):
    """The data of several tasks that differ only in their seed: a batch is the list of their batches."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.tasks = list(tasks)

    def train_dataloader(self) -> "ZippedLoader":
        for task in self.tasks:
            task.trainer = self.trainer
        loaders = [task.train_dataloader() for task in self.tasks]
        if self.trainer is not None and self.trainer.accumulate_grad_batches > 1:
            require_equal_weights(loaders)
        return ZippedLoader(loaders)

    def val_dataloader(self) -> "ZippedLoader":
        return ZippedLoader([task.val_dataloader() for task in self.tasks])


def require_equal_weights(loaders: Sequence[Batches]) -> None:
    """Raise UserError if the batches of an epoch, whose gradients are accumulated, have other weights in some seeds."""
    if any(each.sizes != loaders[0].sizes for each in loaders):
        raise UserError(f"trainer.accumulate_grad_batches weighs the batches of each seed by its targets; {ONE_BY_ONE}")


class ZippedLoader:
    """Lists of the batches of several tasks, which have equal sizes."""

    def __init__(self, loaders: Sequence[Batches]) -> None:
        self.loaders = loaders
        self.sizes, self.shares = loaders[0].sizes, loaders[0].shares

    def __len__(self) -> int:
        return len(self.loaders[0])

    def __iter__(self) -> Any:
        return (list(batches) for batches in zip(*self.loaders, strict=True))


def _inputs(batches: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    return torch.stack([x for x, _ in batches])
