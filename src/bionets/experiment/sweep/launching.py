"""Jobs into a launcher, and their share of the machine's cores."""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from shutil import which
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from bionets.experiment.errors import UserError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class SharingCores:
    """A job that takes its share of the cores it finds; what ``OMP_NUM_THREADS`` says goes first."""

    def __init__(self, job: TaskFunction, shares: int) -> None:
        self.job, self.shares = job, shares

    def __call__(self, config: DictConfig) -> Any:
        if self.shares > 1:  # and so in a process that is there for this job alone
            threads = max(1, cores() // self.shares)
            for variable in THREAD_VARIABLES:
                os.environ.setdefault(variable, str(threads))
            if "torch" in sys.modules:  # too late for the variable
                sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        return self.job(config)


@dataclass(frozen=True)
class Jobs:
    """What Hydra hands to a sweeper: the job, and what its config is composed from."""

    job: TaskFunction
    hydra_context: HydraContext
    config: DictConfig

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The config of a single job, Hydra's own part under ``hydra``."""
        return self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))

    def launch(self, jobs: Sequence[Sequence[str]], job: TaskFunction | None = None) -> list[JobReturn]:
        """Run the job, or another in its place, on each list of overrides, with the launcher that the config names; one
        result each, in order.
        """
        if kind(self.config.hydra.launcher) == "SlurmLauncher" and not which("srun"):
            raise UserError("launcher=submitit_slurm needs SLURM, and there is no srun here: start it on a login node")
        at_once = min(jobs_at_once(self.config.hydra.launcher), len(jobs))
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.hydra_context, task_function=SharingCores(job or self.job, at_once), config=self.config
        )

        def launch_one(index: int) -> JobReturn:
            return launcher.launch([jobs[index]], initial_job_idx=index)[0]

        try:
            if kind(self.config.hydra.launcher) != "LocalLauncher":
                return list(launcher.launch(list(jobs), initial_job_idx=0))
            with ThreadPoolExecutor(at_once) as pool:  # Submitit would start all at once on this machine
                return list(pool.map(launch_one, range(len(jobs))))
        except BrokenExecutor as error:
            raise UserError("a process of the launcher died: the same command goes on with what is left") from error


def jobs_at_once(launcher: DictConfig) -> int:
    """How many jobs a launcher runs at a time on one machine. Jobs in SLURM have a machine, or a part of one, each."""
    match kind(launcher):
        case "JoblibLauncher":
            return launcher.n_jobs if launcher.n_jobs > 0 else max(1, cores() + 1 + launcher.n_jobs)
        case "LocalLauncher":
            return max(1, cores() // (launcher.cpus_per_task or 1))
        case "RayLauncher":
            return max(1, int(cores() // (launcher.ray.remote.get("num_cpus") or 1)))
    return 1


def kind(launcher: DictConfig) -> str:
    return launcher["_target_"].rpartition(".")[2]


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
