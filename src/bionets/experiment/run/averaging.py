"""A moving average of the weights of a model over training steps, which is validated, tested and saved."""

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from bionets.experiment.errors import UserError

# Keys of a checkpoint: the weights from which training continues, and the average if the model's dtype would round it.
TRAINING_WEIGHTS, AVERAGE = "training_weights", "average_weights"

Weights = dict[str, Tensor]


class AverageWeights(Callback):
    """Averages the weights w₁ … wₙ after each training step: average_n = Σₖ decayⁿ⁻ᵏ wₖ / Σₖ decayⁿ⁻ᵏ.

    The average has no effect on training. With a constant learning rate, the weights keep moving around a minimum; the
    average is closer to it (Polyak and Juditsky, SIAM Journal on Control and Optimization 1992). All floating-point
    values in the model's ``state_dict`` are averaged; checkpoints hold the average under this name.

    Args:
        decay: decay constant of the average; about the last 1 / (1 − decay) steps count.

    Raises:
        UserError: ``decay`` is not above 0 and below 1.
    """

    def __init__(self, decay: float) -> None:
        if not 0 < decay < 1:
            raise UserError(f"average_weights must be above 0 and below 1, got {decay}")
        self.decay = decay
        self.steps = 0  # number of steps averaged over
        self.weights: Weights = {}  # the model's own tensors
        self.average: Weights = {}  # in float32 or float64: small changes would be lost in bfloat16
        self.training: Weights = {}  # a copy of the weights while the model has the average
        self.restored: Weights = {}
        self.restored_average: Weights = {}

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        self.steps = trainer.global_step
        self.weights = {name: value for name, value in model.state_dict().items() if value.is_floating_point()}
        self.average = {
            name: self.restored_average.get(name, value).to(value.device, accumulation_dtype(value.dtype), copy=True)
            for name, value in self.weights.items()
        }
        for name, value in self.restored.items():
            self.weights[name].copy_(value)

    def on_train_batch_end(
        self, trainer: Trainer, model: LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        if trainer.global_step == self.steps:  # gradients are still being accumulated
            return
        self.steps = trainer.global_step
        share = (1 - self.decay) / (1 - self.decay**self.steps)
        update = get_ema_multi_avg_fn(1 - share)
        weights = [value.to(accumulation_dtype(value.dtype)) for value in self.weights.values()]
        update(list(self.average.values()), weights, self.steps)

    def on_validation_start(self, trainer: Trainer, model: LightningModule) -> None:
        self.training = {name: value.clone() for name, value in self.weights.items()}
        copy_weights(self.average, self.weights)

    def on_validation_end(self, trainer: Trainer, model: LightningModule) -> None:
        copy_weights(self.training, self.weights)
        self.training = {}

    def on_train_end(self, trainer: Trainer, model: LightningModule) -> None:
        copy_weights(self.average, self.weights)
        self.weights, self.average = {}, {}  # the model has the average from now on

    def on_save_checkpoint(self, trainer: Trainer, model: LightningModule, checkpoint: dict[str, Any]) -> None:
        average = {name: value.to(self.weights[name].dtype) for name, value in self.average.items()}
        checkpoint["state_dict"] = {**checkpoint["state_dict"], **average}
        checkpoint[TRAINING_WEIGHTS] = self.weights
        rounded = {name: value for name, value in self.average.items() if value.dtype != average[name].dtype}
        if rounded:
            checkpoint[AVERAGE] = rounded

    def on_load_checkpoint(self, trainer: Trainer, model: LightningModule, checkpoint: dict[str, Any]) -> None:
        # The model has the average by now, which a test uses. Training continues from these weights.
        self.restored = checkpoint[TRAINING_WEIGHTS]
        self.restored_average = checkpoint.get(AVERAGE, {})


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """float32 for a dtype of lower precision, otherwise the dtype itself."""
    return torch.promote_types(dtype, torch.float32)


def copy_weights(values: Weights, weights: Weights) -> None:
    """Write values into the tensors of the same names."""
    for name, value in weights.items():
        value.copy_(values[name])
