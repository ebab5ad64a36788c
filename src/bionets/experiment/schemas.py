"""The shape of every config: one dataclass per choice, so that a misspelt key or a wrong type fails at once with its
full path.

Each file in ``configs/`` inherits its own schema (``/schema/<group>/<name>@_here_``); to add a model or a task of an
existing family, a YAML file on that family's schema is enough.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import II, MISSING, OmegaConf


@dataclass
class Model:
    """What every model has."""

    _target_: str = MISSING
    name: str = MISSING


@dataclass
class RecurrentModel(Model):
    """Any layer with the interface of ``nn.GRU``, read out by a linear layer."""

    _target_: str = "bionets.models.RecurrentModel"
    layer: str = MISSING
    hidden_size: int = 100
    num_layers: int = 1
    dropout: float = 0.0
    bidirectional: bool = False
    layer_arguments: dict[str, Any] = field(default_factory=dict)


@dataclass
class InitialisedRecurrentModel(RecurrentModel):
    """A recurrent layer whose initialisation has a name."""

    initialisation: str = MISSING
    chrono_steps: int | None = None


@dataclass
class StigmergicModel(Model):
    """A stigmergic memory, read out by a small feed-forward network."""

    _target_: str = "bionets.models.StigmergicModel"
    memory_size: int = 15
    recurrent: bool = True
    hidden_layers: int = 1
    hidden_size: int = 20
    clamp_min: float | None = 0.0
    clamp_max: float | None = 10.0
    readout_size: int = 10
    final_prelu: bool = True


@dataclass
class StigmergicPerceptronModel(Model):
    """Two layers of stigmergic perceptrons, read out over all of time."""

    _target_: str = "bionets.models.StigmergicPerceptronModel"
    hidden_size: int = 10


@dataclass
class FeedForwardModel(Model):
    """Fully connected layers over a whole image, or over all steps of a sequence."""

    _target_: str = "bionets.models.FeedForwardModel"
    hidden_size: int = 300
    num_layers: int = 2
    dropout: float = 0.0


@dataclass
class Task:
    """What every task has: sizes of its three sets, and the seed of its data."""

    _target_: str = MISSING
    name: str = MISSING
    seed: int = II("seed")
    train_size: int = MISSING
    val_size: int = MISSING
    test_size: int = MISSING
    batch_size: int = MISSING


@dataclass
class CopyFirstInput(Task):
    _target_: str = "bionets.tasks.CopyFirstInput"
    length: int = MISSING
    epochs: int = MISSING
    stop_below: float | None = None


@dataclass
class BinaryAddition(Task):
    _target_: str = "bionets.tasks.BinaryAddition"
    length: int = MISSING
    min_length: int = MISSING
    test_length: int = MISSING
    min_test_length: int = MISSING
    epochs_per_length: int = MISSING
    curriculum: bool = True


@dataclass
class Denoising(Task):
    _target_: str = "bionets.tasks.Denoising"
    length: int = MISSING
    forgetting_period: int = MISSING
    marked: int = MISSING
    epochs: int = MISSING


@dataclass
class Augmentation:
    shift: float = 0.0
    rotation: float = 0.0
    scale: float = 0.0
    flip: bool = False


@dataclass
class Images(Task):
    _target_: str = "bionets.tasks.Images"
    dataset: str = MISSING
    data_dir: str = II("paths.data_dir")
    read_as: str = "image"
    permuted: bool = False
    blank_steps: int = 0
    threshold: float | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: str = "cross_entropy"
    epochs: int = MISSING


@dataclass
class Optimizer:
    _target_: str = MISSING
    _partial_: bool = True
    lr: float = MISSING
    weight_decay: float = 0.0


@dataclass
class Adam(Optimizer):
    _target_: str = "torch.optim.Adam"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8


@dataclass
class AdamW(Adam):
    _target_: str = "torch.optim.AdamW"


@dataclass
class SGD(Optimizer):
    _target_: str = "torch.optim.SGD"
    momentum: float = 0.0
    nesterov: bool = False


@dataclass
class RMSprop(Optimizer):
    _target_: str = "torch.optim.RMSprop"
    alpha: float = 0.99
    momentum: float = 0.0
    eps: float = 1e-8


@dataclass
class CosineSchedule:
    _target_: str = "bionets.models.cosine_schedule"
    _partial_: bool = True
    warmup: float = 0.0
    final: float = 0.0


@dataclass
class Trainer:
    """Lightning's own Trainer arguments, by their own names and with their own defaults, except where a comment says
    otherwise.
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
    limit_train_batches: Any = None
    limit_val_batches: Any = None
    limit_test_batches: Any = None
    overfit_batches: float = 0.0
    check_val_every_n_epoch: int = 1
    log_every_n_steps: int = 1  # how many steps apart the rows of train/loss in metrics.csv are
    accumulate_grad_batches: int = 1
    gradient_clip_val: float | None = None
    gradient_clip_algorithm: str | None = None
    deterministic: bool | None = None
    benchmark: bool | None = None
    detect_anomaly: bool = False
    sync_batchnorm: bool = False
    profiler: str | None = None


@dataclass
class Callbacks:
    """What happens around training."""

    progress: bool = True
    figures: bool = True


@dataclass
class Logger:
    """Where a run is mirrored. ``mode``: auto (online where logged in, else offline), online, offline, disabled."""

    wandb: bool = True
    project: str = "bionets"
    entity: str | None = None
    mode: str = "auto"
    tags: list[str] = field(default_factory=list)


@dataclass
class Paths:
    output_dir: str = MISSING
    data_dir: str = MISSING


@dataclass
class Train:
    name: str = MISSING
    seed: int = MISSING
    matmul_precision: str = "highest"
    model: Any = MISSING
    task: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = None
    trainer: Trainer = field(default_factory=Trainer)
    callbacks: Any = MISSING
    logger: Any = MISSING
    paths: Any = MISSING


@dataclass
class Evaluate:
    """What ``evaluate.py`` takes."""

    run: str = MISSING
    checkpoint: str = "best"
    accelerator: str = "auto"
    data_dir: str = "${oc.env:BIONETS_DATA,data}"


@dataclass
class Compare:
    """What ``compare.py`` takes."""

    runs: str = MISSING
    by: str = "model"
    output_dir: str = "comparison"


MODELS: dict[str, type[Model]] = {
    "brc": InitialisedRecurrentModel,
    "nbrc": InitialisedRecurrentModel,
    "peephole_lstm": InitialisedRecurrentModel,
    "gru": RecurrentModel,
    "lstm": RecurrentModel,
    "rnn": RecurrentModel,
    "recurrent": RecurrentModel,
    "stigmergic": StigmergicModel,
    "stigmergic_perceptron": StigmergicPerceptronModel,
    "feed_forward": FeedForwardModel,
}
TASKS: dict[str, type[Task]] = {
    "copy_first_input": CopyFirstInput,
    "binary_addition": BinaryAddition,
    "denoising": Denoising,
    "mnist": Images,
    "fashion_mnist": Images,
    "kmnist": Images,
    "qmnist": Images,
}
OPTIMIZERS: dict[str, type] = {"adam": Adam, "adamw": AdamW, "sgd": SGD, "rmsprop": RMSprop}


def register(configs: Path) -> None:
    """Put every schema into Hydra's ConfigStore, under ``schema/``, for the config files in this folder. May be called
    more than once.
    """
    store = ConfigStore.instance()
    groups: dict[str, Mapping[str, type]] = {
        "model": MODELS,
        "task": TASKS,
        "optimizer": OPTIMIZERS,
        "schedule": {"cosine": CosineSchedule},
    }
    for group, schemas in groups.items():
        for name, schema in schemas.items():
            store.store(name=name, node=schema, group=f"schema/{group}")
    single = (
        ("train", Train),
        ("evaluate", Evaluate),
        ("compare", Compare),
        ("callbacks", Callbacks),
        ("logger", Logger),
        ("paths", Paths),
    )
    for name, schema in single:
        store.store(name=name, node=schema, group="schema")
    OmegaConf.register_new_resolver("choices", lambda: choices(configs), replace=True)


def choices(configs: Path) -> str:
    """What each config group offers, one line a group; for the help page."""
    groups = sorted(path for path in configs.iterdir() if path.is_dir() and path.name != "hydra")
    return "\n".join(
        f"  {group.name:<12} {', '.join(sorted(file.stem for file in group.glob('*.yaml')))}" for group in groups
    )
