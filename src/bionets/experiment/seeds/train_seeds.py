"""Training of several seeds of one config as one batched model, with the same run folders as single runs."""

import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bionets.experiment.config.resolve import RunConfig
from bionets.experiment.console import print_line
from bionets.experiment.errors import UserError
from bionets.experiment.interrupts import keyboard_interrupts
from bionets.experiment.logging.mirrors import check_mirrors, log_epochs, mirrored
from bionets.experiment.run import environment
from bionets.experiment.run.build import build_run, trainer_with
from bionets.experiment.run.callbacks import NonFiniteLoss, Record, StopAfter, StopBelow
from bionets.experiment.run.checkpoints import checkpoint_callbacks, read_checkpoint
from bionets.experiment.run.data import prepare_data
from bionets.experiment.run.model_summary import print_notes
from bionets.experiment.run.own_files import note_changes, own_files
from bionets.experiment.run.report import print_stopped
from bionets.experiment.run.result import note_failure
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.run.trained import restoring
from bionets.experiment.seeds.checkpoints import PerSeedCheckpoint
from bionets.experiment.seeds.journal import last_whole, roll_back
from bionets.experiment.seeds.per_seed import PerSeedCallback, Seed
from bionets.experiment.seeds.stacked_models import ONE_BY_ONE, StackedModels, StackedTasks
from bionets.experiment.sweep.trial import in_trial
from bionets.models import Model
from bionets.tasks import Task
from bionets.tasks.own_task import classes_by_target

NON_FINITE = re.compile(r"loss became (nan|-?inf) at step")  # the only error that ends one seed without the others


@dataclass(eq=False)
class Member:
    """One of the runs, ready to be trained."""

    task: Task
    model: Model
    run: RunConfig
    folder: RunFolder

    @classmethod
    def of(cls, run: RunConfig) -> "Member":
        check_mirrors(run.values["logger"])
        task, model, run = build_run(run)
        return cls(task, model, run, RunFolder.of(run.values, run.digest))

    @cached_property
    def next_epoch(self) -> int:
        """The first epoch to train."""
        return 0 if self._last is None else self._last["epoch"] + 1

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
    def error(self) -> NonFiniteLoss | None:
        """The error that ended this seed while others continued."""
        result = self.folder.result() or {}
        failed = result.get("status") == "failed" and NON_FINITE.search(result["error"])
        return NonFiniteLoss(result["error"]) if failed else None

    @cached_property
    def _last(self) -> dict[str, Any] | None:
        file = last_whole(self.folder)
        return None if file is None else read_checkpoint(file)


def train_batched(runs: Sequence[RunConfig]) -> dict[int, Exception]:
    """Train the runs that start or resume at the same epoch, and return the errors of those that failed, by seed.

    The other runs remain to be trained one by one, and all runs remain to be tested.

    Raises:
        UserError: seeds cannot be batched with this model, optimizer or machine.
    """
    if in_trial():
        raise UserError("a search evaluates one run at a time: leave out seeds=")
    if runs[0].values["callbacks"]["extra"]:
        raise UserError(f"callbacks.extra work with one run at a time; {ONE_BY_ONE}")
    members = at_one_epoch([member for member in map(Member.of, runs) if not member.folder.complete()])
    if len(members) < 2:  # a seed that failed is then trained again, alone
        return {}
    tasks, folders = [member.task for member in members], [member.folder for member in members]
    for method in ("train_dataloader", "val_dataloader"):
        if getattr(type(tasks[0]), method) is not getattr(Task, method):
            raise UserError(f"{method} of your own works with one run at a time; {ONE_BY_ONE}")
    for member in members:
        prepare_data(member.task, member.run.values["trainer"])
    models = StackedModels([member.model for member in members], tasks)
    models.try_out(next(iter(StackedTasks(tasks).val_dataloader())))
    begun = max(member.next_epoch for member in members)
    seeds = [
        Seed(
            member.folder,
            [
                Record(member.folder.metrics_file, member.folder.last),
                *checkpoint_callbacks(member.run.values, member.task, member.folder),
            ],
            over=member.next_epoch < begun or member.error is not None,
            error=member.error,
        )
        for member in members
    ]
    trainer = trainer_with(
        [PerSeedCallback(seeds, models)],
        members[0].run.values,
        tasks[0],
        checkpoints=PerSeedCheckpoint(folders),
        default_root_dir=folders[0].checkpoints,
        enable_checkpointing=False,  # Lightning's would write all seeds to one file
    )
    refuse_what_is_shared(trainer, tasks)
    trainer.precision_plugin.convert_module(models)

    own = own_files(members[0].run.values)
    described = environment.describe(trainer.strategy.root_device, own, classes_by_target(tasks[0]))
    for member in members:
        if member.next_epoch:
            member.folder.require_class_names(classes_by_target(member.task))
            note_changes(member.folder, member.run.values["name"], own)
    with ExitStack() as held:
        for member in members:
            held.enter_context(member.folder.open(member.run.values, member.run.overrides, described))
        roll_back(folders)
        for seed in seeds:
            if seed.error is not None:  # opening the folder has deleted it
                note_failure(seed.folder, seed.error)
        announce(folders, begun)
        if not begun:
            print_notes(tasks[0], members[0].run)
        try:
            last = next(member.folder.last for member in members if member.next_epoch == begun) if begun else None
            with keyboard_interrupts(), restoring(last):
                trainer.fit(models, datamodule=StackedTasks(tasks), ckpt_path=last, weights_only=True)
        except BaseException as error:
            for seed in seeds:
                note_failure(seed.folder, seed.error or error)
            if isinstance(error, KeyboardInterrupt):
                print_stopped()
            raise
        finally:  # a resumed training logs only its own epochs
            stopped = sys.exception() is not None
            for member, seed in zip(members, seeds, strict=True):
                has_failed = stopped or seed.error is not None
                with mirrored(member.run.values, member.folder, member.run.digest, has_failed=has_failed) as mirrors:
                    for mirror in mirrors:
                        log_epochs(mirror.logger, member.folder.metrics_file, first=max(begun, mirror.logged))
        failed = {member: seed.error for member, seed in zip(members, seeds, strict=True) if seed.error is not None}
        for member, why in failed.items():
            note_failure(member.folder, why)
    return {member.run.values["seed"]: why for member, why in failed.items()}


def announce(folders: Sequence[RunFolder], begun: int) -> None:
    start = f"going on after epoch {begun - 1}" if begun else "training"
    names = ", ".join(folder.path.name for folder in folders)
    text = f"{start}, {len(folders)} seeds at once: {folders[0].path.parent} ({names})"
    print_line(text)


def at_one_epoch(members: Sequence[Member]) -> list[Member]:
    """The largest group of members that resume at the same epoch, and those that ended before. The size of the batch is
    then unchanged, and so are all digits of the results.
    """
    by_epoch: dict[int, list[Member]] = {}
    for member in members:
        if not member.stopped and member.error is None:
            by_epoch.setdefault(member.next_epoch, []).append(member)
    going_on = max(by_epoch.values(), key=len, default=[])
    if not going_on:
        return []
    begun = going_on[0].next_epoch
    ended = [one for one in members if (one.stopped or one.error is not None) and one.next_epoch <= begun]
    return [member for member in members if member in going_on or member in ended]


def refuse_what_is_shared(trainer: Any, tasks: Sequence[Task]) -> None:
    """Raise UserError for settings under which the seeds would depend on each other."""
    if trainer.world_size > 1:
        raise UserError(f"several seeds at once train in one process: drop accelerator=ddp; or {ONE_BY_ONE}")
    if trainer.min_steps is not None:
        raise UserError(f"trainer.min_steps ends each seed in the middle of another epoch; {ONE_BY_ONE}")
    if trainer.precision == "16-mixed":
        raise UserError(
            f"trainer.precision=16-mixed scales the loss of all seeds together: use bf16-mixed; or {ONE_BY_ONE}"
        )
    accumulates = trainer.accumulate_grad_batches > 1
    if accumulates and len({tuple(task.train_batches(0).sizes) for task in tasks}) > 1:
        raise UserError(f"trainer.accumulate_grad_batches weighs the batches of each seed by its targets; {ONE_BY_ONE}")
