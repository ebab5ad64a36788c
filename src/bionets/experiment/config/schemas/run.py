"""Schemas of everything but model and task: trainer, loggers, folders, commands."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING, DictConfig

MAPPING = dict[str, Any]


def free_mapping() -> Any:
    """An empty mapping to which the command line may add keys without a plus."""
    return DictConfig({}, ref_type=MAPPING, is_optional=False, flags={"struct": False})


@dataclass
class Trainer:
    """Lightning's own Trainer arguments, by their own names and with their own defaults, except where a comment says
    otherwise. Where an int means a number of batches and a float a share of them, the type is kept as it was given.
    """

    accelerator: str = "auto"
    devices: Any = "auto"
    strategy: str = "auto"
    num_nodes: int = 1
    precision: str = "32-true"
    max_epochs: int | None = None  # None: as many as the task's protocol says
    min_epochs: int | None = None
    max_steps: int = -1
    min_steps: int | None = None
    max_time: str | None = None
    fast_dev_run: bool | int | None = None  # so many batches (true: 1) of training, validation and test; no run folder
    limit_train_batches: int | float | None = None
    limit_val_batches: int | float | None = None
    limit_test_batches: int | float | None = None
    overfit_batches: int | float = 0.0  # the batches of epoch 0 in every epoch
    val_check_interval: int | float | None = None  # None: at the end of an epoch
    check_val_every_n_epoch: int = 1
    log_every_n_steps: int = 1  # how many steps apart the rows of train/loss in metrics.csv are
    accumulate_grad_batches: int = 1
    tbptt: int | None = None  # ours: train in chunks of so many time steps, between which no graph is kept
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
        patience: training ends after so many validations without a better monitored value; None for never.
        extra: further callbacks of Lightning by a name of your choice, each by its _target_.
    """

    progress: bool = True
    figures: bool = True
    patience: int | None = None
    extra: dict[str, Any] = field(default_factory=free_mapping)


@dataclass
class Logger:
    """Logging to W&B. ``mode``: auto (online where logged in, else offline), online, offline, disabled."""

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
        name: the first half of the run folder's name; the second is a hash of what can change the result.
        seed: of everything random.
        seeds: so many seeds at once, counted up from ``seed``, as one batched model where the model allows it.
        parameters: of models with a hidden_size, the largest with at most so many parameters.
        average_weights: 0.999 validates, tests and keeps an average over about the last 1,000 training steps.
        matmul_precision: of float32 matrix products on a GPU: highest, high (TF32) or medium (bfloat16).
        flush_denormals: whether a CPU takes numbers below 1.2e-38 for 0; vanishing gradients are far slower without.
        style: of the figures: paper (one column wide), slides or dark.
        find: lr or batch_size: search one for this run, and train nothing.
        model: the network.
        task: the data, their loss and metrics.
        metrics: further metrics by import path: functions of prediction and target, or classes of torchmetrics.
        optimizer: any of torch.optim by name, as in optimizer.name=Adagrad.
        schedule: of the learning rate: cosine, or any of torch.optim.lr_scheduler by name.
        trainer: Lightning's own Trainer arguments.
        callbacks: what happens around training.
        logger: where a run is mirrored: wandb, tensorboard, csv, mlflow, several as a list, or none.
        paths: where things lie.
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
        accelerator: auto, cpu or gpu.
        data_dir: the folder of all data sets.
        task: options of the run's task to change, as in task={dataset:kmnist}: other data than those of training.
        metrics: further metrics by import path, as in train.
        trust: modules whose code the run's config.yaml may name, as in trust=my_cells.
    """

    run: str = MISSING
    checkpoint: str = "best"
    accelerator: str = "auto"
    data_dir: str = "${oc.env:BIONETS_DATA,data}"
    task: dict[str, Any] = field(default_factory=free_mapping)
    metrics: list[str] = field(default_factory=list)
    trust: Any = None  # modules whose code the run's config.yaml may name


@dataclass
class Compare:
    """The options of ``compare``.

    Args:
        runs: a folder with runs in or below it, or a glob; with source=wandb a project, entity/project.
        by: the config key that tells groups apart; of several, as a list, the others make panels.
        where: only runs whose config says so, as in where={task.length:300}.
        metrics: some, as in metrics=[test/accuracy,parameters]; null for all headline numbers.
        columns: one key of by, whose values are then the columns of table.md, a table for each metric.
        curves: names in metrics.csv; null for train/loss, val/loss and val/accuracy.
        output_dir: for the tables and figures.
        source: folders or wandb.
        style: of the figures: paper (one column wide), slides or dark.
        report: wandb also writes a W&B report.
        leaderboard: a file, leaderboard.md, with a table of all runs for each task; nothing else is written.
        wandb: sync sends the offline runs to W&B, and compares nothing.
    """

    runs: str = "outputs"
    by: Any = "model"
    where: Any = None
    metrics: list[str] | None = None
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
        run: the folder of one run, into whose folder analysis/ everything goes.
        runs: or a folder with runs in or below it, or a glob: the splits of all, as one table and one figure.
        method: spatial, what each neuron of a spatial network is for; or dynamics, of a recurrent network.
        unit: with method=dynamics, the element of the state in its diagrams; null for the most bistable one.
        steps: some of record, split, score and plot.
        methods: of splitting: greedy, probability, rescale, activations, clusters.
        by: with runs, the config keys that tell groups apart, beside task.presentation.
        data: train, val or test, or with method=dynamics a test set by its name: the data that the network is shown.
        task: options of the run's task to change, as in task={dataset:kmnist}: other data than those of training.
        reduction: what is recorded of an activation: its variance, or the mean of its size.
        style: of the figures: paper (one column wide), slides or dark.
        animation: with plot, also an animation of the positions during training.
        film: deprecated name of animation.
        checkpoint: best or last.
        seed: of what is random: the split by probability, and the clusters.
        output_dir: for the table and the figure of many runs.
        data_dir: the folder of all data sets.
        trust: modules whose code a run's config.yaml may name, as in trust=my_cells.
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
        status: only these: complete, running, failed, interrupted, pruned, stopped (killed) or unreadable.
        where: only runs whose config says so, as in where={task.length:300}.
        metric: the number that is shown; null for the first accuracy, else the first headline number.
        sort: changed, status, task, model, metric or duration; with a minus in descending order.
        figures: whether the figures of each run are named.
        delete: delete the folders with this status: failed, interrupted, pruned or stopped; asks first.
        yes: do not ask.
    """

    runs: str = "outputs"
    status: Any = None
    where: Any = None
    metric: str | None = None
    sort: str = "changed"
    figures: bool = False
    delete: Any = None
    yes: bool = False
