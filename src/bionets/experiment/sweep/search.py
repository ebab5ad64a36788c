"""Searches with Optuna: a study chooses the trials, and the launcher runs them."""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.core.utils import JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from bionets.atomic import write_atomically
from bionets.csv_text import csv_text
from bionets.experiment.config.option_values import refuse_values
from bionets.experiment.config.resolve import for_one_run, resolve
from bionets.experiment.console import print_line
from bionets.experiment.errors import JobError, UserError
from bionets.experiment.run.names import require_component
from bionets.experiment.run.report import command_of
from bionets.experiment.sweep.launching import Jobs, jobs_at_once, kind
from bionets.experiment.sweep.space import Space

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from bionets.experiment.sweep.study import Settings, Study


class SearchSweeper(Sweeper):
    """Runs trials in ``n_jobs`` workers, which the launcher starts, until the study has ``n_trials``.

    The name of the study depends on the options of the run, the space and the sampler with its seed, so the same
    command continues it after a stop, or adds workers while it is running.
    """

    def __init__(
        self,
        params: Mapping[str, str],
        sampler: DictConfig,
        pruner: DictConfig | None,
        n_trials: int,
        n_jobs: int | None,
        seed: int,
        storage: str | None,
        study_name: str | None,
    ) -> None:
        if find_spec("optuna") is None:
            raise UserError("a search needs Optuna, which is not installed: pip install 'bionets[sweep]'")
        for key, value in (("n_trials", n_trials), ("n_jobs", n_jobs)):
            if value is not None and value < 1:
                raise UserError(f"hydra.sweeper.{key} must be at least 1, got {value}")
        if not isinstance(sampler, DictConfig) or not isinstance(pruner, DictConfig | None):
            raise UserError(
                "hydra.sweeper.sampler and hydra.sweeper.pruner each name a _target_; only pruner can be null"
            )
        self.params, self.sampler, self.pruner = params, sampler, pruner
        self.n_trials, self.n_jobs, self.seed = n_trials, n_jobs, seed
        self.storage, self.study_name = storage, study_name

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.jobs = Jobs(task_function, hydra_context, config)

    def sweep(self, arguments: list[str]) -> None:
        from bionets.experiment.sweep.study import Settings, Study  # imports Optuna, which grids do not need
        from bionets.experiment.sweep.worker import Worker

        space = Space.of(self.params, arguments, self.jobs.hydra_context.config_loader)
        if not space.swept:
            raise UserError(
                "there is nothing to search: "
                "name values, as in 'optimizer.lr=tag(log,interval(1e-4,1e-1))' model=brc,gru"
            )
        some = space.overrides({key: first_of(one) for key, one in space.distributions().items()})
        config = self.jobs.compose(some)
        with open_dict(config):
            del config["hydra"]
        refuse_values("train", config)
        refuse_other_runs(config, space)
        name = study_name_of(config, space, self.sampler, self.seed)
        if self.study_name is not None:
            name = require_component("hydra.sweeper.study_name", self.study_name)
        folder = Path(config.paths.output_dir) / "sweeps" / name
        settings = Settings(folder, plain(self.sampler), plain(self.pruner), self.n_trials, self.seed, self.storage)
        note_pruner(settings)
        worker = Worker(self.jobs, settings, space)
        for result in self.jobs.launch([some] * self.workers(), worker):
            if result.status != JobStatus.COMPLETED:
                raise cast(Exception, result._return_value)  # the error that ended the worker
        study = Study(settings)
        write_atomically(folder / "trials.csv", trials_as_csv(study.trials(), list(space.swept)))
        report(study, space)

    def workers(self) -> int:
        """The number of worker processes."""
        launcher = kind(self.jobs.config.hydra.launcher)
        if launcher == "BasicLauncher" and (self.n_jobs or 1) > 1:
            raise UserError(
                "launcher=basic runs one process: add launcher=joblib, or start the same command several times"
            )
        if launcher == "SlurmLauncher" and self.n_jobs is None:
            raise UserError("give the number of SLURM jobs that run trials, as in hydra.sweeper.n_jobs=8")
        return min(self.n_jobs or jobs_at_once(self.jobs.config.hydra.launcher), self.n_trials)


def refuse_other_runs(config: DictConfig, space: Space) -> None:
    """Raise UserError for options with which a trial is not one run that is trained and kept. They are not part of the
    name of the study, which would keep such trials.
    """
    for key, usual, reason in (
        ("seeds", (1,), "evaluates one run at a time"),
        ("find", (None,), "trains its runs"),
        ("trainer.fast_dev_run", (None, False, 0), "compares runs that are kept"),
    ):
        if key in space.swept or OmegaConf.select(config, key) not in usual:
            raise UserError(f"a search {reason}: leave out {key}=")


def note_pruner(settings: "Settings") -> None:
    """Store the pruner with which a study begins, and print a note if it is continued with another one: unlike the
    sampler, the pruner is not part of the name of the study, so that it can be switched off for the remaining trials.
    """
    file, text = settings.folder / "pruner.json", json.dumps(settings.pruner, indent=2, sort_keys=True) + "\n"
    if not file.exists():
        settings.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(file, text)
    elif file.read_text(encoding="utf-8") != text:
        print_line(
            f"note: the study {settings.folder.name} began with another pruner, and its trials count: "
            "for a search of its own give hydra.sweeper.study_name=another",
        )


def first_of(distribution: Any) -> Any:
    return distribution.choices[0] if hasattr(distribution, "choices") else distribution.low


def study_name_of(config: DictConfig, space: Space, sampler: DictConfig, seed: int = 0) -> str:
    """The name of a study: task, model (unless swept), run name, and a hash of fixed settings, space, sampler and the
    seed of the sampler.
    """
    run = resolve(config)
    settings = [run.digest, config.seed, space.words(), plain(sampler), *([seed] if seed else [])]
    what = json.dumps(settings, sort_keys=True)
    words = [config.task.name, *({} if "model" in space.swept else {config.model.name}), config.name]
    return "-".join([*words, hashlib.sha256(what.encode()).hexdigest()[:8]])


def plain(node: DictConfig | None) -> Any:
    return None if node is None else OmegaConf.to_container(node, resolve=True)


def trials_as_csv(trials: "list[FrozenTrial]", keys: list[str]) -> str:
    """A line for each trial: its state, result and values, and the folder of its run."""
    lines = []
    for trial in trials:
        told = [trial.user_attrs.get("folder"), trial.user_attrs.get("error")]
        values = [trial.params.get(key) for key in keys]
        lines.append([trial.number, trial.state.name.lower(), trial.value, *values, *told])
    return csv_text(["trial", "state", "value", *keys, "folder", "error"], lines)


def report(study: "Study", space: Space) -> None:
    """Print the best trial and the command that runs it again. Raises JobError if a trial failed."""
    trials = study.trials()
    states = Counter(trial.state.name.lower() for trial in trials)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    lines = [("study", str(study.settings.folder)), ("trials", f"{counts}; every one: trials.csv")]
    if best := study.best():
        lines += [
            ("best", f"{best.value:.6g} in trial {best.number}"),
            ("folder", best.user_attrs["folder"]),
            ("run again", command_of(for_one_run(space.overrides(best.params)))),
        ]
    for label, text in lines:
        print_line(f"{label:>9}  {text}")
    failed = [trial for trial in trials if "error" in trial.user_attrs]
    if failed:
        for trial in failed:
            values = " ".join(f"{key}={value}" for key, value in trial.params.items())
            print(f"failed: {values}: {trial.user_attrs['error']}", file=sys.stderr)
        raise JobError(f"{len(failed)} of {len(trials)} trials failed")
