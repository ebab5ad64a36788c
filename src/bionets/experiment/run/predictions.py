"""The predictions for all test samples, as a CSV file with a row for each prediction."""

import io
from collections import Counter
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from bionets.csv_text import csv_text
from bionets.experiment.errors import UserError, user_errors
from bionets.tasks import Task


class Predictions(Callback):
    """Collects the predictions of a test.

    The columns are ``set`` (if there are several test sets), ``sample`` (its name in the user's own files, or its
    position in the test set, from 0), ``step`` (if there is a prediction at every step), and those of
    `Task.prediction_columns`.
    """

    def __init__(self, task: Task) -> None:
        if task.spec.kind == "control":
            raise UserError("predictions=true is for tasks with targets: the episodes of a control task have none")
        self.task = task
        self.names = {test: task.test_samples(test) for test in task.test_names}
        self.seen: Counter[str] = Counter()
        self.text = io.StringIO()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_index: int,
        dataloader_idx: int = 0,
    ) -> None:
        if outputs is None:
            raise UserError(f"predictions=true: test_step of {type(module).__name__} does not return its predictions")
        test = self.task.test_names[dataloader_idx]
        x, target, *lengths = batch
        count = x.shape[self.task.spec.batch_dims[0]]
        scored = self.task.spec.scored(target, *lengths)
        prediction, target, samples, steps = self._in_order(outputs, count, scored)
        if not samples:  # no step has a label
            self.seen[test] += count
            return
        names = self.names[test]
        if names is not None and len(names) < self.seen[test] + count:
            raise UserError(f"test_samples of {type(self.task).__name__} names {len(names)} samples: there are more")
        numbers = [self.seen[test] + number for number in samples]
        columns: dict[str, Any] = {} if len(self.task.test_names) == 1 else {"set": [test] * len(numbers)}
        columns["sample"] = numbers if names is None else [names[number] for number in numbers]
        columns |= {} if steps is None else {"step": steps}
        with user_errors("predictions=true: "):
            columns |= self.task.prediction_columns(prediction, target)
        header = () if self.text.tell() else tuple(columns)
        self.text.write(csv_text(header, zip(*columns.values(), strict=True)))
        self.seen[test] += count

    def _in_order(
        self, outputs: dict[str, Tensor], count: int, scored: Tensor | None
    ) -> tuple[Tensor, Tensor, list[int], list[int] | None]:
        """Predictions and targets with one row each, the sample of each row, and its step if there are several."""
        found = (outputs[name].detach().cpu() for name in ("prediction", "target"))
        prediction, target = (each.float() if each.is_floating_point() else each for each in found)
        if self.task.spec.kind != "sequence_to_sequence":
            return prediction, target, list(range(count)), None
        if scored is not None:
            steps, samples = scored.cpu().nonzero(as_tuple=True)
        else:
            steps, samples = torch.ones(len(target), count).nonzero(as_tuple=True)
            steps = steps + len(prediction) - len(target)  # the target may be that of the last steps
            prediction = prediction[-len(target) :]
            prediction, target = prediction.flatten(0, 1), target.flatten(0, 1)
        order = samples.argsort(stable=True)
        return prediction[order], target[order], samples[order].tolist(), steps[order].tolist()
