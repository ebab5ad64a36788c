"""A process that runs trials of a study, one after another."""

import math
import os
import time
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, run_job
from omegaconf import DictConfig, open_dict

from bionets.experiment.config.resolve import resolve
from bionets.experiment.console import print_line
from bionets.experiment.errors import Busy, one_line, user_errors
from bionets.experiment.run.process import JOB_VARIABLE
from bionets.experiment.sweep.launching import Jobs
from bionets.experiment.sweep.space import Space
from bionets.experiment.sweep.study import Settings, Study, StudyTrial
from bionets.import_path import import_object

SECONDS_BETWEEN_TRIES = 1.0


class Worker:
    """The job that the launcher starts: it runs trials of the study until there are ``n_trials``."""

    def __init__(self, jobs: Jobs, settings: Settings, space: Space) -> None:
        self.jobs, self.settings, self.space = jobs, settings, space

    def __call__(self, config: DictConfig) -> None:
        from bionets.experiment.sweep.trial import running  # imports PyTorch, which the launching process does not need

        study = Study(self.settings, mode=mode_of(config))
        distributions = self.space.distributions()
        study.require_space(distributions)
        while (trial := study.next(distributions)) is not None:
            with running(trial):
                self._finish(trial, self._run(trial))

    def _run(self, trial: StudyTrial) -> JobReturn:
        values = " ".join(f"{key}={value}" for key, value in trial.values.items())
        print_line(f"trial {trial.number} of {self.settings.n_trials}: {values}")
        if JOB_VARIABLE in os.environ:
            os.environ[JOB_VARIABLE] = f"trial {trial.number}"
        try:
            config = self.jobs.compose(self.space.overrides(trial.values))
        except Exception as error:  # its type depends on the word
            return JobReturn(status=JobStatus.FAILED, _return_value=error)
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = trial.number
        while True:
            result = run_job(
                hydra_context=self.jobs.hydra_context,
                task_function=self.jobs.job,
                config=config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
            if not isinstance(result._return_value, Busy):
                return result
            time.sleep(SECONDS_BETWEEN_TRIES)  # another trial trains the same run; its result is then used

    def _finish(self, trial: StudyTrial, result: JobReturn) -> None:
        if trial.pruned:
            trial.prune()
        elif result.status != JobStatus.COMPLETED:
            error: Any = result._return_value
            trial.fail(one_line(error))
        elif math.isfinite(value := result.return_value.get(trial.monitor, math.nan)):
            trial.complete(value)
        else:
            trial.fail(f"its {trial.monitor} is {value}")


def mode_of(config: DictConfig) -> str:
    """Whether the smallest ("min") or the largest ("max") monitored value of a task is best.

    The class of the task decides it, except for own data, whose targets decide it.

    Raises:
        UserError: own data cannot be read, or the class cannot be imported.
    """
    from bionets.experiment.run.build import build_task  # imports PyTorch
    from bionets.tasks.own_task import CUSTOM

    if config.task["_target_"] == CUSTOM:
        return build_task(resolve(config).values).mode
    with user_errors(f"task._target_={config.task['_target_']} cannot be imported: "):
        return str(import_object(config.task["_target_"]).mode)
