"""What every task can be told."""

from dataclasses import dataclass

from omegaconf import II, MISSING


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
