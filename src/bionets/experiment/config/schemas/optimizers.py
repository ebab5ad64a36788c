"""What each optimiser, and the schedule of its learning rate, can be told."""

from dataclasses import dataclass

from omegaconf import MISSING


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


OPTIMIZERS: dict[str, type] = {"adam": Adam, "adamw": AdamW, "sgd": SGD, "rmsprop": RMSprop}
