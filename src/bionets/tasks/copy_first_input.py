"""Copy-first-input: remember the first number of a sequence of noise."""

import torch
from torch import Generator, Tensor
from torch.nn import functional
from torchmetrics import MeanSquaredError, MetricCollection

from .checks import require_at_least
from .spec import TaskSpec
from .task import Data, Task


class CopyFirstInput(Task):
    """After ``length`` independent N(0, 1) scalars, predict the first scalar.

    x is ``[length, B, 1]`` and the target is x[0], ``[B, 1]``. The loss is the mean squared error; a model without
    memory reaches 1. The training set is fixed, and is shuffled again in every epoch.

    Args:
        length: number of time steps of a sequence.
        stop_below: training ends once the validation error is below this value; None for never.
        others: see `Task`.

    Source: Vecoven, Ernst and Drion, "A bio-inspired bistable recurrent cell allows for long-lasting memory",
    PLoS ONE 2021, first benchmark; sizes, batch and stopping rule as in its PyTorch port brc_pytorch, where length is
    5, 100 or 300.
    """

    spec = TaskSpec("sequence_to_value", input_size=1, output_size=1)

    def __init__(
        self,
        length: int = 300,
        train_size: int = 45_000,
        val_size: int = 5_000,
        test_size: int = 5_000,
        batch_size: int = 100,
        epochs: int = 60,
        stop_below: float | None = 0.1,
        seed: int = 0,
    ) -> None:
        require_at_least(1, length=length)
        if stop_below is not None and not stop_below > 0:
            raise ValueError(f"task.stop_below must be above 0, or null to never stop early, got {stop_below}")
        super().__init__(train_size, val_size, test_size, batch_size, epochs, stop_below=stop_below, seed=seed)
        self.length = length

    def draw(self, split: str, size: int, generator: Generator) -> Data:
        """x ``[length, size, 1]`` and its first step ``[size, 1]``."""
        x = torch.randn(size, self.length, 1, generator=generator).transpose(0, 1)
        return x, x[0]

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean squared error."""
        return functional.mse_loss(prediction, target)

    def metrics(self) -> MetricCollection:
        """``mse``."""
        return MetricCollection({"mse": MeanSquaredError()})
