"""Training of several seeds of one config as one batched model, with the same run folders as single runs."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack

from lightning import Trainer

from bionets.experiment.config.resolve import RunConfig
from bionets.experiment.console import print_line
from bionets.experiment.errors import UserError
from bionets.experiment.interrupts import keyboard_interrupts
from bionets.experiment.logging.mirrors import log_epochs, mirrored
from bionets.experiment.run import environment
from bionets.experiment.run.build import refuse_for_optimizer, trainer_with
from bionets.experiment.run.data import prepare_data
from bionets.experiment.run.model_summary import print_notes
from bionets.experiment.run.own_files import note_changes, own_files
from bionets.experiment.run.report import print_stopped
from bionets.experiment.run.result import note_failure
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.run.trained import restoring
from bionets.experiment.seeds.checkpoints import PerSeedCheckpoint
from bionets.experiment.seeds.journal import roll_back
from bionets.experiment.seeds.per_seed import PerSeedCallback, Seed
from bionets.experiment.seeds.stacked_models import ONE_BY_ONE, StackedModels, StackedTasks, require_equal_weights
from bionets.experiment.sweep.trial import in_trial
from bionets.tasks import Task
from bionets.tasks.own_task import classes_by_target, columns_of


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
    seeds = at_one_epoch([seed for seed in map(Seed.of, runs) if not seed.folder.complete()])
    if len(seeds) < 2:  # a seed that failed is then trained again, alone
        return {}
    tasks, folders, config = [seed.task for seed in seeds], [seed.folder for seed in seeds], seeds[0].run.values
    for method in ("train_dataloader", "val_dataloader"):
        if getattr(type(tasks[0]), method) is not getattr(Task, method):
            raise UserError(f"{method} of your own works with one run at a time; {ONE_BY_ONE}")
    for seed in seeds:
        prepare_data(seed.task, seed.run.values["trainer"])
    models = StackedModels([seed.model for seed in seeds], tasks)
    models.try_out(next(iter(StackedTasks(tasks).val_dataloader())))
    begun = max(seed.next_epoch for seed in seeds)
    for seed in seeds:
        seed.over = seed.next_epoch < begun or seed.error is not None
    trainer = trainer_with(
        [PerSeedCallback(seeds, models)],
        config,
        tasks[0],
        checkpoints=PerSeedCheckpoint(folders),
        default_root_dir=folders[0].checkpoints,
        enable_checkpointing=False,  # Lightning's would write all seeds to one file
    )
    refuse_for_optimizer(trainer, seeds[0].model)
    refuse_what_is_shared(trainer, tasks)
    trainer.precision_plugin.convert_module(models)

    own, device, first = own_files(config), trainer.strategy.root_device, tasks[0]
    described = environment.describe(device, own, classes_by_target(first), columns_of(first))
    for seed in seeds:
        if seed.next_epoch:
            seed.folder.require_class_names(classes_by_target(seed.task))
            note_changes(seed.folder, seed.run.values["name"], own)
    with ExitStack() as held:
        for seed in seeds:
            held.enter_context(seed.folder.open(seed.run.values, seed.run.overrides, described))
        roll_back(folders)
        note_failures(seeds)  # opening a folder has deleted that of an earlier start
        announce(folders, begun)
        if not begun:
            print_notes(first, seeds[0].run)
        fit(trainer, models, StackedTasks(tasks), seeds, begun)
        return note_failures(seeds)


def fit(trainer: Trainer, models: StackedModels, tasks: StackedTasks, seeds: Sequence[Seed], begun: int) -> None:
    """Train all seeds from the epoch ``begun`` on, and log their epochs, also those before an error."""
    last = next(seed.folder.last for seed in seeds if seed.next_epoch == begun) if begun else None
    try:
        with keyboard_interrupts(), restoring(last):
            trainer.fit(models, datamodule=tasks, ckpt_path=last, weights_only=True)
    except BaseException as error:
        for seed in seeds:
            note_failure(seed.folder, seed.error or error)
        if isinstance(error, KeyboardInterrupt):
            print_stopped()
        raise
    finally:  # a resumed training logs only its own epochs
        stopped = sys.exception() is not None
        for seed in seeds:
            has_failed = stopped or seed.error is not None
            with mirrored(seed.run.values, seed.folder, seed.run.digest, has_failed=has_failed) as mirrors:
                for mirror in mirrors:
                    epochs = range(max(begun, mirror.logged), seed.epochs_in_checkpoint())
                    log_epochs(mirror.logger, seed.folder.metrics_file, epochs)


def note_failures(seeds: Sequence[Seed]) -> dict[int, Exception]:
    """Store the errors that ended single seeds in their folders, and return them by seed."""
    failed = {seed.run.values["seed"]: (seed.folder, seed.error) for seed in seeds if seed.error is not None}
    for folder, error in failed.values():
        note_failure(folder, error)
    return {seed: error for seed, (_, error) in failed.items()}


def announce(folders: Sequence[RunFolder], begun: int) -> None:
    start = f"going on after epoch {begun - 1}" if begun else "training"
    names = ", ".join(folder.path.name for folder in folders)
    text = f"{start}, {len(folders)} seeds at once: {folders[0].path.parent} ({names})"
    print_line(text)


def at_one_epoch(seeds: Sequence[Seed]) -> list[Seed]:
    """The largest group of seeds that resume at the same epoch, and those that ended before. The size of the batch is
    then unchanged, and so are all digits of the results.
    """
    ended = [seed for seed in seeds if seed.stopped or seed.error is not None]
    by_epoch: dict[int, list[Seed]] = {}
    for seed in seeds:
        if seed not in ended:
            by_epoch.setdefault(seed.next_epoch, []).append(seed)
    if not by_epoch:
        return []
    begun, going_on = max(by_epoch.items(), key=lambda group: len(group[1]))
    return [seed for seed in seeds if seed in going_on or (seed in ended and seed.next_epoch <= begun)]


def refuse_what_is_shared(trainer: Trainer, tasks: Sequence[Task]) -> None:
    """Raise UserError for settings under which the seeds would depend on each other."""
    if trainer.world_size > 1:
        raise UserError(f"several seeds at once train in one process: drop accelerator=ddp; or {ONE_BY_ONE}")
    if trainer.min_steps is not None:
        raise UserError(f"trainer.min_steps ends each seed in the middle of another epoch; {ONE_BY_ONE}")
    if trainer.precision == "16-mixed":
        raise UserError(
            f"trainer.precision=16-mixed scales the loss of all seeds together: use bf16-mixed; or {ONE_BY_ONE}"
        )
    if trainer.accumulate_grad_batches > 1:
        require_equal_weights([task.train_batches(0) for task in tasks])
