"""Trains several seeds of one config as one batched model, and leaves each in a folder as if it had been alone."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from bionets.experiment.config.resolve import RunConfig
from bionets.experiment.errors import UserError, keyboard_interrupts
from bionets.experiment.logging.wandb_mirror import mirror, mirror_epochs
from bionets.experiment.run import environment
from bionets.experiment.run.build import build_run, keeping_epochs, prepare_data, trainer_with
from bionets.experiment.run.callbacks import Record
from bionets.experiment.run.checkpoints import read_checkpoint
from bionets.experiment.run.report import print_stopped
from bionets.experiment.run.result import note_failure
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.run.trained import restoring
from bionets.experiment.seeds.checkpoints import CheckpointOfEachSeed
from bionets.experiment.seeds.each_seed import EachSeed, Seed
from bionets.experiment.seeds.stacked_models import INSTEAD, StackedModels, TasksTogether
from bionets.experiment.sweep.trial import in_trial
from bionets.models import Model
from bionets.tasks import Task


@dataclass(eq=False)
class Member:
    """One of the runs, ready to be trained."""

    task: Task
    model: Model
    run: RunConfig
    folder: RunFolder

    @classmethod
    def of(cls, run: RunConfig) -> "Member":
        task, model, run = build_run(run)
        return cls(task, model, run, RunFolder.of(run.values, run.digest))

    @property
    def next_epoch(self) -> int:
        return read_checkpoint(self.folder.last)["epoch"] + 1 if self.folder.last.exists() else 0


def train_together(runs: Sequence[RunConfig]) -> dict[int, Exception]:
    """Train those runs that are to begin, or to go on, at the same epoch; which of them failed, by seed.

    The others are left to be trained one by one, and all of them to be tested.

    Raises:
        UserError: seeds cannot be batched with this model, optimizer or machine.
    """
    if in_trial():
        raise UserError("a search judges one run at a time: leave out seeds=")
    members = at_one_epoch([member for member in map(Member.of, runs) if not member.folder.complete()])
    if len(members) < 2:
        return {}
    for member in members:
        prepare_data(member.task)
    tasks, folders = [member.task for member in members], [member.folder for member in members]
    models = StackedModels([member.model for member in members], tasks)
    models.try_out(next(iter(TasksTogether(tasks).val_dataloader())))
    seeds = [
        Seed([Record(folder.metrics_file, folder.last), *keeping_epochs(task, folder)])
        for task, folder in zip(tasks, folders, strict=True)
    ]
    trainer = trainer_with(
        [EachSeed(seeds, models)],
        members[0].run.values,
        tasks[0],
        checkpoints=CheckpointOfEachSeed(folders),
        enable_checkpointing=False,  # Lightning's own, of all seeds in one file
    )
    refuse_what_is_shared(trainer)

    with ExitStack() as held:
        for member in members:
            held.enter_context(member.folder.open(member.run.values, member.run.overrides, environment.describe()))
        begun = members[0].next_epoch
        announce(folders, begun)
        try:
            last = folders[0].last if begun else None
            with keyboard_interrupts(), restoring(last):
                trainer.fit(models, datamodule=TasksTogether(tasks), ckpt_path=last, weights_only=True)
        except BaseException as error:
            for folder in folders:
                note_failure(folder, error)
            if isinstance(error, KeyboardInterrupt):
                print_stopped(Console())
            raise
        for member in members:
            with mirror(member.run.values, member.folder, member.run.digest) as logger:
                if logger:
                    mirror_epochs(logger, member.folder.metrics_file, first=begun)
        failed = {member: seed.error for member, seed in zip(members, seeds, strict=True) if seed.error is not None}
        for member, why in failed.items():
            note_failure(member.folder, why)
    return {member.run.values["seed"]: why for member, why in failed.items()}


def announce(folders: Sequence[RunFolder], begun: int) -> None:
    start = f"going on after epoch {begun - 1}" if begun else "training"
    names = ", ".join(folder.path.name for folder in folders)
    text = f"{start}, {len(folders)} seeds at once: {folders[0].path.parent} ({names})"
    Console().print(text, highlight=False, markup=False, soft_wrap=True)


def at_one_epoch(members: Sequence[Member]) -> list[Member]:
    """As many of them as begin at the same epoch."""
    by_epoch: dict[int, list[Member]] = {}
    for member in members:
        by_epoch.setdefault(member.next_epoch, []).append(member)
    return max(by_epoch.values(), key=len, default=[])


def refuse_what_is_shared(trainer: Any) -> None:
    """What would make the seeds depend on each other."""
    if trainer.world_size > 1:
        raise UserError(f"several seeds at once train in one process: drop accelerator=ddp; or {INSTEAD}")
    if trainer.precision == "16-mixed":
        raise UserError(
            f"trainer.precision=16-mixed scales the loss of all seeds together: use bf16-mixed; or {INSTEAD}"
        )
