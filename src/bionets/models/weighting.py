"""The loss of a batch, and its weight in the loss of an optimizer step."""

from typing import Any

from lightning import Trainer
from torch import Tensor


def loss_of(task: Any, prediction: Tensor, target: Tensor) -> Tensor:
    """The loss of the answers of a batch, see `TaskSpec.only_scored`. Without any answer it is 0, and so is its
    gradient; a mean would be NaN."""
    loss: Tensor = task.loss(prediction, target) if len(target) else prediction.sum()
    return loss


def share_of_step(trainer: Trainer, batch_index: int) -> float:
    """The share of this batch, in this process, in the samples of its optimizer step, or in other units over which the
    loss is a mean (`Task.scored_steps`).

    An optimizer step uses ``accumulate_grad_batches`` successive batches (fewer at the end of an epoch) of all
    processes. Its loss is the mean over all its samples: the sum over batches and processes of share · loss.
    """
    together = trainer.accumulate_grad_batches
    loader: Any = trainer.train_dataloader
    first = batch_index // together * together
    last = min(first + together, int(trainer.num_training_batches))
    batches = (last - first) * trainer.world_size
    if batches == 1 or not hasattr(loader, "shares"):  # the whole step, or another loader: equal batches
        return 1 / batches
    return loader.shares[batch_index] / (sum(loader.sizes[first:last]) or 1)


def weighted_loss(trainer: Trainer, loss: Tensor) -> Tensor:
    """The weighted loss of a batch, such that the gradient of the optimizer step is that of the mean over its samples.
    Lightning divides the loss by ``accumulate_grad_batches``, and averages gradients over processes.
    """
    share = share_of_step(trainer, trainer.fit_loop.batch_idx)
    weight = share * trainer.accumulate_grad_batches * trainer.world_size
    return loss if weight == 1 else loss * weight


def has_samples(loader: Any, batch_index: int) -> bool:
    """Whether a batch has samples of this process. With fewer samples than processes, some have only a copy."""
    return not hasattr(loader, "own_rows") or loader.own_rows[batch_index] > 0
