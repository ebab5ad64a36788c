"""Sweeps as a user types them: they can be resumed, repeat no complete trial, and report failures."""

import csv
import json
import random
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.sweep.study import StudyTrial
from bionets.models import Model
from tests.acceptance.conftest import SMALL, Command, start, the_run

LEARNING_RATES = "optimizer.lr=tag(log,interval(1e-4,1e-1))"
TINY = (*SMALL, "model=gru", "model.num_layers=1", "model.dropout=0")


def table(workplace: Path) -> list[dict[str, str]]:
    (file,) = workplace.rglob("trials.csv")
    return list(csv.DictReader(file.open()))


def test_a_search_reports_failed_trials_and_the_same_command_repeats_none(cli: Command, workplace: Path) -> None:
    command = ("train", "-m", *TINY, "sweep=tpe", LEARNING_RATES, "task.length=5,-5")
    outcome = cli(*command, "hydra.sweeper.n_trials=4", "hydra.sweeper.seed=1")
    assert outcome.code == 1
    first = table(workplace)
    failed = [trial for trial in first if trial["state"] == "fail"]
    assert [trial["task.length"] for trial in first] == ["-5" if trial in failed else "5" for trial in first]
    assert 0 < len(failed) < 4
    assert outcome.error.splitlines()[-1] == f"error: {len(failed)} of 4 trials failed"
    for trial in failed:
        assert f"task.length=-5 optimizer.lr={trial['optimizer.lr']}: task.length must be" in outcome.error
    written = {file: file.stat().st_mtime_ns for file in workplace.rglob("result.json")}
    assert len(written) == 4 - len(failed)

    again = cli(*command, "hydra.sweeper.n_trials=5", "hydra.sweeper.seed=1", "callbacks.figures=false")
    assert table(workplace)[:4] == first
    assert len(table(workplace)) == 5
    assert all(file.stat().st_mtime_ns == at for file, at in written.items())
    best = min((trial for trial in table(workplace) if trial["value"]), key=lambda trial: float(trial["value"]))
    result = json.loads((workplace / best["folder"] / "result.json").read_text())
    assert result["metrics"]["val/loss"] == float(best["value"])
    assert f"in trial {best['trial']}" in again.out


def test_a_search_on_user_data_with_classes_maximises_accuracy(cli: Command, workplace: Path) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(80, 3, 1)).astype("float32")
    np.savez("two.npz", x=x, y=(x[:, -1, 0] > 0).astype("int64"))
    small = ("model=gru", "model.hidden_size=4", "trainer.max_epochs=5", "callbacks=quiet", "logger=none")
    search = ("sweep=random", "optimizer.lr=1e-9,0.1", "hydra.sweeper.n_trials=4", "task=custom", "task.batch_size=4")
    command = ("train", "-m", *small, *search, "task.val_share=0.4")
    outcome = cli(*command, "task.data=two.npz")
    assert outcome.code == 0, outcome.error
    trials = table(workplace)
    results = [json.loads((workplace / trial["folder"] / "result.json").read_text()) for trial in trials]
    values = [result["metrics"]["val/accuracy"] for result in results]
    assert [float(trial["value"]) for trial in trials] == values
    assert max(values) > min(values)
    assert f"{max(values):.6g} in trial {values.index(max(values))}" in outcome.out
    missing = cli(*command, "task.data=three.npz")
    assert missing.code == 1
    assert missing.error == "error: task.data=three.npz does not exist\n"


def test_a_trial_worse_than_the_others_is_pruned_and_its_run_records_it(cli: Command, workplace: Path) -> None:
    study = (
        "train",
        "-m",
        *TINY,
        "sweep=tpe",
        "hydra.sweeper.study_name=mine",
        "hydra.sweeper.pruner.n_startup_trials=2",
    )
    assert cli(*study, "optimizer.lr=interval(0.09,0.1)", "hydra.sweeper.n_trials=2").code == 0
    outcome = cli(*study, "optimizer.lr=interval(1e-9,1e-8)", "hydra.sweeper.n_trials=3")
    assert outcome.code == 0, outcome.error
    pruned = [trial for trial in table(workplace) if trial["state"] == "pruned"]
    assert pruned
    folder = RunFolder(workplace / pruned[0]["folder"])
    result = folder.result()
    assert result is not None
    assert result["status"] == "pruned"
    assert "better by epoch" in result["error"]
    words = yaml.safe_load(folder.overrides_file.read_text())
    alone = cli("train", *words)  # asked for by itself, it is trained to its end
    assert alone.code == 0, alone.error
    assert folder.complete()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep=tpe"], "there is nothing to search"),
        ([LEARNING_RATES], "sweep=random, tpe or cmaes"),
        (["sweep=tpe", LEARNING_RATES, "hydra.sweeper.n_jobs=2"], "launcher=joblib"),
        (["sweep=tpe", LEARNING_RATES, "hydra.sweeper.storage=nowhere"], "storage nowhere"),
        (["sweep=tpe", LEARNING_RATES, "hydra.sweeper.trials=3"], "hydra.sweeper.trials"),
        (["sweep=tpe", "optimizer.lr=interval(2,1)"], "optimizer.lr=interval(2,1)"),
        (["sweep=tpe", LEARNING_RATES, "seeds=2"], "leave out seeds="),
        (["sweep=tpe", LEARNING_RATES, "find=lr"], "leave out find="),
        (["sweep=tpe", LEARNING_RATES, "trainer.fast_dev_run=true"], "leave out trainer.fast_dev_run="),
        (["seed=0,1", "model=gruu,brc"], "did you mean gru"),
        (["sweep=seeds", "seed=7"], "the sweep says seed=0,1,2,3,4, and the command line seed=7"),
        (["seed=range(0)"], "seed=range(0) has no values"),
        (["model=glob(zzz*)"], "model=glob(zzz*) has no values"),
        (["seed=range(0,1000000000)"], "at most 10000"),
        (["sweep=tpe", "task.length=range(0)"], "task.length=range(0)"),
        (["sweep=tpe", LEARNING_RATES, "hydra.sweeper.n_trials=0"], "error: hydra.sweeper.n_trials must be at least 1"),
        (["sweep=tpe", LEARNING_RATES, "hydra.sweeper.n_jobs=0"], "error: hydra.sweeper.n_jobs must be at least 1"),
        (["sweep=tpe", LEARNING_RATES, "hydra.sweeper.sampler=null"], "hydra.sweeper.sampler"),
        (["sweep=random", LEARNING_RATES, "+hydra.sweeper.sampler.size=1"], "has no key size; it has no keys"),
        (["launcher=joblib", "seed=0,1", "hydra.launcher.n_jobs=0"], "hydra.launcher.n_jobs must be above 0"),
        (["launcher=joblib", "seed=0,1", "hydra.launcher.pre_dispatch=x"], "the launcher refuses its settings"),
        (["seed=0,1", "hydra.launcher=null"], "hydra.launcher has no value"),
    ],
)
def test_an_impossible_sweep_gives_a_one_line_error(
    cli: Command, workplace: Path, words: list[str], message: str
) -> None:
    outcome = cli("train", "-m", *SMALL, *words)
    assert outcome.code == 1
    assert message in outcome.error
    assert outcome.error.startswith("error: ")
    assert outcome.error.count("\n") == 1


def test_a_sweep_leaves_out_a_run_that_another_process_trains(cli: Command, workplace: Path) -> None:
    assert cli("train", *TINY, "seed=0").code == 0
    folder = the_run(workplace / "outputs")
    result = folder.result_file.read_text()
    folder.result_file.unlink()
    with folder.open(folder.config(), [], {}):
        outcome = cli("train", "-m", *TINY, "seed=0,1")
    assert outcome.code == 1
    assert "left out: seed=0: another process is training" in outcome.error
    assert outcome.error.splitlines()[-1].startswith("error: another process runs 1 of 2 jobs")
    folder.result_file.write_text(result)
    assert len(list((workplace / "outputs").rglob("result.json"))) == 2


def test_the_second_job_of_a_sweep_equals_a_single_run(cli: Command, workplace: Path) -> None:
    jobs = ("seed=1,0", "logger=wandb", "logger.mode=offline", "trainer.deterministic=true")
    outcome = cli("train", "-m", *SMALL, *jobs, "paths.output_dir=both")
    assert outcome.code == 0, outcome.error
    alone = start("train", *SMALL, "seed=0", "trainer.deterministic=true", "paths.output_dir=alone", cwd=workplace)
    out, _ = alone.communicate(timeout=180)
    assert alone.returncode == 0, out
    (second,) = (RunFolder(path) for path in (workplace / "both").rglob("seed-0"))
    first = the_run(workplace / "alone")
    assert second.metrics_file.read_bytes() == first.metrics_file.read_bytes()
    ours, theirs = second.result(), first.result()
    assert ours is not None
    assert theirs is not None
    assert ours["tests"] == theirs["tests"]
    mirrors = list((workplace / "both").rglob("*.wandb"))
    assert len(mirrors) == 2
    assert len({mirror.name for mirror in mirrors}) == 2


# A BRC needs a word for its initialisation, and a GRU does not; so three of four combinations can be composed.
TOGETHER = ("model=gru,brc", "model.initialisation=warmup,null")


@pytest.mark.parametrize("launcher", ["basic", pytest.param("joblib", marks=pytest.mark.slow)])
def test_only_jobs_with_incompatible_values_fail_in_a_sweep(cli: Command, workplace: Path, launcher: str) -> None:
    outcome = cli("train", "-m", *TINY, "seed=0,1", *TOGETHER, f"launcher={launcher}")
    assert outcome.code == 1
    assert outcome.error.splitlines()[-1].startswith("error: 2 of 8 jobs failed")
    for seed in (0, 1):
        assert f"failed: model=brc seed={seed} model.initialisation=null: model.initialisation: " in outcome.error
    results = [json.loads(file.read_text()) for file in workplace.rglob("result.json")]
    assert [result["status"] for result in results] == ["complete"] * 6


def test_only_trials_with_incompatible_values_fail_in_a_search(cli: Command, workplace: Path) -> None:
    for _ in range(2):
        outcome = cli("train", "-m", *TINY, "sweep=random", *TOGETHER, "hydra.sweeper.n_trials=6")
        assert outcome.code == 1
        trials = table(workplace)
        bad = [(trial["model"], trial["model.initialisation"]) == ("brc", "null") for trial in trials]
        assert len(trials) == 6 and 0 < sum(bad) < 6
        assert [trial["state"] for trial in trials] == ["fail" if each else "complete" for each in bad]
        assert all("model.initialisation: " in trial["error"] for trial, each in zip(trials, bad, strict=True) if each)


def test_another_pruner_is_noted(cli: Command, workplace: Path) -> None:
    command = ("train", "-m", *TINY, "sweep=tpe", LEARNING_RATES, "hydra.sweeper.n_trials=1")
    assert "another pruner" not in cli(*command).out
    assert "another pruner" not in cli(*command).out
    outcome = cli(*command, "hydra.sweeper.pruner=null")
    assert outcome.code == 0, outcome.error
    assert "began with another pruner" in outcome.out
    assert len(table(workplace)) == 1


def test_several_runs_are_evaluated_by_one_command(cli: Command, workplace: Path) -> None:
    assert cli("train", *TINY, "seed=0").code == 0
    folder = the_run(workplace / "outputs")
    before = {path.name for path in workplace.iterdir()}
    outcome = cli("evaluate", "-m", f"run=outputs/none,{folder.path.relative_to(workplace)}")
    assert outcome.code == 1
    assert "failed: run=outputs/none: " in outcome.error
    assert outcome.error.splitlines()[-1].startswith("error: 1 of 2 jobs failed")
    assert (folder.path / "evaluation-best.json").exists()
    assert {path.name for path in workplace.iterdir()} == before


def test_no_model_stays_in_memory_after_its_job(cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: weakref.WeakSet[Model] = weakref.WeakSet()
    build = Model.__init__

    def remembered(self: Model, *arguments: Any, **more: Any) -> None:
        build(self, *arguments, **more)
        alive.add(self)

    monkeypatch.setattr(Model, "__init__", remembered)
    outcome = cli("train", "-m", *TINY, "seed=0,1")
    assert outcome.code == 0, outcome.error
    assert len(alive) == 0


@pytest.mark.parametrize(
    ("trials", "kills", "epochs"),
    [(4, 2, 6), pytest.param(200, 10, 40, marks=[pytest.mark.slow, pytest.mark.timeout(10_000)])],
)
def test_a_search_killed_at_any_moment_ends_like_an_uninterrupted_one(
    workplace: Path, trials: int, kills: int, epochs: int
) -> None:
    length = ("task.length=4", f"task.epochs_per_length={epochs // 2}", "task.test_length=4")
    command = ("train", "-m", *TINY, *length, "sweep=random", LEARNING_RATES, f"hydra.sweeper.n_trials={trials}")
    random.seed(trials)
    for _ in range(kills):
        process = start(*command, cwd=workplace)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(("training", "going on")):
                break
        time.sleep(random.uniform(0, 1.5 * trials / kills))
        process.kill()
        process.communicate()
    process = start(*command, cwd=workplace)
    out, _ = process.communicate(timeout=9000)
    assert process.returncode == 0, out

    told = table(workplace)
    assert [int(trial["trial"]) for trial in told] == list(range(trials))
    assert {trial["state"] for trial in told} == {"complete"}
    folders = [RunFolder(workplace / trial["folder"]) for trial in told]
    results = [folder.result() for folder in folders]
    values = [result["metrics"]["val/loss"] for result in results if result is not None]
    assert values == [float(trial["value"]) for trial in told]
    assert f"{min(values):.6g} in trial {values.index(min(values))}" in out

    assert {config.parent for config in workplace.rglob("config.yaml")} == {folder.path for folder in folders}
    assert len({folder.path for folder in folders}) == trials
    assert list(workplace.rglob("*.partial")) == []
    rows = {len(folder.metrics_file.read_text().splitlines()) for folder in folders}
    assert rows == {1 + epochs * (2 + 3)}  # a header; in each epoch two steps, and three values on validation data
    files = {"config.yaml", "overrides.yaml", "environment.json", "metrics.csv", "result.json", "manifest.json"}
    files |= {"checkpoints", ".lock"}
    assert all({file.name for file in folder.path.iterdir()} == files for folder in folders)


def test_a_trial_reports_only_epochs_that_were_validated(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[int] = []
    monkeypatch.setattr(StudyTrial, "report", lambda trial, value, epoch: reported.append(epoch))
    words = (*SMALL, "trainer.check_val_every_n_epoch=2", "trainer.max_epochs=5", "hydra.sweeper.n_trials=1")
    outcome = cli("train", "-m", *words, "sweep=random", "optimizer.lr=interval(0.001,0.01)")
    assert outcome.code == 0, outcome.error
    assert reported == [1, 3]
