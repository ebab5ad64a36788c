"""Single runs in the training of several seeds, and the calls of their callbacks."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from bionets.experiment.config.resolve import RunConfig
from bionets.experiment.logging.mirrors import check_mirrors
from bionets.experiment.run.build import build_run
from bionets.experiment.run.callbacks import NonFiniteLoss, Record, StopAfter, StopBelow
from bionets.experiment.run.checkpoints import checkpoint_callbacks, read_checkpoint
from bionets.experiment.run.result import note_failure
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.seeds.journal import all_or_none, last_whole
from bionets.experiment.seeds.stacked_models import StackedModels
from bionets.models import Model
from bionets.tasks import Task

NON_FINITE = re.compile(r"loss became (nan|-?inf) at step")  # the only error that ends one seed without the others


@dataclass(eq=False)
class Seed:
    """One of the runs. error: the error that ended its training before the others; over: whether its training has
    ended.
    """

    task: Task
    model: Model
    run: RunConfig
    folder: RunFolder
    error: NonFiniteLoss | None
    over: bool = False

    @classmethod
    def of(cls, run: RunConfig) -> "Seed":
        check_mirrors(run.values["logger"])
        task, model, run = build_run(run)
        folder = RunFolder.of(run.values, run.digest)
        folder.require_seed(run.values["seed"])
        result = folder.result() or {}
        failed = result.get("status") == "failed" and NON_FINITE.search(result["error"])
        return cls(task, model, run, folder, NonFiniteLoss(result["error"]) if failed else None)

    @cached_property
    def callbacks(self) -> list[Callback]:
        record = Record(self.folder.metrics_file, self.folder.last)
        return [record, *checkpoint_callbacks(self.run.values, self.task, self.folder)]

    @cached_property
    def next_epoch(self) -> int:
        """The first epoch to train."""
        return 0 if self._last is None else self._last["epoch"] + 1

    def epochs_in_checkpoint(self) -> int:
        """The number of epochs that its checkpoint holds now, as in the checkpoints of all seeds."""
        file = last_whole(self.folder)
        return 0 if file is None else read_checkpoint(file)["epoch"] + 1

    @cached_property
    def stopped(self) -> bool:
        """Whether its training was stopped early, by `StopAfter` or `StopBelow`."""
        if self._last is None or self.next_epoch < (self.run.values["trainer"]["min_epochs"] or 0):
            return False
        states, patience = self._last["callbacks"], self.run.values["callbacks"]["patience"]
        waited = states.get(StopAfter.__qualname__, {}).get("waited", 0)
        solved = bool(states.get(StopBelow.__qualname__, {}).get("reached"))
        return solved or (patience is not None and waited >= patience)

    @cached_property
    def _last(self) -> dict[str, Any] | None:
        file = last_whole(self.folder)
        return None if file is None else read_checkpoint(file)


class View:
    """The trainer for the callbacks of one run, with the metrics and the ``should_stop`` of this run."""

    should_stop = False
    loggers: tuple[()] = ()

    def __init__(self, trainer: Trainer, values: dict[str, Tensor]) -> None:
        self._trainer = trainer
        self.callback_metrics = dict(values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trainer, name)


class PerSeedCallback(Callback):
    """Calls the callbacks of each run. After a run has stopped early or failed, only the others continue."""

    def __init__(self, seeds: Sequence[Seed], models: StackedModels) -> None:
        self.seeds, self.models = list(seeds), models

    def state_dict(self) -> dict[str, Any]:
        kept = [{callback.state_key: callback.state_dict() for callback in seed.callbacks} for seed in self.seeds]
        return {"seeds": [{key: state for key, state in each.items() if state} for each in kept]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for seed, states in zip(self.seeds, state["seeds"], strict=True):
            for callback in seed.callbacks:
                if callback.state_key in states:
                    callback.load_state_dict(states[callback.state_key])

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        self._call("setup", trainer, module, stage)

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._call("on_train_start", trainer, module)

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._call("on_train_epoch_start", trainer, module)

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        losses = outputs["losses"] / trainer.accumulate_grad_batches  # as Lightning does with the loss of one run
        for number, loss in enumerate(losses.unbind()):
            self._call_one(number, "on_train_batch_end", trainer, module, {"loss": loss}, batch, batch_index)

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._call("on_validation_start", trainer, module)
        self.models.over = {number for number, seed in enumerate(self.seeds) if seed.over}

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._call("on_validation_end", trainer, module)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        with all_or_none([seed.folder for seed in self.seeds if not seed.over] or [self.seeds[0].folder]):
            self._call("on_train_epoch_end", trainer, module)
        trainer.should_stop = trainer.should_stop or all(seed.over for seed in self.seeds)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._call("on_train_end", trainer, module)

    def _call(self, hook: str, trainer: Trainer, module: LightningModule, *arguments: Any) -> None:
        for number in range(len(self.seeds)):
            self._call_one(number, hook, trainer, module, *arguments)

    def _call_one(self, number: int, hook: str, trainer: Trainer, module: LightningModule, *arguments: Any) -> None:
        seed = self.seeds[number]
        if seed.over:
            return
        view = View(trainer, self.models.values[number])
        try:
            for callback in seed.callbacks:
                getattr(callback, hook)(view, module, *arguments)
        except NonFiniteLoss as error:
            seed.error, seed.over = error, True
            note_failure(seed.folder, error)  # now, in case the process is killed
        # The number of completed epochs, by which Lightning decides too.
        ended = trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        seed.over = seed.over or (view.should_stop and ended >= (trainer.min_epochs or 0))
