"""Denoising: remember the marked numbers of a noisy stream, and repeat them in order."""

import torch
from torch import Generator, Tensor
from torch.nn import functional
from torchmetrics import MeanSquaredError, MetricCollection

from .checks import require_at_least
from .spec import TaskSpec
from .task import Data, Task

ORDINARY, MARKED, RECALL = -1.0, 0.0, 1.0


class RecallError(MeanSquaredError):
    """Mean squared error over the last steps of the prediction, as many steps as the target has."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(preds[-len(target) :].contiguous(), target)


class Denoising(Task):
    """Repeat the marked numbers of a stream of ``length`` numbers, of which ``marked`` are marked.

    x is ``[length + marked, B, 2]``; each step has a value and a marker:

    - steps 0 to length − 1, the stream: the values are independent N(0, 1); the marker is −1, except at ``marked``
      different steps, drawn uniformly from the first length − ``forgetting_period`` steps, where it is 0;
    - the last ``marked`` steps, the recall: the value is 0 and the marker +1.

    The target ``[marked, B, 1]`` holds the marked values in the order of the stream, one for each recall step. The
    prediction has length + marked steps; loss and metrics use only its last ``marked`` steps. A model without memory
    reaches a mean squared error of 1.

    Args:
        length: number of values in the stream.
        forgetting_period: number of last steps of the stream without marked values.
        marked: number of values to be remembered.
        others: see `Task`.

    Source: Vecoven, Ernst and Drion, "A bio-inspired bistable recurrent cell allows for long-lasting memory",
    PLoS ONE 2021, second benchmark: length 400, five marked values, a forgetting period of 0 or 200. The sizes, batch
    and epochs are those of `CopyFirstInput`.
    """

    spec = TaskSpec("sequence_to_sequence", input_size=2, output_size=1)

    def __init__(
        self,
        length: int = 400,
        forgetting_period: int = 200,
        marked: int = 5,
        train_size: int = 45_000,
        val_size: int = 5_000,
        test_size: int = 5_000,
        batch_size: int = 100,
        epochs: int = 60,
        seed: int = 0,
    ) -> None:
        require_at_least(1, length=length, marked=marked)
        require_at_least(0, forgetting_period=forgetting_period)
        if length < forgetting_period + marked:
            raise ValueError(
                f"task.length must be at least task.forgetting_period + task.marked = {forgetting_period + marked}, "
                f"got {length}"
            )
        super().__init__(train_size, val_size, test_size, batch_size, epochs, seed=seed)
        self.length = length
        self.forgetting_period = forgetting_period
        self.marked = marked

    def draw(self, split: str, size: int, generator: Generator) -> Data:
        """x ``[length + marked, size, 2]`` and the marked values ``[marked, size, 1]``."""
        stream = torch.randn(size, self.length, generator=generator)
        priorities = torch.rand(size, self.length - self.forgetting_period, generator=generator)
        marked_steps = priorities.topk(self.marked, dim=1).indices.sort(dim=1).values

        x = torch.zeros(size, self.length + self.marked, 2)
        value, marker = x.unbind(dim=2)
        value[:, : self.length] = stream
        marker[:, : self.length] = ORDINARY
        marker[:, self.length :] = RECALL
        marker.scatter_(1, marked_steps, MARKED)
        return x.transpose(0, 1), stream.gather(1, marked_steps).T.unsqueeze(2)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean squared error over the recall steps."""
        return functional.mse_loss(prediction[-len(target) :], target)

    def metrics(self) -> MetricCollection:
        """``mse``, over the recall steps."""
        return MetricCollection({"mse": RecallError()})
