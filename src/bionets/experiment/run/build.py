"""Construction of task, model, trainer and callbacks from a config."""

from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from lightning import Callback, Trainer, seed_everything
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import callbacks as lightning_callbacks
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn.parameter import is_lazy
from torch.optim import LBFGS

from bionets.experiment.config.option_values import refuse_empty_ranges
from bionets.experiment.config.resolve import RunConfig, with_protocol
from bionets.experiment.config.schemas.registry import MODELS
from bionets.experiment.errors import UserError, user_errors
from bionets.experiment.run.averaging import AverageWeights
from bionets.experiment.run.callbacks import BeginNextEpoch, RememberStop, SeedEachEpoch
from bionets.experiment.run.checkpoints import AtomicCheckpointIO, checkpoint_callbacks
from bionets.experiment.run.custom_metrics import add_metrics
from bionets.experiment.run.data import refuse_no_training
from bionets.experiment.run.instantiate import instantiate_node, naming_options
from bionets.experiment.run.model_size import with_size
from bionets.experiment.run.optimization import build_optimizer, build_schedule, try_out
from bionets.experiment.run.process import Process
from bionets.experiment.run.progress import ProgressBar
from bionets.experiment.run.recorded_arrays import RecordArrays
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.run.signals import EndProcesses, KeepSigtermHandler
from bionets.import_path import import_object
from bionets.models import Model
from bionets.models.chunks import GRADIENTS
from bionets.scan import OnlineGradients
from bionets.tasks import Task, TaskSpec
from bionets.tasks.own_task import CUSTOM, own_task

AVERAGED = "the best epoch is chosen before it averages: take average_weights=0.999"
NOT_FOR_RUNS: dict[type[Callback], str] = {
    lightning_callbacks.LearningRateFinder: "a run keeps its optimizer.lr: take find=lr",
    lightning_callbacks.BatchSizeFinder: "a run keeps its task.batch_size: take find=batch_size",
    lightning_callbacks.StochasticWeightAveraging: AVERAGED,
    lightning_callbacks.WeightAveraging: AVERAGED,
    lightning_callbacks.ProgressBar: "a run has a bar of its own: callbacks.progress=true",
}
"""Callbacks of Lightning that runs do not support, and the reasons."""


def build_run(run: RunConfig) -> tuple[Task, Model, RunConfig]:
    """Seed the random generators, and build the task and the model of a run. The returned config has the size of the
    model and the epochs of the task's protocol filled in.
    """
    set_precision(run.values["matmul_precision"], run.values["flush_denormals"])
    seed_everything(run.values["seed"], workers=True, verbose=False)
    task = build_task(run.values)
    require_fit(run.values, task.spec)
    run = with_size(run, task.spec)
    model = build_model(run.values, task.spec)
    model.schedule = build_schedule(run.values, task)
    model.tbptt = run.values["trainer"].get("tbptt")
    try_chunks(model)
    return task, model, with_protocol(run, task)


def build_task(config: dict[str, Any]) -> Task:
    """Build the task of a config. Raises UserError if it lacks a key or method that every task must have."""
    for key, example in (("name", "my_task"), ("_target_", "my_data.MyTask")):
        if not config["task"].get(key):
            raise UserError(f"the config of the task has no {key}: add a line such as {key}: {example}")
    node = config["task"]
    if node["_target_"] == CUSTOM:
        with user_errors():
            node = own_task(node) or node
    with naming_options("task", config["task"]):
        task = instantiate_node(node)
    target = node["_target_"]
    if not isinstance(task, Task):
        raise UserError(f"{target} is not a task: derive it from bionets.tasks.Task")
    if not isinstance(getattr(task, "spec", None), TaskSpec):
        raise UserError(f"{target} has no spec: set spec = TaskSpec(...), which says what goes in and what comes out")
    for method in ("loss", "metrics"):
        if getattr(type(task), method) is getattr(Task, method):
            raise UserError(f"{target} must implement {method}; help(bionets.tasks.Task) shows a whole task")
    add_metrics(task, config.get("metrics") or ())
    return task


def build_model(config: dict[str, Any], spec: TaskSpec) -> Model:
    """Build the model of a config for a task with this spec. Raises UserError if they do not fit."""
    require_fit(config, spec)
    optimizer = build_optimizer(config)
    with naming_options("model", config["model"]):
        model: Model = instantiate_node(config["model"], spec=spec, optimizer=optimizer)
    if model.automatic_optimization:
        try_out(optimizer, model.parameters())
    if config.get("average_weights") is not None and not model.automatic_optimization:
        raise UserError(f"model={config['model']['name']} learns without an optimizer: leave out average_weights")
    refuse_nan(model)
    return model


def refuse_nan(model: Model) -> None:
    """Raise UserError if a parameter or a buffer is NaN before training: a checkpoint with NaN counts as damaged."""
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor) and not is_lazy(value) and value.is_floating_point() and value.isnan().any():
            raise UserError(f"{name} of the model is NaN before training; give it a number, or None if it is a buffer")


def require_fit(config: dict[str, Any], spec: TaskSpec) -> None:
    """Raise UserError if the model does not fit the task; the message names the models that do."""
    model = model_class(config["model"]["_target_"])
    if not model.fits(spec):
        fitting = [
            name for name, schema in MODELS.items() if model_class(OmegaConf.structured(schema)._target_).fits(spec)
        ]
        kind = f"{spec.kind} with sequences of different lengths" if spec.lengths else spec.kind
        takes_sequences = "sequence_to_class" in model.accepts
        raise UserError(
            f"model={config['model']['name']} does not fit task={config['task']['name']} ({kind}): "
            + (f"choose model={', '.join(fitting)}" if fitting else "no model here does")
            + (to_read_sequences(config["task"], spec) if takes_sequences else "")
        )


def to_read_sequences(task: dict[str, Any], spec: TaskSpec) -> str:
    """Advice on options that make sequences of images or vectors; empty if there are none."""
    if task.get("read_as") != "image" or spec.image_shape is None or not spec.kind.startswith("image"):
        return ""
    if spec.image_shape[1] > 1:
        return ", or read images as sequences, as with task.read_as=rows"
    if str(task.get("data")).endswith(".csv"):
        return ", or name the column of the sequences, as in task.sequences=id"
    return ", or read each vector as a sequence of its numbers, with task.read_as=pixels"


def try_chunks(model: Model) -> None:
    """Raise UserError if a model does not support the training in chunks of time that its config asks for."""
    if not model.in_chunks:
        return
    if model.spec.lengths:
        raise UserError(
            "sequences of different lengths are trained as a whole: leave out trainer.tbptt and model.gradients"
        )
    rule = GRADIENTS[model.gradients]
    with user_errors(), OnlineGradients(rule) if rule else nullcontext():
        model.chunk(torch.zeros(1, 2, model.spec.input_size), None)


def model_class(target: str) -> type[Model]:
    with user_errors(f"model._target_={target} cannot be imported: "):
        found = import_object(target)
    if not (isinstance(found, type) and issubclass(found, Model)):
        raise UserError(f"model._target_={target} is not a model: derive it from bionets.models.Model")
    return found


def build_trainer(config: dict[str, Any], task: Task, folder: RunFolder, records: list[Callback]) -> Trainer:
    """Build Lightning's Trainer with the callbacks of a run, which write ``last.ckpt`` after every epoch, and
    ``best.ckpt`` by the task's monitored value.
    """
    extra = build_callbacks(config)
    for callback in extra:
        if isinstance(callback, lightning_callbacks.ModelCheckpoint) and callback.dirpath is None:
            callback.dirpath = str(folder.checkpoints / "checkpoints")  # Lightning's place depends on the logger
    callbacks = [*records, RecordArrays(folder.path), *extra, *checkpoint_callbacks(config, task, folder)]
    return trainer_with(callbacks, config, task, default_root_dir=folder.checkpoints)


def trainer_with(callbacks: list[Callback], config: dict[str, Any], task: Task, **more: Any) -> Trainer:
    """Build Lightning's Trainer with these callbacks, the seeds of each epoch, and the progress bar."""
    refuse_empty_ranges(config["trainer"])
    refuse_no_training(config["trainer"], task)
    decay = config["average_weights"]
    progress = [ProgressBar(task.monitor)] if config["callbacks"]["progress"] else []
    every = [
        KeepSigtermHandler(),
        EndProcesses(),
        BeginNextEpoch(),
        SeedEachEpoch(config["seed"]),
        *([] if decay is None else [AverageWeights(decay)]),
        *callbacks,
        *progress,
    ]
    return bare_trainer(config["trainer"], callbacks=every, logger=False, reload_dataloaders_every_n_epochs=1, **more)


def build_callbacks(config: dict[str, Any]) -> list[Callback]:
    """The additional callbacks in the config, and `RememberStop` if there are any. Raises UserError."""
    nodes = config["callbacks"]["extra"]
    for name, node in nodes.items():
        if not isinstance(node, dict) or "_target_" not in node:
            raise UserError(
                f"callbacks.extra.{name} needs the class of a callback: callbacks.extra.{name}._target_=..."
            )
    with naming_options("callbacks.extra", nodes):
        callbacks = [instantiate_node(node) for node in nodes.values()]
    accumulates = config["trainer"]["accumulate_grad_batches"] > 1
    excluded: dict[str, tuple[type[Callback], bool]] = {
        "trainer.accumulate_grad_batches": (lightning_callbacks.GradientAccumulationScheduler, accumulates),
        # A checkpoint would have the pruned weights of training instead of their average.
        "average_weights": (lightning_callbacks.ModelPruning, config["average_weights"] is not None),
    }
    for name, callback in zip(nodes, callbacks, strict=True):
        if not isinstance(callback, Callback):
            raise UserError(f"callbacks.extra.{name} is a {type(callback).__name__}, not a Lightning callback")
        for kind, reason in NOT_FOR_RUNS.items():
            if isinstance(callback, kind):
                raise UserError(f"callbacks.extra.{name} cannot be a {type(callback).__name__}: {reason}")
        for key, (kind, given) in excluded.items():
            if given and isinstance(callback, kind):
                what = f"callbacks.extra.{name} cannot be a {kind.__name__}"
                raise UserError(f"{what} with {key}: leave out one of the two")
    return [*callbacks, RememberStop()] if callbacks else []


def refuse_processes(trainer: Trainer, task: Task, multirun: bool) -> None:
    """Raise UserError if processes cannot share every batch evenly, or would be started from a multirun.

    Lightning starts the others by running the command line again, which in a multirun would start the whole sweep.
    """
    if multirun and trainer.world_size > 1:
        raise UserError(
            "ddp cannot run inside a multirun in one process: run the jobs one by one without -m, "
            "or drop accelerator=ddp and trainer.devices"
        )
    if task.batch_size % trainer.world_size:
        raise UserError(f"task.batch_size={task.batch_size} must be divisible by the {trainer.world_size} processes")


def refuse_for_optimizer(trainer: Trainer, model: Model) -> None:
    """Raise UserError for options of the optimizer that its device does not have, and for options that cannot be used
    with LBFGS, which computes the loss several times in a step.
    """
    optimizer = model.optimizer
    if not isinstance(optimizer, partial):
        return
    if optimizer.keywords.get("capturable") and trainer.strategy.root_device.type == "cpu":
        raise UserError("optimizer.capturable=true is for GPUs: leave it out")
    if not (isinstance(optimizer.func, type) and issubclass(optimizer.func, LBFGS)):
        return
    scheduler = lightning_callbacks.GradientAccumulationScheduler
    schedulers = [each for each in trainer.callbacks if isinstance(each, scheduler)]  # type: ignore[attr-defined]
    refused = {
        # Only the last batch would be computed again, and its gradients added to those before.
        "trainer.accumulate_grad_batches": trainer.accumulate_grad_batches > 1,
        "GradientAccumulationScheduler": any(each.going_to_accumulate_grad_batches() for each in schedulers),
        # Each process would end a step by its own loss, and wait for the others.
        "accelerator=ddp and trainer.devices": trainer.world_size > 1,
        "model.positions_lr": any(factor != 1 for factor in model.lr_factors().values()),
    }
    for option, given in refused.items():
        if given:
            raise UserError(f"LBFGS takes one batch, one process and one learning rate in a step: leave out {option}")


def bare_trainer(arguments: dict[str, Any], checkpoints: AtomicCheckpointIO | None = None, **more: Any) -> Trainer:
    """A Trainer without output of its own, which reads only checkpoints of bionets. Raises UserError."""
    try:
        trainer = Trainer(
            **{key: value for key, value in arguments.items() if key != "tbptt"},
            plugins=[checkpoints or AtomicCheckpointIO()],
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            **more,
        )
    except (ValueError, TypeError, RuntimeError, ImportError, MisconfigurationException) as error:
        of_device = "backend" in str(error) or "accelerator" in str(error)
        hint = "; choose accelerator=auto or accelerator=cpu" if of_device else ""
        raise UserError(f"the trainer cannot be built: {' '.join(str(error).split())}{hint}") from error
    asked = str(arguments.get("precision"))
    if asked in ("16", "16-mixed", "16-true") and trainer.strategy.root_device.type == "cpu":
        raise UserError(f"trainer.precision={asked} needs a GPU: train with bf16-mixed, bf16-true, 32-true or 64-true")
    if trainer.world_size > 1:
        Process.current().name_as_launcher()
    return trainer


def set_precision(matmul_precision: str, flush_denormals: bool) -> None:
    """Set the precision of float32 matrix products on a GPU, and whether a CPU flushes denormal numbers (below 1.2e-38)
    to 0. Vanishing gradients contain many of them, and Intel CPUs compute with them many times slower.

    Threads inherit the setting from the thread that starts them.
    """
    if matmul_precision not in ("highest", "high", "medium"):
        raise UserError(f"matmul_precision={matmul_precision} is unknown: choose highest, high or medium")
    torch.set_float32_matmul_precision(matmul_precision)
    torch.set_flush_denormal(flush_denormals)
