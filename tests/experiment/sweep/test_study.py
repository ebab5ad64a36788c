"""Studies survive the end of their processes: no trial is lost or repeated."""

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from bionets.experiment.errors import Pruned, UserError
from bionets.experiment.sweep.study import Settings, Study, StudyTrial

SPACE: dict[str, BaseDistribution] = {
    "x": FloatDistribution(-1.0, 1.0),
    "kind": CategoricalDistribution(["round", "square"]),
}
TPE = {"_target_": "optuna.samplers.TPESampler", "n_startup_trials": 4}
CMAES = {"_target_": "optuna.samplers.CmaEsSampler", "warn_independent_sampling": False}
RANDOM = {"_target_": "optuna.samplers.RandomSampler"}
MEDIAN = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 2}
spawned = multiprocessing.get_context("spawn")


def settings(folder: Path, n_trials: int = 10, sampler: dict[str, Any] = TPE, **more: Any) -> Settings:
    return Settings(
        **{"folder": folder, "sampler": sampler, "pruner": None, "n_trials": n_trials, "seed": 0, "storage": None}
        | more
    )


def value(trial: StudyTrial) -> float:
    return float(trial.values["x"] ** 2 + (trial.values["kind"] == "square"))


def work(study: Study, at_most: int = 1000) -> int:
    done = 0
    while done < at_most and (trial := study.next(SPACE)) is not None:
        trial.complete(value(trial))
        done += 1
    return done


@pytest.mark.parametrize("sampler", [TPE, CMAES, RANDOM])
def test_a_resumed_study_draws_the_trials_of_an_uninterrupted_one(tmp_path: Path, sampler: dict[str, Any]) -> None:
    whole = Study(settings(tmp_path / "whole", sampler=sampler), "min")
    assert work(whole) == 10
    assert work(whole) == 0
    for done in (3, 1, 6, 0):
        stopped = Study(settings(tmp_path / "stopped", sampler=sampler), "min")
        assert work(stopped, done) == done
    assert [trial.params for trial in stopped.trials()] == [trial.params for trial in whole.trials()]
    assert stopped.best().value == min(trial.value for trial in whole.trials())  # type: ignore[union-attr, type-var]


def test_a_larger_number_of_trials_adds_to_the_existing_trials(tmp_path: Path) -> None:
    work(Study(settings(tmp_path, 3), "min"))
    assert work(Study(settings(tmp_path, 5), "min")) == 2


def test_a_locked_trial_is_skipped_and_a_released_trial_is_resumed(tmp_path: Path) -> None:
    study = Study(settings(tmp_path, 2), "min")
    held, other = study.next(SPACE), study.next(SPACE)
    assert held is not None
    assert other is not None
    assert Study(settings(tmp_path, 2), "min").next(SPACE) is None
    values = dict(held.values)
    held._lock.release()  # as the system does when a process dies
    again = Study(settings(tmp_path, 2), "min").next(SPACE)
    assert again is not None
    assert (again.number, again.values) == (held.number, values)
    again.complete(1.0)
    other.complete(2.0)
    assert [trial.value for trial in study.trials()] == [1.0, 2.0]
    assert list((tmp_path / "locks").iterdir()) == []


def take_one_and_exit(folder: Path) -> None:
    assert Study(settings(folder, 3), "min").next(SPACE) is not None
    os.kill(os.getpid(), signal.SIGKILL)


def take_all(folder: Path) -> None:
    work(Study(settings(folder, 30), "min"))


def test_a_trial_of_a_killed_process_is_resumed(tmp_path: Path) -> None:
    process = spawned.Process(target=take_one_and_exit, args=(tmp_path,))
    process.start()
    process.join()
    study = Study(settings(tmp_path, 3), "min")
    assert [trial.state for trial in study.trials()] == [TrialState.RUNNING]
    assert work(study) == 3
    assert [trial.state for trial in study.trials()] == [TrialState.COMPLETE] * 3


def test_concurrent_workers_run_each_trial_once(tmp_path: Path) -> None:
    workers = [spawned.Process(target=take_all, args=(tmp_path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    trials = Study(settings(tmp_path)).trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 30
    assert len({trial.params["x"] for trial in trials}) == 30


def test_a_partially_created_study_is_created_again(tmp_path: Path) -> None:
    (tmp_path / ".study.db.partial").write_bytes(b"SQLite format 3 and no more")
    assert work(Study(settings(tmp_path, 2), "min")) == 2
    assert not (tmp_path / ".study.db.partial").exists()


def test_a_trial_worse_than_the_others_is_pruned(tmp_path: Path) -> None:
    study = Study(settings(tmp_path, 4, pruner=MEDIAN), "max")
    for worth in (3.0, 4.0):
        trial = study.next(SPACE)
        assert trial is not None
        for epoch in range(3):
            trial.report(worth, epoch)
        trial.complete(worth)
    bad = study.next(SPACE)
    assert bad is not None
    with pytest.raises(Pruned, match="epoch 0"):
        bad.report(1.0, 0)
    bad.prune()
    failed = study.next(SPACE)
    assert failed is not None
    failed.fail("it broke")
    assert [trial.state.name for trial in study.trials()] == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL"]
    assert study.trials()[3].user_attrs["error"] == "it broke"
    best = study.best()
    assert best is not None
    assert best.value == 4.0
    assert study.next(SPACE) is None


@pytest.mark.parametrize("own_storage", [False, True])
def test_a_study_keeps_its_direction(tmp_path: Path, own_storage: bool) -> None:
    storage = f"sqlite:///{tmp_path / 'server.db'}" if own_storage else None
    for mode, other, best in (("max", "min", 0.5), ("min", "max", 0.25)):
        options = settings(tmp_path / mode, storage=storage)
        assert Study(options, mode).best() is None
        for value in (0.25, 0.5):
            trial = Study(options).next(SPACE)
            assert trial is not None and trial.mode == mode
            trial.complete(value)
        found = Study(options, mode).best()
        assert found is not None and found.value == best
        with pytest.raises(UserError, match=r"other extreme .* give another hydra\.sweeper\.study_name"):
            Study(options, other)


def test_an_unusable_storage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="storage"):
        Study(settings(tmp_path, storage="sqlite:////nowhere/study.db"), "min")
    with pytest.raises(UserError, match="storage"):
        Study(settings(tmp_path, storage="no url"), "min")


def test_a_study_of_the_same_name_elsewhere_is_refused(tmp_path: Path) -> None:
    server = f"sqlite:///{tmp_path / 'server.db'}"
    work(Study(settings(tmp_path / "here" / "study", 2, storage=server), "min"))
    with pytest.raises(UserError, match=r"paths\.output_dir"):
        Study(settings(tmp_path / "there" / "study", 2, storage=server), "min")
    assert optuna.get_all_study_names(server) == ["study"]


@pytest.mark.parametrize(
    "space",
    [
        {"x": SPACE["x"]},
        {**SPACE, "more": FloatDistribution(0.0, 1.0)},
        {**SPACE, "kind": CategoricalDistribution(["round", "square", "flat"])},
        {**SPACE, "x": CategoricalDistribution(["0.5"])},
    ],
    ids=["a key less", "a key more", "other choices", "another kind"],
)
def test_a_study_with_another_search_space_is_refused(tmp_path: Path, space: dict[str, BaseDistribution]) -> None:
    study = Study(settings(tmp_path), "min")
    work(study, 2)
    study.require_space({**SPACE, "x": FloatDistribution(-3.0, 3.0)})
    with pytest.raises(UserError, match="study_name"):
        study.require_space(space)


def test_a_partially_drawn_trial_does_not_change_the_search_space(tmp_path: Path) -> None:
    study = Study(settings(tmp_path), "min")
    trial = study._study.ask()
    trial.suggest_float("x", -1.0, 1.0)
    study.require_space(SPACE)
