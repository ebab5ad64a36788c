"""The main job: train, resume, evaluate, compare; the same bits from the same seed, whatever happens in between."""

import json
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from bionets.experiment.comparison.runs import Run, read_folders
from bionets.experiment.logging.wandb_runs import read_wandb_run
from bionets.experiment.run.run_folder import RunFolder
from tests.acceptance.conftest import ROOT, SMALL, Command, start, the_run
from tests.experiment.logging.wandb_api import inspect, uploaded


def reproducible_parts(folder: Path) -> tuple[bytes, dict[str, Any], dict[str, torch.Tensor]]:
    """The parts that two equal runs share to the bit: metrics.csv, the result without its times, the best weights."""
    run = the_run(folder)
    result = run.result()
    assert result is not None
    del result["wall_time"]
    return run.metrics_file.read_bytes(), result, torch.load(run.best, weights_only=True)["state_dict"]


def assert_equal_runs(first: Path, second: Path) -> None:
    metrics, result, weights = reproducible_parts(first)
    other_metrics, other_result, other_weights = reproducible_parts(second)
    assert metrics.splitlines() == other_metrics.splitlines()
    assert result == other_result
    assert all(torch.equal(weights[name], other_weights[name]) for name in weights)


def test_a_run_writes_a_complete_folder(cli: Command, workplace: Path) -> None:
    started = time.monotonic()
    outcome = cli("train", *SMALL, "callbacks=default", "seed=0")
    assert outcome.code == 0, outcome.error
    folder = the_run(workplace / "outputs")
    assert folder.path.parts[-4:-2] == ("binary_addition", "brc")
    assert folder.path.name == "seed-0"
    assert folder.config()["trainer"]["max_epochs"] == 6
    assert "seed=0" in yaml.safe_load(folder.overrides_file.read_text())
    assert json.loads(folder.environment_file.read_text())["versions"]["torch"] == torch.__version__
    result = folder.result()
    assert result is not None
    assert result["status"] == "complete"
    assert result["steps"] == 12
    assert 0 < result["wall_time"] < time.monotonic() - started
    assert set(result["tests"]) == {"length_3", "length_4", "length_5", "length_6"}
    figures = {f"{name}.{kind}" for name in ("loss", "accuracy_by_length") for kind in ("png", "svg")}
    assert {file.name for file in folder.figures.iterdir()} == figures
    for shown in ("test/accuracy_length_6", "python train.py", "python evaluate.py run=", "accuracy_by_length.png"):
        assert shown in outcome.out
    rows = folder.metrics_file.read_text().splitlines()
    assert rows[0] == "step,epoch,name,value"
    assert sum(",train/loss," in row for row in rows) == 12
    assert sum(",val/accuracy," in row for row in rows) == 6


def test_a_complete_run_is_not_run_again(cli: Command, workplace: Path) -> None:
    cli("train", *SMALL)
    folder = the_run(workplace / "outputs")
    written = folder.result_file.stat().st_mtime_ns
    outcome = cli("train", *SMALL)
    assert outcome.code == 0
    assert "already complete" in outcome.out
    assert folder.result_file.stat().st_mtime_ns == written


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("words", [("seed=1",), ("seeds=2",)], ids=" ".join)
def test_a_run_copied_to_the_folder_of_another_seed_is_not_taken_for_that_seed(
    cli: Command, workplace: Path, complete: bool, words: tuple[str, ...]
) -> None:
    without_dropout = (*SMALL, "model.dropout=0")
    assert cli("train", *without_dropout, "seed=0").code == 0
    folder = the_run(workplace / "outputs")
    copied = RunFolder(shutil.copytree(folder.path, folder.path.with_name("seed-1")))
    if not complete:
        copied.result_file.unlink()
        copied.manifest_file.unlink()
    outcome = cli("train", *without_dropout, *words)
    assert outcome.code == 1
    assert "says seed 0: name the folder seed-0, or delete it" in outcome.error


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(cli: Command, workplace: Path) -> None:
    for name in ("a", "b"):
        assert cli("train", *SMALL, f"paths.output_dir={name}").code == 0
    assert cli("train", *SMALL, "paths.output_dir=c", "seed=1").code == 0
    assert_equal_runs(workplace / "a", workplace / "b")
    assert reproducible_parts(workplace / "a")[0] != reproducible_parts(workplace / "c")[0]
    assert the_run(workplace / "a").path.parent.name == the_run(workplace / "c").path.parent.name


@pytest.mark.parametrize("number", [0, *[pytest.param(number, marks=pytest.mark.slow) for number in range(1, 6)]])
def test_a_run_killed_at_any_moment_ends_with_the_same_bits(workplace: Path, cli: Command, number: int) -> None:
    arguments = (*SMALL, "task.epochs_per_length=8", "average_weights=0.9")
    assert cli("train", *arguments, "paths.output_dir=whole").code == 0
    random.seed(number)
    for _ in range(3):
        process = start("train", *arguments, "paths.output_dir=killed", cwd=workplace)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(("training", "going on")):
                break
        time.sleep(random.uniform(0, 1.5))
        process.kill()
        process.wait()
    outcome = cli("train", *arguments, "paths.output_dir=killed")
    assert outcome.code == 0, outcome.error
    assert_equal_runs(workplace / "whole", workplace / "killed")


def test_a_run_stopped_by_ctrl_c_reports_it_and_can_be_resumed(workplace: Path, cli: Command) -> None:
    arguments = (*SMALL, "task.epochs_per_length=200")
    process = start("train", *arguments, cwd=workplace)
    last = None
    while process.poll() is None and last is None:
        time.sleep(0.2)
        last = next((workplace / "outputs").rglob("last.ckpt"), None)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert "the same command continues" in out
    assert "Traceback" not in out
    again = start("train", *arguments, cwd=workplace)
    assert again.stdout is not None
    line = next(line for line in again.stdout if line.startswith(("training", "going on")))
    again.kill()
    again.wait()
    assert line.startswith("going on after epoch")


def test_a_second_process_is_refused_while_a_run_trains(workplace: Path, cli: Command) -> None:
    arguments = (*SMALL, "task.epochs_per_length=200")
    process = start("train", *arguments, cwd=workplace)
    try:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("training"))
        outcome = cli("train", *arguments)
        assert outcome.code == 1
        assert "another process is training" in outcome.error
    finally:
        process.kill()
        process.wait()


def test_evaluate_recomputes_the_test_metrics_to_the_bit(cli: Command, workplace: Path) -> None:
    cli("train", *SMALL)
    folder = the_run(workplace / "outputs")
    shutil.move(folder.path, workplace / "moved")
    assert cli("evaluate", "run=moved").code == 0
    evaluation = json.loads((workplace / "moved" / "evaluation-best.json").read_text())
    result = json.loads((workplace / "moved" / "result.json").read_text())
    assert evaluation["tests"] == result["tests"]
    assert cli("evaluate", "run=moved", "checkpoint=last").code == 0


def test_evaluate_prints_the_metrics_of_a_run_in_whose_folder_it_cannot_write(cli: Command, workplace: Path) -> None:
    assert cli("train", *SMALL).code == 0
    folder = the_run(workplace / "outputs")
    (folder.path / "evaluation-best.json").mkdir()
    outcome = cli("evaluate", f"run={folder.path}")
    assert outcome.code == 1
    assert outcome.error.startswith("error: ") and outcome.error.count("\n") == 1
    assert "test/accuracy_mean" in outcome.out


def test_ctrl_c_during_evaluate_exits_with_code_130(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    cli("train", *SMALL)
    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr("bionets.tasks.BinaryAddition.test_data", interrupted)
    outcome = cli("evaluate", f"run={the_run(workplace / 'outputs').path}")
    signal.signal(signal.SIGINT, handler)  # which Lightning takes away
    assert outcome.code == 130
    assert "Traceback" not in outcome.error


def test_checkpoints_are_readable_with_weights_only(cli: Command, workplace: Path) -> None:
    cli("train", *SMALL)
    folder = the_run(workplace / "outputs")
    for file in (folder.best, folder.last):
        assert "state_dict" in torch.load(file, weights_only=True)
    assert sorted(file.name for file in folder.checkpoints.iterdir()) == ["best.ckpt", "last.ckpt"]


def test_the_runs_of_a_sweep_are_compared_by_model(cli: Command, workplace: Path) -> None:
    outcome = cli("train", "-m", *SMALL, "model=brc,gru", "model.num_layers=1", "model.dropout=0", "seed=0,1")
    assert outcome.code == 0, outcome.error
    outcome = cli("compare", "runs=outputs", "by=model")
    assert outcome.code == 0, outcome.error
    table = (workplace / "comparison" / "table.csv").read_text().splitlines()
    assert table[0].startswith("model,metric,n,mean,standard error")
    assert {row.split(",")[0] for row in table[1:]} == {"brc", "gru"}
    assert all(row.split(",")[2] == "2" for row in table[1:])
    for stem in ("loss", "val_loss", "val_accuracy", "accuracy_by_length", "bars"):
        for kind in ("png", "svg"):
            assert (workplace / "comparison" / f"{stem}.{kind}").stat().st_size > 1000


def test_compare_reports_the_runs_that_it_leaves_out(cli: Command, workplace: Path) -> None:
    cli("train", *SMALL)
    cli("train", *SMALL, "seed=1", "optimizer.lr=1e38", "optimizer=sgd", "name=wild")
    outcome = cli("compare", "runs=outputs")
    assert outcome.code == 0
    assert "left out, failed" in outcome.out


def test_compare_draws_the_curves_of_unfinished_runs(cli: Command, workplace: Path) -> None:
    cli("train", *SMALL)
    the_run(workplace / "outputs").result_file.unlink()
    assert cli("compare", "runs=outputs").code == 1
    outcome = cli("compare", "runs=outputs", "unfinished=true", "metrics=[test/accuracy_mean]")
    assert outcome.code == 0, outcome.error
    assert "note: not ended, and only part of the curves: outputs" in outcome.out
    assert {file.stem for file in (workplace / "comparison").glob("*.png")} == {"loss", "val_accuracy", "val_loss"}


def test_a_sweep_with_a_failed_job_completes_the_others_and_exits_with_code_1(cli: Command, workplace: Path) -> None:
    outcome = cli("train", "-m", *SMALL, "task.length=-5,5")
    assert outcome.code == 1
    assert "task.length" in outcome.error
    assert the_run(workplace / "outputs").complete()


def test_two_ddp_processes_give_the_weights_of_one_process(workplace: Path, cli: Command) -> None:
    same = [word for word in SMALL if "dropout" not in word]
    arguments = (*same, "accelerator=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "paths.output_dir=two")
    process = start("train", *arguments, cwd=workplace)
    out, _ = process.communicate(timeout=180)
    assert process.returncode == 0, out
    assert cli("train", *same, "paths.output_dir=one").code == 0
    one, two = reproducible_parts(workplace / "one"), reproducible_parts(workplace / "two")
    assert all(torch.allclose(one[2][name], two[2][name], atol=1e-5) for name in one[2])
    assert one[1]["tests"].keys() == two[1]["tests"].keys()


@pytest.mark.slow
def test_a_non_finite_loss_with_ddp_is_reported_once_and_recorded(workplace: Path) -> None:
    two = ("accelerator=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
    process = start("train", *SMALL, *two, "optimizer=sgd", "optimizer.lr=1e38", cwd=workplace)
    out, _ = process.communicate(timeout=500)
    assert process.returncode == 1, out
    assert out.count("error: ") == 1
    result = the_run(workplace / "outputs").result()
    assert result is not None
    assert result["status"] == "failed"
    assert "at step" in result["error"]


def test_ddp_in_a_multirun_is_refused_with_a_remedy(cli: Command, workplace: Path) -> None:
    two = ("trainer.accelerator=cpu", "trainer.devices=2")
    outcome = cli("train", "-m", *SMALL, *two, "seed=0,1")
    assert outcome.code == 1
    assert "without -m" in outcome.error


def test_an_offline_wandb_run_mirrors_the_folder(workplace: Path) -> None:
    process = start("train", *SMALL, "logger=wandb", "logger.tags=[demo]", "callbacks=default", cwd=workplace)
    out, _ = process.communicate(timeout=500)
    assert process.returncode == 0, out
    folder = the_run(workplace / "outputs")
    (mirror,) = folder.path.rglob("*.wandb")
    identity = json.loads(folder.wandb_file.read_text())["id"]
    assert identity in mirror.name
    shown = inspect(mirror, "--summary")
    for word in (identity, "binary_addition/brc/run-", '"job_type": "train"', "demo", "figures/loss"):
        assert word in shown

    # Sent to W&B and read there, the run has the values of its folder.
    ((here,), _) = read_folders(str(workplace / "outputs"))
    there = read_wandb_run(uploaded(mirror))
    assert isinstance(there, Run)
    assert (there.metrics, there.tests, there.more) == (here.metrics, here.tests, here.more)
    assert [there.config[key] for key in ("task", "seed")] == [here.config[key] for key in ("task", "seed")]
    assert there.curves()["val/loss"] == here.curves()["val/loss"]


def test_the_help_page_shows_the_config_groups_and_three_commands(cli: Command) -> None:
    outcome = cli("train", "--help")
    assert outcome.code == 0
    assert outcome.out.count("python train.py") >= 3
    for folder in (ROOT / "configs").iterdir():
        if folder.is_dir() and folder.name not in ("hydra", "study"):
            assert f"\n  {folder.name}" in outcome.out
    assert "schema" not in outcome.out
    for name in ("evaluate", "compare"):
        assert cli(name, "--help").code == 0


def test_the_recorded_overrides_reproduce_a_run(cli: Command, workplace: Path) -> None:
    cli("train", *SMALL, "paths.output_dir=first")
    overrides = yaml.safe_load(the_run(workplace / "first").overrides_file.read_text())
    cli("train", *overrides, "paths.output_dir=second")
    assert_equal_runs(workplace / "first", workplace / "second")
