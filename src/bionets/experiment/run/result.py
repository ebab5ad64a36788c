"""The content of ``result.json``: the results of a complete run, or the reason why a run ended early."""

import contextlib
import math
import traceback
from collections.abc import Iterator
from copy import copy
from itertools import islice
from typing import Any

from torch import Tensor

from bionets.experiment.errors import Pruned, one_line
from bionets.experiment.run.checkpoints import best_score, read_checkpoint
from bionets.experiment.run.custom_metrics import headlines
from bionets.experiment.run.metrics_file import Series, read_metrics
from bionets.experiment.run.published import published
from bionets.experiment.run.run_folder import RunFolder
from bionets.models import Model
from bionets.tasks import Task

MOVING_AVERAGE = 100  # steps; the window of brc_pytorch's curves


def complete_result(
    config: dict[str, Any], model: Model, task: Task, folder: RunFolder, seconds: float
) -> dict[str, Any]:
    """The content of ``result.json`` from the folder's files and the test results."""
    best, last = read_checkpoint(folder.best), read_checkpoint(folder.last)
    series = read_metrics(folder.metrics_file)
    measured = dict(zip(*series.get(task.monitor, ([], [])), strict=True))
    metrics = headlines(task, model.test_results)
    # Killed within an epoch and resumed without time to train it again, a run has no rows of this epoch.
    value = measured.get(best["global_step"] - 1)
    metrics[task.monitor] = best_score(best, task.monitor) if value is None else value
    metrics.update(measured_like_published(config, series))
    count = model.trainer.num_test_batches[0]  # see trainer.limit_test_batches; infinite for a loader without a length
    tested = islice(test_inputs(model, task), int(count) if math.isfinite(count) else None)
    metrics.update(model.eval().test_metrics(tested))
    return {
        "status": "complete",
        "metrics": metrics,
        "tests": model.test_results,
        "epochs": last["epoch"] + 1,
        "steps": last["global_step"],
        "best_epoch": best["epoch"],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "wall_time": seconds,
    }


def test_inputs(model: Model, task: Task) -> Iterator[tuple[Tensor, ...]]:
    """The batches of the first test set of a task: x, and the lengths of its sequences if it has any, on the device and
    in the precision of the model. They are those of all processes.
    """
    task = copy(task)
    task.trainer = None  # whose number of processes shares the batches
    loaders: Any = task.test_dataloader()  # one of the user's own may be alone
    for x, _, *lengths in loaders[0] if isinstance(loaders, list | tuple) else loaders:
        yield model.converted(x), *(each.to(model.device) for each in lengths)


def measured_like_published(config: dict[str, Any], series: Series) -> dict[str, float]:
    """Training losses at the step where a published curve was read off, averaged over earlier steps like that curve."""
    measured = {}
    for name in published(config):
        curve, marked, step = name.partition("_step_")
        if not marked:
            continue
        steps, values = series.get(curve, ([], []))
        window = [value for at, value in zip(steps, values, strict=True) if -MOVING_AVERAGE < at + 1 - int(step) <= 0]
        if window and steps[-1] + 1 >= int(step):
            measured[name] = sum(window) / len(window)
    return measured


def note_failure(folder: RunFolder, error: BaseException) -> None:
    """Write to ``result.json`` why the run ended, with the traceback of a failure. Errors of the disk are ignored. A
    complete run stays complete: the error is that of a logger that could not be closed.
    """
    if folder.complete():
        return
    ends = {KeyboardInterrupt: "interrupted", Pruned: "pruned"}
    status = next((status for kind, status in ends.items() if isinstance(error, kind)), "failed")
    result: dict[str, Any] = {"status": status, "error": one_line(error) or type(error).__name__}
    if status == "failed":
        result["traceback"] = "".join(traceback.format_exception(error)).splitlines()
    with contextlib.suppress(OSError):
        folder.write_result(result)
