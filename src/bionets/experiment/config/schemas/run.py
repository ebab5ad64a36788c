"""Schemas except those of models and tasks: trainer, loggers, folders, commands."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING, DictConfig

from bionets.experiment.config.schemas.device import Device

MAPPING = dict[str, Any]


def free_mapping() -> Any:
    """An empty mapping to which the command line may add keys without a plus."""
    return DictConfig({}, ref_type=MAPPING, is_optional=False, flags={"struct": False})


@dataclass
class Trainer(Device):
    """Arguments of Lightning's Trainer, and `tbptt`. Those that are not described here have Lightning's description.

    If an int means a number of batches and a float a share of batches, the given type is kept.

    Args:
        precision: 32-true, bf16-mixed, bf16-true or 64-true; on a GPU also 16-mixed and 16-true.
        max_epochs: number of epochs; null for the number in the protocol of the task.
        max_time: longest duration of the training, as days:hours:minutes:seconds.
        fast_dev_run: number of batches (true for 1) of training, validation and test; no run folder is written.
        limit_train_batches, limit_val_batches, limit_test_batches: number (int) or share (float) of the batches that
            are used; null for all.
        overfit_batches: number (int) or share (float) of batches that are the same in every epoch; 0.0 for all data.
        val_check_interval: number (int) of batches, or share (float) of an epoch, between validations; null for 1.0.
        log_every_n_steps: number of steps between the rows of train/loss in metrics.csv.
        accumulate_grad_batches: number of batches whose gradients are added up for an optimizer step.
        tbptt: number of steps of the chunks of time in which a batch is trained; null for whole sequences.
        gradient_clip_val: largest norm, or largest absolute value, of the gradients; null for no limit.
        gradient_clip_algorithm: norm (the default) or value.
        deterministic: true for deterministic operations of PyTorch only; warn for warnings about the others.
        profiler: simple, advanced or pytorch; null for none.
    """

    num_nodes: int = 1
    precision: str = "32-true"
    max_epochs: int | None = None
    min_epochs: int | None = None
    max_steps: int = -1
    min_steps: int | None = None
    max_time: str | None = None
    fast_dev_run: bool | int | None = None
    limit_train_batches: int | float | None = None
    limit_val_batches: int | float | None = None
    limit_test_batches: int | float | None = None
    overfit_batches: int | float = 0.0
    val_check_interval: int | float | None = None
    check_val_every_n_epoch: int = 1
    log_every_n_steps: int = 1
    accumulate_grad_batches: int = 1
    tbptt: int | None = None
    gradient_clip_val: float | None = None
    gradient_clip_algorithm: str | None = None
    deterministic: bool | str | None = None
    benchmark: bool | None = None
    detect_anomaly: bool = False
    sync_batchnorm: bool = False
    profiler: str | None = None


@dataclass
class Callbacks:
    """Callbacks of the training loop.

    Args:
        progress: whether a progress bar is shown.
        figures: whether figures are drawn at the end.
        patience: number of validations without a better monitored value after which training ends; None for never.
        extra: further callbacks of Lightning, a mapping from any names to nodes with a _target_.
    """

    progress: bool = True
    figures: bool = True
    patience: int | None = None
    extra: dict[str, Any] = field(default_factory=free_mapping)


@dataclass
class Logger:
    """Logging to W&B.

    Args:
        wandb: whether runs are logged to W&B.
        project: the W&B project.
        entity: the W&B user or team; null: your default entity.
        mode: auto (online if logged in, otherwise offline), online, offline or disabled.
        tags: labels of the runs.
    """

    wandb: bool = True
    project: str = "bionets"
    entity: str | None = None
    mode: str = "auto"
    tags: list[str] = field(default_factory=list)


@dataclass
class Paths:
    """Folders.

    Args:
        output_dir: the folder of all run folders.
        data_dir: the folder of all data sets.
    """

    output_dir: str = MISSING
    data_dir: str = MISSING


@dataclass
class Train:
    """The options of ``train``.

    Args:
        name: the first part of the name of the run folder; the second is a hash of the settings that can change the
            result.
        seed: seed of all random numbers.
        seeds: number of seeds, counted from ``seed``, to train at once, as one batched model if the model supports it.
        parameters: choose the largest hidden_size with at most this number of parameters.
        average_weights: decay of a moving average of the weights, which is validated, tested and saved; 0.999 averages
            over about the last 1,000 training steps.
        matmul_precision: precision of float32 matrix products on a GPU: highest, high (TF32) or medium (bfloat16).
        flush_denormals: whether a CPU replaces numbers below 1.2e-38 by 0; vanishing gradients are far slower without
            it.
        style: style of the figures: paper (one column wide), slides or dark.
        find: lr or batch_size: only search this value for the run, without training.
        model: the network.
        task: the data, their loss and metrics.
        metrics: further metrics by import path: functions of prediction and target, or classes of torchmetrics.
        optimizer: an optimizer of torch.optim by name, for example optimizer.name=Adagrad.
        schedule: schedule of the learning rate: cosine, or a class of torch.optim.lr_scheduler by name.
        trainer: arguments of Lightning's Trainer.
        callbacks: callbacks of the training loop.
        logger: further loggers of the run: wandb, tensorboard, csv, mlflow, several as a list, or none.
        paths: folders of runs and data.
    """

    name: str = MISSING
    seed: int = MISSING
    seeds: int = 1
    parameters: int | None = None
    average_weights: float | None = None
    matmul_precision: str = "highest"
    flush_denormals: bool = True
    style: str = "paper"
    find: str | None = None
    model: Any = MISSING
    task: Any = MISSING
    metrics: list[str] = field(default_factory=list)
    optimizer: Any = MISSING
    schedule: Any = None
    trainer: Trainer = field(default_factory=Trainer)
    callbacks: Any = MISSING
    logger: Any = MISSING
    paths: Any = MISSING


@dataclass
class Evaluate:
    """The options of ``evaluate``.

    Args:
        run: the folder of the run.
        checkpoint: ``best`` or ``last``.
        trainer: the device; accelerator=cpu or accelerator=gpu chooses it, as in train.
        data_dir: the folder of all data sets.
        task: changed options of the task of the run, to use other data: for example task={dataset:kmnist}.
        metrics: further metrics by import path, as in train.
        predictions: whether the prediction for each test sample is written, as a CSV.
        trust: modules whose code the config.yaml of the run may use, for example trust=my_cells.
    """

    run: str = MISSING
    checkpoint: str = "best"
    trainer: Device = field(default_factory=Device)
    data_dir: str = "${oc.env:BIONETS_DATA,data}"
    task: dict[str, Any] = field(default_factory=free_mapping)
    metrics: list[str] = field(default_factory=list)
    predictions: bool = False
    trust: Any = None  # modules whose code the config.yaml of the run may use


@dataclass
class Compare:
    """The options of ``compare``.

    Args:
        runs: a folder with runs in or below it, or a glob; with source=wandb a project, entity/project.
        by: the config key that defines groups of runs; with several keys, as a list, the others define panels.
        where: only runs with these values in their config, as in where={task.length:300}.
        metrics: the metrics, for example metrics=[test/accuracy,parameters]; null for all headline numbers.
        unfinished: whether the curves also include runs that have not ended.
        columns: one key of by, whose values become the columns of table.md, with a table for each metric.
        curves: names of curves in metrics.csv; null for train/loss, val/loss and val/accuracy.
        output_dir: the folder of the tables and figures.
        source: folders or wandb.
        style: style of the figures: paper (one column wide), slides or dark.
        report: wandb also writes a W&B report.
        leaderboard: path of a file to write, such as leaderboard.md, with a table for each task; nothing else is
            written.
        wandb: sync only uploads the offline runs to W&B, without a comparison.
    """

    runs: str = "outputs"
    by: Any = "model"
    where: Any = None
    metrics: list[str] | None = None
    unfinished: bool = False
    columns: str | None = None
    curves: list[str] | None = None
    output_dir: str = "comparison"
    source: str = "folders"
    style: str = "paper"
    report: str | None = None
    leaderboard: str | None = None
    wandb: str | None = None


@dataclass
class Analyse:
    """The options of ``analyse``.

    Args:
        run: the folder of one run; results are written to its folder analysis/.
        runs: instead of run, a folder with runs in or below it, or a glob: one table and one figure of the splits of
            all runs.
        method: spatial, for the tasks of the neurons of a spatial network; or dynamics, for a recurrent network.
        unit: with method=dynamics, the element of the state in its diagrams; null for the most bistable one.
        steps: the steps to run, from record, split, score and plot.
        methods: methods of splitting: greedy, probability, rescale, activations, clusters.
        by: with runs, the config keys that define groups, in addition to task.presentation.
        data: train, val or test, or with method=dynamics a test set by its name: the data that the network is shown.
        task: changed options of the task of the run, to use other data: for example task={dataset:kmnist}.
        reduction: the recorded statistic of an activation: its variance, or the mean of its absolute value.
        style: style of the figures: paper (one column wide), slides or dark.
        animation: with plot, also an animation of the positions during training.
        film: deprecated name of animation.
        checkpoint: best or last.
        seed: seed of the split by probability and of the clusters.
        output_dir: the folder of the table and the figure of many runs.
        data_dir: the folder of all data sets.
        trust: modules whose code the config.yaml of a run may use, for example trust=my_cells.
    """

    run: str | None = None
    runs: str | None = None
    method: str = "spatial"
    unit: int | None = None
    steps: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    by: list[str] = field(default_factory=list)
    data: str = "test"
    task: dict[str, Any] = field(default_factory=free_mapping)
    reduction: str = "variance"
    style: str = "paper"
    animation: bool = True
    film: bool | None = None
    checkpoint: str = "best"
    seed: int = 0
    output_dir: str = "analysis"
    data_dir: str = MISSING
    trust: Any = None


@dataclass
class Runs:
    """The options of ``runs``.

    Args:
        runs: a folder with runs in or below it, or a glob.
        status: only runs with this status: complete, running, failed, interrupted, pruned, stopped (killed) or
            unreadable.
        where: only runs with these values in their config, as in where={task.length:300}.
        metric: the metric to show; null for the first accuracy, otherwise the first headline number.
        sort: changed, status, task, model, metric or duration; a minus sign means descending order.
        figures: whether the figures of each run are listed.
        delete: delete the folders of runs with this status, after confirmation: failed, interrupted, pruned or stopped.
        yes: delete without confirmation.
    """

    runs: str = "outputs"
    status: Any = None
    where: Any = None
    metric: str | None = None
    sort: str = "changed"
    figures: bool = False
    delete: Any = None
    yes: bool = False
