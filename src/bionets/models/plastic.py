"""The base class of models that learn by local rules, without gradients."""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import Generator, Tensor

from bionets.layers.plastic import Network
from bionets.models.model import Model, OptimizerFactory
from bionets.tasks.spec import TaskSpec

EVALUATION_SEED = 0  # seed of random numbers in validation and test, so that a model is always measured in the same way


class PlasticModel(Model):
    """The base class of families whose weights change during the forward pass, by rules of `bionets.layers.plastic`.

    Such a family implements `training_step`, which must call `count_step` at its end. The optimizer and the schedule of
    the config are not used. Random numbers are drawn from PyTorch's default generator in training, and from ``random``
    in validation and test.
    """

    abstract = True
    uses_optimizer = False
    exportable = False
    network: Network

    def __init__(self, spec: TaskSpec, optimizer: OptimizerFactory | None = None) -> None:
        super().__init__(spec, optimizer)
        self.automatic_optimization = False
        self.random: Generator | None = None

    def setup(self, stage: str) -> None:
        if stage == "fit" and self.trainer.world_size > 1:
            raise MisconfigurationException(
                "a model that learns by plasticity cannot share its learning between processes: "
                "choose accelerator=cpu or trainer.devices=1"
            )
        if stage == "fit" and self.trainer.precision in ("16-true", "bf16-true"):
            raise MisconfigurationException(
                f"trainer.precision={self.trainer.precision} loses the small changes by which a model learns by "
                "plasticity: choose trainer.precision=32-true"
            )

    def configure_optimizers(self) -> Any:
        """An optimizer that changes nothing, with which Lightning counts training steps."""
        return torch.optim.SGD(self.parameters(), lr=0.0)

    def count_step(self) -> None:
        """Tell Lightning that a training step is complete."""
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        optimizer.step()

    def on_train_epoch_start(self) -> None:
        self.random = None

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self.random = Generator().manual_seed(EVALUATION_SEED)

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self.random = None

    def on_test_epoch_start(self) -> None:
        super().on_test_epoch_start()
        self.random = Generator().manual_seed(EVALUATION_SEED)

    def draw_presentation(self, directory: Path, title: str, spikes: Tensor, reward: float | None = None) -> Path:
        """Draw the network while it learns from one sample ``[T, 1, N]``, as ``presentation.png``."""
        from bionets.analysis.presentation import draw_presentation, trace_presentation

        presentation = trace_presentation(self.network, spikes, reward)
        return draw_presentation(directory / "presentation.png", presentation, title)
