"""An average of a model's weights over the last training steps, which is validated, tested and kept in their place."""

from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

TRAINING_WEIGHTS = "training_weights"  # where a checkpoint has what training goes on from

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
        self.average: Weights = {}
        self.restored: Weights = {}

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        self.steps = trainer.global_step
        self.weights = {name: value for name, value in model.state_dict().items() if value.is_floating_point()}
        self.average = {name: value.clone() for name, value in self.weights.items()}
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
        update(list(self.average.values()), list(self.weights.values()), self.steps)

    def on_validation_start(self, trainer: Trainer, model: LightningModule) -> None:
        self._swap()

    def on_validation_end(self, trainer: Trainer, model: LightningModule) -> None:
        self._swap()

    def on_train_end(self, trainer: Trainer, model: LightningModule) -> None:
        self._swap()
        self.weights, self.average = {}, {}  # the model has the average from now on

    def on_save_checkpoint(self, trainer: Trainer, model: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["state_dict"] = {**checkpoint["state_dict"], **self.average}
        checkpoint[TRAINING_WEIGHTS] = self.weights

    def on_load_checkpoint(self, trainer: Trainer, model: LightningModule, checkpoint: dict[str, Any]) -> None:
        # The model has the average by now. That is what a test wants; if training starts, it goes on from these.
        self.restored = checkpoint[TRAINING_WEIGHTS]

    def _swap(self) -> None:
        for name, value in self.weights.items():
            kept = value.clone()
            value.copy_(self.average[name])
            self.average[name].copy_(kept)
