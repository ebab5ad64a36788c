"""What the tasks told in spikes, and those played in an environment, can be told."""

from dataclasses import dataclass, field

from omegaconf import II, MISSING

from .task import Task


@dataclass
class Boolean(Task):
    _target_: str = "bionets.tasks.Boolean"
    function: str = "xor"
    steps: int = MISSING
    population: int = MISSING
    low_rate: float = MISSING
    high_rate: float = MISSING
    noise: float = MISSING
    epochs: int = MISSING


@dataclass
class EventRecordings(Task):
    _target_: str = "bionets.tasks.EventRecordings"
    dataset: str = MISSING
    data_dir: str = II("paths.data_dir")
    steps: int = MISSING
    height: int | None = None
    width: int | None = None
    binary: bool = False
    denoise: int | None = None
    epochs: int = MISSING


@dataclass
class Control(Task):
    _target_: str = "bionets.tasks.Control"
    environment_name: str = MISSING
    steps: int = MISSING
    bounds: list[list[float]] = field(default_factory=list)
    best_return: float = MISSING
    solved_from: float = MISSING
    epochs: int = MISSING


EVENT_TASKS: dict[str, type[Task]] = {
    "boolean": Boolean,
    "cart_pole": Control,
    "n_mnist": EventRecordings,
    "n_caltech101": EventRecordings,
    "n_cars": EventRecordings,
}
