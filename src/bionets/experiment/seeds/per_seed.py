"""Callbacks of single runs in the training of several seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from bionets.experiment.run.callbacks import NonFiniteLoss
from bionets.experiment.run.result import note_failure
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.seeds.journal import all_or_none
from bionets.experiment.seeds.stacked_models import StackedModels


@dataclass
class Seed:
    """One of the runs. over: whether its training has ended; error: the error that ended it before the others."""

    folder: RunFolder
    callbacks: list[Callback]
    over: bool = False
    error: Exception | None = None


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
