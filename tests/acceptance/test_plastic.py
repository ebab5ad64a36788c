"""Runs of models that learn by plasticity: resumed runs have the same bits, and evaluate repeats the test."""

import json
from pathlib import Path

import pytest

from bionets.models import RewardModulatedModel, STDPModel
from tests.acceptance.conftest import Command, the_run
from tests.acceptance.test_runs import assert_equal_runs
from tests.tasks import idx_files

DIGITS = ("model=stdp", "task=mnist", "model.hidden_size=8", "model.steps=60", "model.max_rate=200")
XOR = ("model=reward_modulated", "task=boolean", "model.hidden_size=8", "task.steps=30")
POLE = ("model=reward_modulated", "task=cart_pole", "model.place_cells=[2,2,3,3]", "task.steps=20")
SHORT = (
    "task.train_size=20",
    "task.val_size=10",
    "task.test_size=10",
    "task.batch_size=5",
    "trainer.max_epochs=2",
    "logger=none",
)


@pytest.fixture(autouse=True)
def own_data_dir(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    idx_files.write(workplace / "data")
    monkeypatch.setenv("BIONETS_DATA", "data")


@pytest.mark.parametrize("words", [DIGITS, XOR, POLE], ids=["stdp", "xor", "pole"])
def test_a_resumed_run_has_the_same_bits_as_an_uninterrupted_one(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    run = ("train", *words, *SHORT, "callbacks=quiet")
    assert cli(*run, "paths.output_dir=whole").code == 0

    def stop(model: STDPModel) -> None:
        if model.current_epoch == 1:
            raise KeyboardInterrupt

    family = STDPModel if words is DIGITS else RewardModulatedModel
    with monkeypatch.context() as patch:
        patch.setattr(family, "on_train_epoch_end", stop)
        assert cli(*run, "paths.output_dir=stopped").code == 130
    outcome = cli(*run, "paths.output_dir=stopped")
    assert outcome.code == 0 and "going on after epoch 0" in outcome.out
    assert_equal_runs(workplace / "whole", workplace / "stopped")


def test_filters_are_drawn_and_evaluate_repeats_the_test(cli: Command, workplace: Path) -> None:
    assert cli("train", *DIGITS, *SHORT, "callbacks.progress=false").code == 0
    folder = the_run(workplace / "outputs")
    assert (folder.figures / "filters.png").read_bytes().startswith(b"\x89PNG")
    assert cli("evaluate", f"run={folder.path}").code == 0
    evaluation = json.loads((folder.path / "evaluation-best.json").read_text())
    assert evaluation["tests"] == folder.result()["tests"]


@pytest.mark.parametrize("words", [DIGITS, XOR], ids=["stdp", "xor"])
def test_half_precision_is_refused_in_one_line(cli: Command, words: tuple[str, ...]) -> None:
    outcome = cli("train", *words, *SHORT, "trainer.precision=bf16-true")
    assert outcome.code == 1 and outcome.error.count("\n") == 1
    assert "trainer.precision=bf16-true loses the small changes" in outcome.error


def test_stdp_on_rows_of_images_is_refused_in_one_line(cli: Command) -> None:
    outcome = cli("train", "model=stdp", "task=mnist", "task.read_as=rows", *SHORT)
    assert outcome.code == 1 and outcome.error.count("\n") == 1
    assert outcome.error.startswith("error: model=stdp does not fit task=mnist (sequence_to_class): choose model=")
