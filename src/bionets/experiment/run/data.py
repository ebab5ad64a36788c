"""Checks of the data of a task, and of the limits of a trainer, before anything is written."""

from collections.abc import Mapping
from copy import copy
from typing import Any

from bionets.experiment.errors import UserError
from bionets.tasks import Task
from bionets.tasks.checks import check_batch, check_loss


def prepare_data(task: Task, trainer: Mapping[str, Any] | None = None, *, trains: bool = True) -> None:
    """Download the files of a task if necessary, and check its data against its spec, the limits of the trainer's
    config and, with ``trains``, its loss, before anything is written. Raises UserError.
    """
    try:
        task.prepare_data()
        batch = next(iter(task.train_batches(0)))
        check_batch(task.spec, *batch)
        check_batch(task.spec, *next(iter(one_loader(task.val_dataloader()))))
        if trainer is not None:
            refuse_no_batches(trainer, task)
        if trains:
            check_loss(copy(task).loss, task.spec, *batch)  # a loss that counts its calls begins with 0
    except (ValueError, NotImplementedError) as error:
        raise UserError(str(error)) from error
    except (MemoryError, RuntimeError) as error:
        too_large = ("allocate memory", "Storage size calculation overflowed")
        if isinstance(error, RuntimeError) and not any(text in str(error) for text in too_large):
            raise
        raise UserError(
            "the data of the task do not fit into memory: choose less of them, as in task.train_size=1000"
        ) from error


def one_loader(loader: Any) -> Any:
    """The validation loader of a task. Raises UserError if it is a list of several."""
    if isinstance(loader, list | tuple):
        raise UserError("val_dataloader of the task must return one loader, got a list")
    return loader


def refuse_no_batches(trainer: Mapping[str, Any], task: Task) -> None:
    """Raise UserError for a training loader without a length, and for a share of the validation or test batches that
    is less than a batch, or is that of a loader without a length.
    """
    if type(task).train_dataloader is not Task.train_dataloader and length_of(task.train_dataloader()) is None:
        raise UserError("train_dataloader of the task has no length: give its loader __len__, the number of batches")
    for key, loaders in (
        ("overfit_batches" if trainer["overfit_batches"] else "limit_val_batches", task.val_dataloader),
        ("limit_test_batches", task.test_dataloader),
    ):
        limit = trainer[key]
        if isinstance(limit, float) and limit < 1:  # 1 is a batch, 1.0 all of them
            found = loaders()
            for loader in found if isinstance(found, list | tuple) else [found]:
                refuse_share(f"trainer.{key}={limit}", limit, length_of(loader))


def refuse_no_training(arguments: dict[str, Any], task: Task) -> None:
    """Raise UserError for settings under which no epoch would be validated, so that there is no best epoch."""
    interval = arguments["val_check_interval"]
    batches = task.train_batches_per_epoch
    key = "overfit_batches" if arguments["overfit_batches"] else "limit_train_batches"
    limit = arguments[key]
    if isinstance(limit, int):
        batches = min(batches, limit)
    elif limit is not None:
        refuse_share(f"trainer.{key}={limit}", limit, batches)
        batches = int(batches * limit)
    if interval is not None and not 0 < interval <= (batches if isinstance(interval, int) else 1):
        raise UserError(
            f"trainer.val_check_interval={interval} must be a share of an epoch, above 0 and at most 1.0, "
            f"or a number of batches, at most {batches}"
        )
    if arguments["check_val_every_n_epoch"] > arguments["max_epochs"]:
        raise UserError("trainer.check_val_every_n_epoch is above trainer.max_epochs: no epoch would be validated")
    first = -(-batches // arguments["accumulate_grad_batches"]) * arguments["check_val_every_n_epoch"]
    if arguments["max_steps"] != -1 and arguments["max_steps"] < first:
        raise UserError(
            f"trainer.max_steps={arguments['max_steps']} ends before the first validated epoch: give at least "
            f"{first}, or shorten epochs with trainer.limit_train_batches"
        )


def refuse_share(option: str, share: float, batches: int | None) -> None:
    """Raise UserError for a share of batches that is less than one batch; None is an unknown number of batches."""
    if batches is None:
        raise UserError(f"{option} is a share of batches whose number is not known: give a whole number")
    if int(share * batches) == 0:
        raise UserError(f"{option} of {batches} batches is less than one: give a larger share, or a whole number")


def length_of(loader: Any) -> int | None:
    """The number of batches of a loader; None if it is not known."""
    try:
        return len(loader)
    except TypeError:
        return None
