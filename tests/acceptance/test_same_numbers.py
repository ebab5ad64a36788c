"""Equivalent settings give the same numbers."""

import csv
import shutil
from pathlib import Path

import pytest
import torch

from tests.acceptance.conftest import Command, start, the_run

WORDS = (
    "model=gru",
    "model.hidden_size=4",
    "task=copy_first_input",
    "task.length=5",
    "task.train_size=43",
    "task.val_size=21",
    "task.test_size=23",
    "task.batch_size=8",
    "task.stop_below=null",
    "trainer.max_epochs=2",
    "callbacks=quiet",
    "logger=none",
)
TWO = ("accelerator=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
Rows = list[tuple[int, int, str, float]]


def trained(cli: Command, folder: str, *words: str) -> Path:
    outcome = cli("train", *WORDS, *words, f"paths.output_dir={folder}")
    assert outcome.code == 0, outcome.error
    return Path(folder)


def rows(folder: Path) -> Rows:
    with the_run(folder).metrics_file.open() as file:
        return [(int(r["step"]), int(r["epoch"]), r["name"], float(r["value"])) for r in csv.DictReader(file)]


def assert_same(one: Path, other: Path) -> None:
    """Equal to rounding: every row of metrics.csv, every test, the best weights."""
    assert [row[:3] for row in rows(one)] == [row[:3] for row in rows(other)]
    assert [row[3] for row in rows(one)] == pytest.approx([row[3] for row in rows(other)], rel=1e-4)
    results = [the_run(folder).result() or {} for folder in (one, other)]
    assert results[0]["tests"]["test"] == pytest.approx(results[1]["tests"]["test"], rel=1e-4)
    weights = [torch.load(the_run(folder).best, weights_only=True)["state_dict"] for folder in (one, other)]
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "words",
    [
        (),
        pytest.param(("task.train_size=41", "task.val_size=17", "task.test_size=1"), marks=pytest.mark.slow),
        pytest.param(("task.train_size=48", "task.val_size=1", "task.test_size=8"), marks=pytest.mark.slow),
        pytest.param(
            ("trainer.accumulate_grad_batches=4", "task.train_size=41", "average_weights=0.9"), marks=pytest.mark.slow
        ),
        pytest.param(("trainer.gradient_clip_val=0.1", "trainer.accumulate_grad_batches=3"), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_two_ddp_processes_give_the_numbers_of_one_process(
    cli: Command, workplace: Path, words: tuple[str, ...]
) -> None:
    process = start("train", *WORDS, *words, *TWO, "paths.output_dir=two", cwd=workplace)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    assert_same(trained(cli, "one", *words), Path("two"))


def test_two_ddp_processes_measure_the_whole_test_set(cli: Command, workplace: Path) -> None:
    words = ("model=spiking_recurrent", "task.test_size=17", "optimizer.lr=1e-9")
    process = start("train", *WORDS, *words, *TWO, "paths.output_dir=two", cwd=workplace)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    one, two = ((the_run(folder).result() or {})["metrics"] for folder in (trained(cli, "one", *words), Path("two")))
    assert one["test/spikes_per_step"] > 0
    assert two == pytest.approx(one, rel=1e-4)


@pytest.mark.parametrize("train_size", [48, 43])
@pytest.mark.parametrize("together", [2, 3])
def test_accumulated_batches_give_the_numbers_of_one_larger_batch(
    cli: Command, workplace: Path, train_size: int, together: int
) -> None:
    size = f"task.train_size={train_size}"
    accumulated = trained(cli, "small", size, f"trainer.accumulate_grad_batches={together}")
    assert_same(accumulated, trained(cli, "large", size, f"task.batch_size={8 * together}"))
    assert rows(accumulated)[0][0] == 0


def test_batched_seeds_accumulate_gradients_as_single_seeds_do(cli: Command, workplace: Path) -> None:
    words = ("model=brc", "trainer.accumulate_grad_batches=3", "callbacks.patience=1")
    together = trained(cli, "together", *words, "seeds=2")
    for seed in (0, 1):
        (one,) = together.rglob(f"seed-{seed}")
        assert_same(one, trained(cli, f"alone-{seed}", *words, f"seed={seed}"))


def test_a_batch_limit_as_a_fraction_equals_that_as_a_number(cli: Command, workplace: Path) -> None:
    share = trained(cli, "share", "trainer.limit_train_batches=0.5", "trainer.limit_val_batches=0.34")
    assert_same(share, trained(cli, "number", "trainer.limit_train_batches=3", "trainer.limit_val_batches=1"))


def test_overfit_batches_uses_the_same_batches_in_every_epoch(cli: Command, workplace: Path) -> None:
    folder = trained(cli, "over", "trainer.overfit_batches=1", "optimizer=sgd", "optimizer.lr=1e-12")
    losses = [value for _, _, name, value in rows(folder) if name == "train/loss"]
    assert losses == pytest.approx([losses[0]] * 2, rel=1e-5)


def test_a_copied_and_renamed_run_folder_evaluates_to_the_same_bits(cli: Command, workplace: Path) -> None:
    folder = the_run(trained(cli, "there", "model.name=mine", "trainer.precision=64-true")).path
    shutil.copytree(folder, workplace / "elsewhere")
    metrics = []
    for place in (folder, workplace / "elsewhere"):
        assert cli("evaluate", f"run={place}").code == 0
        metrics.append((place / "evaluation-best.json").read_bytes())
    assert metrics[0] == metrics[1]


def test_the_names_of_model_and_run_do_not_change_the_numbers(cli: Command, workplace: Path) -> None:
    assert rows(trained(cli, "one")) == rows(trained(cli, "other", "model.name=mine", "name=mine"))


def test_flushing_denormals_does_not_change_a_run_without_denormals(cli: Command, workplace: Path) -> None:
    assert rows(trained(cli, "flushed")) == rows(trained(cli, "kept", "flush_denormals=false"))
