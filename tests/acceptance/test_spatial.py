"""Spatial networks on two tasks: training, analysis of the trained network, and refused input."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

from bionets.experiment.run.recorded_arrays import read_recorded_arrays
from tests.acceptance.conftest import Command, Outcome, the_run
from tests.tasks import idx_files

SMALL = (
    "task.train_size=40",
    "task.val_size=10",
    "task.test_size=30",
    "task.batch_size=10",
    "trainer.max_epochs=3",
    "callbacks=quiet",
    "logger=none",
)
SPATIAL = ("model=spatial_linear", "model.hidden_sizes=[5,4]", "model.proximity=1", "model.transport=1")


@pytest.fixture(autouse=True)
def images(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mnist", "fashion_mnist"):
        idx_files.write(workplace / "data", name)
    monkeypatch.setenv("BIONETS_DATA", "data")


def refused(outcome: Outcome, *words: str) -> None:
    assert outcome.code == 1
    assert outcome.error.startswith("error: ") and outcome.error.count("\n") == 1, outcome.error
    assert all(word in outcome.error for word in words), outcome.error


def test_a_run_is_analysed_from_its_folder(cli: Command, workplace: Path) -> None:
    trained = cli("train", *SMALL, *SPATIAL, "task=multi_image", "task.presentation=concatenate")
    assert trained.code == 0, trained.error
    folder = the_run(workplace / "outputs")
    positions = read_recorded_arrays(folder.path / "positions.npz")
    assert positions["epoch"].tolist() == [0, 1, 2, 3] and positions["layer_1"].shape == (4, 4, 2)
    assert (positions["layer_1"][0] != positions["layer_1"][1]).all()

    outcome = cli("analyse", f"run={folder.path}", "reduction=variance", "checkpoint=last")
    assert outcome.code == 0, outcome.error
    analysis = folder.path / "analysis"
    with np.load(analysis / "activations-variance.npz", allow_pickle=False) as recorded:
        assert recorded["tasks"].tolist() == ["mnist", "fashion_mnist"] and recorded["layer_0"].shape == (2, 5)
    with (analysis / "scores.csv").open() as file:
        scores = list(csv.DictReader(file))
    assert len(scores) == 5 * 4 and {row["method"] for row in scores} >= {"greedy", "clusters"}
    with (analysis / "neurons.csv").open() as file:
        neurons = list(csv.DictReader(file))
    assert len(neurons) == 5 + 4 + 20
    assert [float(neurons[-1][axis]) for axis in "xy"] == pytest.approx(positions["layer_2"][-1][-1].tolist())
    weights = safetensors.torch.load_file(analysis / "split-greedy" / "mnist.safetensors")
    assert weights["5.weight"].shape == (20, 4) and weights["5.weight"][1::2].eq(0).all()
    assert (analysis / "positions.gif").read_bytes().startswith(b"GIF89a")
    assert not [file for file in analysis.rglob("*") if file.suffix in (".pt", ".pkl", ".ckpt")]

    study = cli("analyse", "runs=outputs", "methods=[greedy,rescale]", "output_dir=study")
    assert study.code == 0, study.error
    assert (workplace / "study" / "splits.md").read_text().count("\n") == 4
    assert (workplace / "study" / "splits.png").read_bytes().startswith(b"\x89PNG")
    assert not (workplace / "study" / "choice.csv").exists()  # nothing is chosen on test images

    choice = cli("analyse", "runs=outputs", "methods=[greedy]", "by=[model.norm]", "data=val", "output_dir=choice")
    assert choice.code == 0 and "chosen" in choice.out, choice.error
    with (workplace / "choice" / "choice.csv").open() as file:
        (row,) = csv.DictReader(file)
    result = json.loads(folder.result_file.read_text())
    assert row["presentation"] == "concatenate" and row["norm"] == "l2"
    assert float(row["accuracy"]) == pytest.approx(result["metrics"]["val/accuracy"])

    damaged = workplace / "outputs" / "damaged" / "seed-0"
    shutil.copytree(folder.path, damaged)
    (damaged / "checkpoints" / "best.ckpt").unlink()
    partial = cli("analyse", "runs=outputs", "methods=[greedy,rescale]", "output_dir=partial")
    assert partial.code == 0 and "checkpoints/best.ckpt is missing" in partial.out and "left out" in partial.out
    assert (workplace / "partial" / "splits.csv").read_text() == (workplace / "study" / "splits.csv").read_text()
    refused(cli("analyse", "runs=outputs/damaged"), "no run in runs=outputs/damaged can be split")
    shutil.rmtree(damaged)

    refused(cli("analyse"), "run=", "runs=")
    refused(cli("analyse", "run=nowhere"), "nowhere", "train.py")
    refused(cli("analyse", "runs=nowhere"), "nowhere", "train.py")
    refused(cli("analyse", f"run={folder.path}", "methods=[greediest]"), "greediest", "rescale")
    refused(cli("analyse", f"run={folder.path}", "steps=[plots]"), "plots", "score")
    refused(cli("analyse", f"run={folder.path}", "reduction=median"), "median", "variance")
    refused(cli("analyse", f"run={folder.path}", "data=holdout"), "data=holdout", "val")
    refused(cli("analyse", f"run={folder.path}", "checkpoint=first"), "first", "last")
    (folder.path / "positions.npz").write_bytes(b"no archive")
    refused(cli("analyse", f"run={folder.path}", "steps=[plot]", "methods=[greedy]"), "positions.npz")


def test_analyse_refuses_a_run_of_another_family_or_of_a_single_task(cli: Command, workplace: Path) -> None:
    assert cli("train", *SMALL, "model=feed_forward", "model.hidden_size=4", "task=multi_image").code == 0
    for where in (f"run={the_run(workplace / 'outputs').path}", "runs=outputs"):
        refused(cli("analyse", where), "model=feed_forward", "spatial_linear")
    shutil.rmtree(workplace / "outputs")
    assert cli("train", *SMALL, *SPATIAL, "task=mnist").code == 0
    for where in (f"run={the_run(workplace / 'outputs').path}", "runs=outputs"):
        refused(cli("analyse", where), "task=mnist", "multi_image")


def test_a_resumed_run_records_the_same_positions(cli: Command, workplace: Path) -> None:
    arguments = (*SMALL, *SPATIAL, "task=multi_image")
    assert cli("train", *arguments, "paths.output_dir=whole").code == 0
    assert cli("train", *arguments, "paths.output_dir=stopped").code == 0
    whole, stopped = the_run(workplace / "whole"), the_run(workplace / "stopped")
    # As if it had been killed after the second epoch's checkpoint, or within the third epoch.
    again = cli("train", *arguments, "paths.output_dir=stopped", "trainer.max_epochs=2", "name=two")
    assert again.code == 0
    two = the_run(next((workplace / "stopped").rglob("two-*")))
    shutil.copy(two.last, stopped.last)
    stopped.result_file.unlink()
    outcome = cli("train", *arguments, "paths.output_dir=stopped")
    assert outcome.code == 0 and "going on after epoch 1" in outcome.out, outcome.error
    assert (stopped.path / "positions.npz").read_bytes() == (whole.path / "positions.npz").read_bytes()


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("model.where=[0,3]", ["model.where", "layer 3", "0 to 2"]),
        ("model.norm=l3", ["model.norm=l3", "l1"]),
        ("task.presentation=together", ["task.presentation=together", "mix"]),
        ("task.datasets=[mnist,minst]", ["minst", "fashion_mnist"]),
    ],
)
def test_a_wrong_argument_gives_a_one_line_error_and_writes_nothing(
    cli: Command, workplace: Path, argument: str, words: list[str]
) -> None:
    refused(cli("train", *SMALL, *SPATIAL, "task=multi_image", argument), *words)
    assert not (workplace / "outputs").exists()


def test_data_sets_of_different_shapes_give_a_one_line_error(cli: Command, workplace: Path) -> None:
    idx_files.write(workplace / "data", "kmnist", side=32)
    refused(cli("train", *SMALL, *SPATIAL, "task=multi_image", "task.datasets=[mnist,kmnist]"), "kmnist 32 × 32")
    assert not (workplace / "outputs").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["schedule=cosine"],
        ["schedule=OneCycleLR", "schedule.max_lr=0.1"],
        ["schedule=CyclicLR", "schedule.base_lr=0.01", "schedule.max_lr=0.1"],
    ],
    ids=lambda words: words[0],
)
def test_positions_keep_their_own_learning_rate_with_every_schedule(
    cli: Command, workplace: Path, words: list[str]
) -> None:
    monitor = ("+callbacks.extra.rate._target_=lightning.pytorch.callbacks.LearningRateMonitor", "logger=csv")
    outcome = cli("train", *SMALL, *SPATIAL, "task=mnist", "model.positions_lr=3", *words, *monitor)
    assert outcome.code == 0, outcome.error
    with (the_run(workplace / "outputs").path / "csv" / "metrics.csv").open() as file:
        rates = [(row["lr-Adam/pg1"], row["lr-Adam/pg2"]) for row in csv.DictReader(file) if row["lr-Adam/pg1"]]
    assert len({weights for weights, _ in rates}) == 3 * 40 // 10
    for weights, positions in rates:
        assert float(positions) == pytest.approx(3 * float(weights))


def test_lbfgs_refuses_a_learning_rate_of_the_positions(cli: Command) -> None:
    words = (*SMALL, *SPATIAL, "task=mnist", "optimizer=LBFGS")
    refused(cli("train", *words, "model.positions_lr=3"), "LBFGS", "leave out model.positions_lr")
    refused(cli("train", *words, "model.positions_lr=3", "find=lr"), "LBFGS", "leave out model.positions_lr")
