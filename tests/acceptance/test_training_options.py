"""Lightning's tools from the command line: each works, or is refused in one line. See docs/training.md."""

import csv
from pathlib import Path
from typing import Any

import pytest

from bionets.experiment.run.checkpoints import read_checkpoint
from tests.acceptance.conftest import Command, the_run
from tests.acceptance.test_optimizers import SMALL

EXTRA = "+callbacks.extra.one"
LIGHTNING = f"{EXTRA}._target_=lightning.pytorch.callbacks"


@pytest.mark.parametrize(
    "words",
    [
        ["trainer.gradient_clip_val=0.1", "trainer.gradient_clip_algorithm=value"],
        ["trainer.precision=bf16-mixed"],
        ["trainer.deterministic=true", "trainer.detect_anomaly=true"],
        ["trainer.max_time=00:01:00:00", "trainer.val_check_interval=0.5"],
        ["callbacks.patience=1"],
        ["average_weights=0.9"],
        [f"{LIGHTNING}.EarlyStopping", f"{EXTRA}.monitor=val/loss", f"{EXTRA}.min_delta=0.001"],
        [f"{LIGHTNING}.Timer"],
        [f"{LIGHTNING}.DeviceStatsMonitor", "logger=csv"],
        [f"{LIGHTNING}.ModelPruning", f"{EXTRA}.pruning_fn=l1_unstructured"],
    ],
    ids=lambda words: words[0].rpartition(".")[2],
)
def test_an_option_trains(cli: Command, workplace: Path, words: list[str]) -> None:
    outcome = cli("train", *SMALL, *words)
    assert outcome.code == 0, outcome.error
    assert the_run(workplace).complete()


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
@pytest.mark.parametrize(
    "words",
    [
        ["model=spiking_recurrent"],
        ["model=spiking_recurrent", "model.max_delay=2", "seeds=2"],
        ["model=stigmergic"],
        ["model=nbrc", "trainer.tbptt=2"],
        ["model=nbrc", "model.initialisation=warmup"],
        ["model=nbrc", "model.initialisation=warmup", "seeds=2"],
    ],
    ids=" ".join,
)
def test_what_runs_outside_of_training_has_its_precision(cli: Command, words: list[str], precision: str) -> None:
    outcome = cli("train", *SMALL, *words, "model.hidden_size=4", f"trainer.precision={precision}")
    assert outcome.code == 0, outcome.error


@pytest.mark.parametrize(("profiler", "named"), [("simple", "run_training_epoch"), ("advanced", "cumtime")])
def test_a_profiler_prints_its_report(cli: Command, workplace: Path, profiler: str, named: str) -> None:
    outcome = cli("train", *SMALL, f"trainer.profiler={profiler}")
    assert outcome.code == 0, outcome.error
    assert "FIT Profiler Report" in outcome.out and named in outcome.out


def test_further_checkpoints_are_kept_beside_the_best_and_the_last(cli: Command, workplace: Path) -> None:
    words = [f"{LIGHTNING}.ModelCheckpoint", f"{EXTRA}.every_n_epochs=2", f"{EXTRA}.save_top_k=-1"]
    outcome = cli("train", *SMALL, *words)
    assert outcome.code == 0, outcome.error
    kept = the_run(workplace).checkpoints.glob("checkpoints/*.ckpt")
    assert sorted(read_checkpoint(file)["epoch"] for file in kept) == [1, 3]


def test_accumulation_may_change_from_epoch_to_epoch(cli: Command, workplace: Path) -> None:
    words = [f"{LIGHTNING}.GradientAccumulationScheduler", EXTRA + ".scheduling={0:1,2:2}"]
    outcome = cli("train", *SMALL, *words)
    assert outcome.code == 0, outcome.error
    assert the_run(workplace).result()["steps"] == 4 + 4 + 2 + 2  # type: ignore[index]


def test_the_learning_rate_is_logged(cli: Command, workplace: Path) -> None:
    outcome = cli("train", *SMALL, f"{LIGHTNING}.LearningRateMonitor", "logger=csv", "schedule=cosine")
    assert outcome.code == 0, outcome.error
    with (the_run(workplace).path / "csv" / "metrics.csv").open() as file:
        assert any("lr" in name for name in next(csv.reader(file)))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([f"{LIGHTNING}.StochasticWeightAveraging", f"{EXTRA}.swa_lrs=0.1"], ["average_weights=0.999"]),
        ([f"{LIGHTNING}.EMAWeightAveraging"], ["EMAWeightAveraging", "average_weights=0.999"]),
        ([f"{LIGHTNING}.LearningRateFinder"], ["find=lr"]),
        ([f"{LIGHTNING}.BatchSizeFinder"], ["find=batch_size"]),
        ([f"{LIGHTNING}.RichProgressBar"], ["callbacks.progress=true"]),
        ([f"{LIGHTNING}.LearningRateMonitor"], ["logger"]),
        (["trainer.profiler=xla"], ["trainer.profiler", "simple"]),
        (["trainer.precision=16-mixed"], ["needs a GPU"]),
        (["find=seed"], ["find=lr", "find=batch_size"]),
        (["find=lr", "optimizer.lr=fast"], ["optimizer.lr"]),
    ],
    ids=lambda words: words[0].rpartition(".")[2],
)
def test_what_does_not_serve_is_refused_in_one_line(
    cli: Command, workplace: Path, words: list[str], named: list[str]
) -> None:
    outcome = cli("train", *SMALL, *words)
    assert outcome.code == 1
    assert outcome.error.startswith("error: ") and outcome.error.count("\n") == 1
    assert all(name in outcome.error for name in named), outcome.error


def command_in(out: str) -> list[str]:
    (line,) = [line for line in out.splitlines() if line.startswith(" train  ")]
    return line.split()[3:]


def test_a_learning_rate_is_found_with_which_the_loss_falls(cli: Command, workplace: Path) -> None:
    outcome = cli("train", *SMALL, "find=lr", "optimizer.lr=7")
    assert outcome.code == 0, outcome.error
    assert (workplace / "outputs" / "copy_first_input" / "rnn" / "learning_rate.png").exists()
    assert not list(workplace.rglob("config.yaml"))  # nothing was trained
    words = command_in(outcome.out)
    (found,) = [float(word.partition("=")[2]) for word in words if word.startswith("optimizer.lr=")]
    assert 1e-6 < found < 0.1
    again = cli("train", *words)
    assert again.code == 0, again.error
    losses: Any = [float(row["value"]) for row in rows_of(workplace) if row["name"] == "train/loss"]
    assert min(losses[-4:]) < max(losses[:4])


def rows_of(folder: Path) -> list[dict[str, str]]:
    with the_run(folder).metrics_file.open() as file:
        return list(csv.DictReader(file))


def test_a_batch_size_is_found_that_is_at_most_the_training_set(cli: Command, workplace: Path) -> None:
    outcome = cli("train", *SMALL, "find=batch_size")
    assert outcome.code == 0, outcome.error
    words = command_in(outcome.out)
    assert "task.batch_size=40" in words and "find=batch_size" not in words


def test_a_value_found_for_several_seeds_is_printed_with_all_of_them(cli: Command, workplace: Path) -> None:
    outcome = cli("train", *SMALL, "find=batch_size", "seed=2", "seeds=3")
    assert outcome.code == 0, outcome.error
    assert {"seed=2", "seeds=3"} < set(command_in(outcome.out))


def test_a_model_without_an_optimizer_has_no_learning_rate_to_find(cli: Command, workplace: Path) -> None:
    outcome = cli("train", "model=reward_modulated", "task=boolean", "task.steps=10", "find=lr", "logger=none")
    assert outcome.code == 1 and "leave out find=lr" in outcome.error
