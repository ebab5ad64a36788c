"""Grid sweeps: every combination of the values on the command line and in ``sweep=``."""

import sys
from collections.abc import Iterator, Mapping, Sequence

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from bionets.experiment.errors import Busy, JobError, one_line
from bionets.experiment.sweep.launching import Jobs
from bionets.experiment.sweep.space import Space


class GridSweeper(Sweeper):
    """Runs all combinations with the launcher. If a job fails, or another process runs it, the other jobs continue and
    the job is named at the end.

    Complete runs are not repeated, so the same command continues a sweep that was stopped.
    """

    def __init__(self, params: Mapping[str, str]) -> None:
        self.params = params

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.jobs = Jobs(task_function, hydra_context, config)

    def sweep(self, arguments: list[str]) -> list[JobReturn]:
        space = Space.of(self.params, arguments, self.jobs.hydra_context.config_loader)
        jobs = space.grid()
        for overrides in every_word(jobs):  # a misspelt word is an error before the first job starts
            self.jobs.compose(overrides)
        results = self.jobs.launch(jobs)
        errors = {
            " ".join(space.varied(job)): result._return_value
            for job, result in zip(jobs, results, strict=True)
            if result.status != JobStatus.COMPLETED
        }
        for varied, error in errors.items():
            print(
                f"{'left out' if isinstance(error, Busy) else 'failed'}: {varied}: {reason_of(error)}", file=sys.stderr
            )
        busy = sum(isinstance(error, Busy) for error in errors.values())
        if failed := len(errors) - busy:
            raise JobError(f"{failed} of {len(jobs)} jobs failed: the same command starts them again")
        if busy:
            raise Busy(
                f"another process runs {busy} of {len(jobs)} jobs: the same command shows them once they are done"
            )
        return results


def every_word(jobs: Sequence[Sequence[str]]) -> Iterator[Sequence[str]]:
    """Some of the jobs that together have every word of all jobs; composing all takes minutes for 1,000 jobs. A
    combination of words that cannot be composed fails when its job starts."""
    seen: set[str] = set()
    for job in jobs:
        if not seen.issuperset(job):
            seen.update(job)
            yield job


def reason_of(error: object) -> str:
    return one_line(error) if isinstance(error, BaseException) else "it did not end"
