"""Launching of jobs, and their share of the machine's cores."""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from copy import deepcopy
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path
from shutil import which
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from bionets.experiment.console import print_line
from bionets.experiment.errors import UserError, one_line
from bionets.experiment.run.process import JOB_VARIABLE, Process, end_with

NOT_COMPOSED = "not_composed"  # the key of the reason why the config of a job cannot be composed
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class LaunchedJob:
    """A job in a process of a launcher.

    It uses its share of the available cores, unless ``OMP_NUM_THREADS`` and similar variables are set. If
    ``launched_by`` is given, it ends with that process.
    """

    job: TaskFunction
    shares: int
    launched_by: Process | None

    def __call__(self, config: DictConfig) -> Any:
        if NOT_COMPOSED in config:
            raise UserError(config[NOT_COMPOSED])
        if self.launched_by is not None:
            end_with(self.launched_by)
        if self.shares > 1:  # then jobs run in processes of their own
            os.environ[JOB_VARIABLE] = f"job {HydraConfig.get().job.num}"
            threads = max(1, cores() // self.shares)
            for variable in THREAD_VARIABLES:
                os.environ.setdefault(variable, str(threads))
            if "torch" in sys.modules:  # which has read the variable already
                sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        return self.job(config)


class JobConfigs:
    """The config loader of a launcher. A job whose config cannot be composed gets the config of the sweep with the
    reason as `NOT_COMPOSED`, so that this job fails; an error here would end the whole sweep.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        self.loader = loader

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        try:
            return self.loader.load_sweep_config(master_config, sweep_overrides)
        except Exception as error:  # its type depends on the word
            config = deepcopy(master_config)
            with open_dict(config):
                config[NOT_COMPOSED] = one_line(error)
                config.hydra.overrides.task = list(sweep_overrides)
            return config


@dataclass(frozen=True)
class Jobs:
    """The arguments that Hydra passes to a sweeper."""

    job: TaskFunction
    hydra_context: HydraContext
    config: DictConfig

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Compose the config of a single job, including Hydra's own part under ``hydra``."""
        return self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))

    def launch(self, jobs: Sequence[Sequence[str]], job: TaskFunction | None = None) -> list[JobReturn]:
        """Run the job, or another one, for each list of overrides with the config's launcher; the results in order."""
        launcher_kind = kind(self.config.hydra.launcher)
        if launcher_kind == "SlurmLauncher" and not which("srun"):
            raise UserError("launcher=submitit_slurm needs SLURM, and there is no srun here: start it on a login node")
        at_once = min(jobs_at_once(self.config.hydra.launcher), len(jobs))
        launcher = self._launcher(launcher_kind, at_once, job or self.job)
        if launcher_kind in ("LocalLauncher", "SlurmLauncher"):
            place = self.config.hydra.launcher.submitit_folder
            print_line(f"{len(jobs)} jobs, {at_once} at once; what each prints: {Path(place).parent}")
        try:
            if launcher_kind == "LocalLauncher":
                return launch_one_by_one(launcher, jobs, at_once)
            return list(launcher.launch(list(jobs), initial_job_idx=0))
        except died() as error:
            raise UserError("a process of the launcher died: the same command continues with the rest") from error
        except (ValueError, TypeError) as error:  # errors of a job are in its result
            raise UserError(f"the launcher refuses its settings: {error}") from error

    def _launcher(self, launcher_kind: str, at_once: int, job: TaskFunction) -> Launcher:
        if launcher_kind == "JoblibLauncher":
            with open_dict(self.config):
                self.config.hydra.launcher.n_jobs = at_once  # not more processes than jobs
        # A job in SLURM continues after the process that queued it has ended.
        launched_by = None if launcher_kind == "SlurmLauncher" else Process.current()
        loader = cast(ConfigLoader, JobConfigs(self.hydra_context.config_loader))  # all that launchers call
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(loader, self.hydra_context.callbacks),
            task_function=LaunchedJob(job, at_once, launched_by),
            config=self.config,
        )
        if launcher_kind == "JoblibLauncher":
            # Workers without a job must end with this process too. The plugin's attribute `joblib`, the arguments of
            # joblib.Parallel, is not documented; if it is renamed, tests fail with an AttributeError.
            launcher.joblib |= {"initializer": end_with, "initargs": (launched_by,)}  # type: ignore[attr-defined]
        return launcher


def launch_one_by_one(launcher: Launcher, jobs: Sequence[Sequence[str]], at_once: int) -> list[JobReturn]:
    """Launch each job by itself, ``at_once`` at a time (Submitit would start all at once), and return the results in
    order. If one cannot be launched, the other jobs continue; then its error is raised.
    """

    def launch_one(index: int) -> JobReturn | BaseException:
        try:
            result = launcher.launch([jobs[index]], initial_job_idx=index)[0]
            ended = "done" if result.status == JobStatus.COMPLETED else "failed"
            print_line(f"job {index} {ended}: {' '.join(result.overrides or ())}")
        except BaseException as error:  # raised below
            return error
        return result

    results: list[JobReturn] = []
    with ThreadPool(at_once) as pool:  # an interrupt does not wait
        for result in pool.map(launch_one, range(len(jobs)), chunksize=1):
            if isinstance(result, BaseException):
                raise result
            results.append(result)
    return results


def died() -> tuple[type[Exception], ...]:
    """The errors with which joblib and Submitit say that the process of a job ended without a result."""
    submitit = sys.modules.get("submitit.core.utils")
    return (BrokenExecutor, *([submitit.UncompletedJobError] if submitit else []))


def jobs_at_once(launcher: DictConfig) -> int:
    """The number of jobs that a launcher runs at a time on this machine; 1 for SLURM, whose jobs are independent of it.

    Raises:
        UserError: a setting of the launcher is invalid.
    """
    match kind(launcher):
        case "JoblibLauncher":
            n_jobs = launcher.n_jobs
            if not isinstance(n_jobs, int) or n_jobs == 0:
                raise UserError(f"hydra.launcher.n_jobs must be above 0, or -1 for a job on each core, got {n_jobs}")
            return n_jobs if n_jobs > 0 else max(1, cores() + 1 + n_jobs)
        case "LocalLauncher":
            per_task = launcher.cpus_per_task
            if per_task is not None and per_task < 1:
                raise UserError(f"hydra.launcher.cpus_per_task must be at least 1, got {per_task}")
            return max(1, cores() // (per_task or 1))
        case "RayLauncher":
            per_job = launcher.ray.remote.get("num_cpus")
            if per_job is not None and per_job <= 0:
                raise UserError(f"hydra.launcher.ray.remote.num_cpus must be above 0, got {per_job}")
            return max(1, int(cores() // (per_job or 1)))
    return 1


def kind(launcher: DictConfig | None) -> str:
    if launcher is None:
        raise UserError("hydra.launcher has no value: choose one with launcher=")
    return launcher["_target_"].rpartition(".")[2]


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
