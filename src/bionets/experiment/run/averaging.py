"""An average of a model's weights over the last training steps, which is validated, tested and kept in their place."""

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

# Where a checkpoint has what training goes on from, and the average where the model's own dtype would round it.
TRAINING_WEIGHTS, AVERAGE = "training_weights", "average_weights"

Weights = dict[str, Tensor]


class AverageWeights(Callback):
    """After training step n, average_n = Σₖ decayⁿ⁻ᵏ wₖ / Σₖ decayⁿ⁻ᵏ over the weights w₁ … wₙ after each step.

    Training goes on as if there were no average. A constant learning rate keeps the weights moving around a good place;
    the average is nearer to it (Polyak and Juditsky, SIAM Journal on Control and Optimization 1992). Averaged is all
    that is floating-point in the model's ``state_dict``; it is what checkpoints have under that name.

    Args:
        decay: about the last 1 / (1 − decay) steps count.

    Raises:
        ValueError: a decay that does not lie between 0 and 1.
    """

    def __init__(self, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"average_weights must lie between 0 and 1, got {decay}")
        self.decay = decay
        self.steps = 0  # averaged over
        self.weights: Weights = {}  # the model's own tensors
        self.average: Weights = {}  # in float32 or float64: small changes would be lost in bfloat16
        self.training: Weights = {}  # a copy of the weights while the average is in their place
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
        # The model has the average by now. That is what a test wants; if training starts, it goes on from these.
        self.restored = checkpoint[TRAINING_WEIGHTS]
        self.restored_average = checkpoint.get(AVERAGE, {})


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """float32 for a dtype of less precision, else itself."""
    return torch.promote_types(dtype, torch.float32)


def copy_weights(values: Weights, weights: Weights) -> None:
    """Write values into the tensors of the same names."""
    for name, value in weights.items():
        value.copy_(values[name])
