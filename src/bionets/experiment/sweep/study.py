"""One Optuna study that is shared by any number of processes and can be continued later.

Its folder holds the database of the study (unless ``storage`` is given) and a lock for every running trial. The
operating system releases a lock when its process ends. A trial that the database lists as running, but that is not
locked, was therefore abandoned, and the next process that asks for a trial continues it.
"""

import contextlib
import hashlib
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from filelock import BaseFileLock, FileLock, Timeout
from optuna.distributions import check_distribution_compatibility
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bionets.atomic import write_atomically
from bionets.experiment.errors import Pruned, UserError
from bionets.experiment.run.instantiate import instantiate_node, naming_options

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SECONDS_TO_WAIT = 100  # for a database that another process writes
DIRECTIONS = {"min": StudyDirection.MINIMIZE, "max": StudyDirection.MAXIMIZE}


@dataclass(frozen=True)
class Settings:
    """The settings of a search; see ``configs/sweep/tpe.yaml``."""

    folder: Path
    sampler: dict[str, Any]
    pruner: dict[str, Any] | None
    n_trials: int
    seed: int
    storage: str | None


class Study:
    """The study in a folder, created if there is none yet. ``mode``: whether the smallest ("min") or the largest
    ("max") value is best; None for an existing study.

    Raises:
        UserError: the storage cannot be used, or has a study of this name with another folder.
    """

    def __init__(self, settings: Settings, mode: str | None = None) -> None:
        silence_optuna()
        self.settings = settings
        settings.folder.mkdir(parents=True, exist_ok=True)
        self.locks = settings.folder / "locks"
        self.locks.mkdir(exist_ok=True)
        with self.alone():
            self._study = self._open(mode)

    @property
    def mode(self) -> str:
        return "min" if self._study.direction == StudyDirection.MINIMIZE else "max"

    def _open(self, mode: str | None) -> optuna.Study:
        identity = self.settings.folder / "identity"
        if not identity.exists():
            write_atomically(identity, secrets.token_hex(8))
        database, name = self.settings.folder / "study.db", self.settings.folder.name
        node = self.settings.pruner or {}
        with naming_options("hydra.sweeper.pruner", node):
            pruner = instantiate_node(node) if node else optuna.pruners.NopPruner()
        url = self.settings.storage or f"sqlite:///{database}"
        try:
            if mode is not None and self.settings.storage is not None:
                with contextlib.suppress(optuna.exceptions.DuplicatedStudyError):
                    optuna.create_study(storage=connect(url), study_name=name, direction=DIRECTIONS[mode])
            elif mode is not None and not database.exists():  # created atomically
                new = database.with_name(".study.db.partial")
                new.unlink(missing_ok=True)
                storage = connect(f"sqlite:///{new}")
                optuna.create_study(storage=storage, study_name=name, direction=DIRECTIONS[mode])
                storage.engine.dispose()
                new.replace(database)
            study = optuna.load_study(storage=connect(url), study_name=name, pruner=pruner)
        except Exception as error:  # its type depends on the database
            raise UserError(f"the study's storage {url} cannot be used: {error}") from error
        if mode is not None and study.direction != DIRECTIONS[mode]:
            raise UserError(
                f"the study {name} looks for the other extreme of this task's metric: give another "
                "hydra.sweeper.study_name"
            )
        home = study.user_attrs.get("home")
        if home is None:
            study.set_user_attr("home", identity.read_text(encoding="utf-8"))
        elif home != identity.read_text(encoding="utf-8"):
            raise UserError(
                f"{url} has a study {study.study_name} with another folder: "
                "give all its workers the same paths.output_dir, or this one another hydra.sweeper.study_name"
            )
        return study

    def require_space(self, distributions: "dict[str, BaseDistribution]") -> None:
        """A UserError where earlier trials of the study were drawn from another space: keys, or kinds of values."""
        for trial in self.trials():
            begun = set(trial.distributions)  # of a trial whose process was killed while it drew, perhaps not all
            same = begun == set(distributions) if trial.state.is_finished() else begun <= set(distributions)
            try:
                for key in begun & set(distributions):
                    check_distribution_compatibility(trial.distributions[key], distributions[key])
            except ValueError:
                same = False
            if not same:
                raise UserError(
                    f"the study {self.settings.folder.name} has searched other options or other values: "
                    "give this search another hydra.sweeper.study_name"
                )

    def next(self, distributions: "dict[str, BaseDistribution]") -> "StudyTrial | None":
        """An abandoned trial, otherwise a new one; None if there are ``n_trials``."""
        with self.alone():
            trials = self.trials()
            running = [trial.number for trial in trials if trial.state == TrialState.RUNNING]
            left = ((number, lock) for number in running if (lock := self._hold(number)))
            number, lock = next(left, (None, None))
            if number is None or lock is None:
                if sum(trial.state != TrialState.WAITING for trial in trials) >= self.settings.n_trials:
                    return None
                self._seed(len(trials))
                number = self._study.ask().number
                lock = self._hold(number)
                assert lock is not None
            self._seed(number)
            trial = optuna.Trial(self._study, self.trials()[number]._trial_id)
            for name, distribution in distributions.items():
                trial._suggest(name, distribution)
            return StudyTrial(self, trial, lock)

    def _seed(self, number: int) -> None:
        """Seed the sampler by the number of the trial: workers draw different values, and a resumed search the same."""
        digest = hashlib.sha256(f"{self.settings.seed} {number}".encode()).digest()
        with naming_options("hydra.sweeper.sampler", self.settings.sampler):
            self._study.sampler = instantiate_node(self.settings.sampler, seed=int.from_bytes(digest[:4], "little"))

    def trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def best(self) -> FrozenTrial | None:
        """The best complete trial; None if there is none."""
        return self._study.best_trial if any(one.state == TrialState.COMPLETE for one in self.trials()) else None

    def _hold(self, number: int) -> BaseFileLock | None:
        lock = FileLock(self.locks / str(number), timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            return None
        return lock

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the study: no other process starts or ends a trial within this context."""
        with FileLock(self.settings.folder / ".lock"):
            yield


class StudyTrial:
    """A trial that this process has locked, with the values from the sampler."""

    def __init__(self, study: Study, trial: optuna.Trial, lock: BaseFileLock) -> None:
        self._study, self._trial, self._lock = study, trial, lock
        self.mode, self.number, self.values = study.mode, trial.number, trial.params
        self.monitor: str | None = None
        self.pruned = False

    def begin(self, folder: Path, monitor: str) -> None:
        """Store the run folder of the trial, and the name of its monitored value."""
        self._trial.set_user_attr("folder", str(folder))
        self.monitor = monitor

    def report(self, value: float, epoch: int) -> None:
        """Report the monitored value of an epoch.

        Raises:
            Pruned: the pruner stops the trial.
        """
        with warnings.catch_warnings(action="ignore"):  # an epoch trained again after a stop reports the same
            self._trial.report(value, epoch)
        if self._trial.should_prune():
            self.pruned = True
            raise Pruned(f"others were better by epoch {epoch}")

    def complete(self, value: float) -> None:
        self._tell(TrialState.COMPLETE, value)

    def prune(self) -> None:
        self._tell(TrialState.PRUNED)

    def fail(self, error: str) -> None:
        self._trial.set_user_attr("error", error)
        self._tell(TrialState.FAIL)

    def _tell(self, state: TrialState, value: float | None = None) -> None:
        with self._study.alone():  # otherwise another process could see it as running, but not locked
            self._trial.study.tell(self.number, value, state)
            Path(self._lock.lock_file).unlink()
            self._lock.release()


def connect(url: str) -> optuna.storages.RDBStorage:
    waiting = {"connect_args": {"timeout": SECONDS_TO_WAIT}} if url.startswith("sqlite") else {}
    return optuna.storages.RDBStorage(url, engine_kwargs=waiting)


def silence_optuna() -> None:
    """Silence Optuna's log messages and experimental warnings."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
