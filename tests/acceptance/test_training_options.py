"""Options and callbacks of Lightning on the command line: each works or is refused in one line (docs/training.md)."""

import csv
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bionets.experiment.run.checkpoints import read_checkpoint
from bionets.experiment.run.tuning import RangeTest
from tests.acceptance.conftest import Command, start, the_run
from tests.acceptance.test_optimizers import SMALL

EXTRA = "+callbacks.extra.one"
LIGHTNING = f"{EXTRA}._target_=lightning.pytorch.callbacks"
ACCUMULATE = "trainer.accumulate_grad_batches=2"


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
def test_runs_with_trainer_options_complete(cli: Command, workplace: Path, words: list[str]) -> None:
    outcome = cli("train", *SMALL, *words)
    assert outcome.code == 0, outcome.error
    assert the_run(workplace).complete()


def test_an_option_without_effect_is_noted(cli: Command, workplace: Path) -> None:
    outcome = cli("train", *SMALL, "trainer.gradient_clip_algorithm=value")
    assert outcome.code == 0, outcome.error
    assert "note: no effect without trainer.gradient_clip_val: trainer.gradient_clip_algorithm" in outcome.out
    outcome = cli("train", *SMALL, "trainer.gradient_clip_algorithm=value", "trainer.gradient_clip_val=1")
    assert "no effect" not in outcome.out


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
def test_computations_outside_of_training_accept_every_precision(
    cli: Command, words: list[str], precision: str
) -> None:
    outcome = cli("train", *SMALL, *words, "model.hidden_size=4", f"trainer.precision={precision}")
    assert outcome.code == 0, outcome.error


@pytest.mark.parametrize(("profiler", "named"), [("simple", "run_training_epoch"), ("advanced", "cumtime")])
def test_a_profiler_prints_its_report(cli: Command, workplace: Path, profiler: str, named: str) -> None:
    outcome = cli("train", *SMALL, f"trainer.profiler={profiler}")
    assert outcome.code == 0, outcome.error
    assert "FIT Profiler Report" in outcome.out and named in outcome.out


@pytest.mark.parametrize("logger", ["none", "csv"])
def test_further_checkpoints_are_kept_beside_the_best_and_the_last(cli: Command, workplace: Path, logger: str) -> None:
    words = [f"{LIGHTNING}.ModelCheckpoint", f"{EXTRA}.every_n_epochs=2", f"{EXTRA}.save_top_k=-1", f"logger={logger}"]
    outcome = cli("train", *SMALL, *words)
    assert outcome.code == 0, outcome.error
    kept = the_run(workplace).checkpoints.glob("checkpoints/*.ckpt")
    assert sorted(read_checkpoint(file)["epoch"] for file in kept) == [1, 3]


def test_accumulation_may_change_from_epoch_to_epoch(cli: Command, workplace: Path) -> None:
    words = [f"{LIGHTNING}.GradientAccumulationScheduler", EXTRA + ".scheduling={0:1,2:2}"]
    outcome = cli("train", *SMALL, *words)
    assert outcome.code == 0, outcome.error
    assert the_run(workplace).result()["steps"] == 4 + 4 + 2 + 2  # type: ignore[index]


@pytest.mark.parametrize(("limit", "count"), [([], 4 + 4 + 2 + 2), (["trainer.max_steps=9"], 9)])
def test_a_schedule_ends_with_the_run_if_accumulation_changes_from_epoch_to_epoch(
    cli: Command, workplace: Path, limit: list[str], count: int
) -> None:
    words = [f"{LIGHTNING}.GradientAccumulationScheduler", EXTRA + ".scheduling={2:3}", "optimizer.lr=0.5"]
    monitor = ["+callbacks.extra.two._target_=lightning.pytorch.callbacks.LearningRateMonitor", "logger=csv"]
    outcome = cli("train", *SMALL, *words, *monitor, "schedule=cosine", "schedule.warmup=0", *limit)
    assert outcome.code == 0, outcome.error
    assert the_run(workplace).result()["steps"] == count  # type: ignore[index]
    with (the_run(workplace).path / "csv" / "metrics.csv").open() as file:
        rates = {int(row["step"]): float(row["lr-Adam"]) for row in csv.DictReader(file) if row["lr-Adam"]}
    assert len(rates) == count
    for step, rate in rates.items():
        assert rate == pytest.approx(0.25 * (1 + math.cos(math.pi * step / count)))


def test_the_learning_rate_is_logged(cli: Command, workplace: Path) -> None:
    outcome = cli("train", *SMALL, f"{LIGHTNING}.LearningRateMonitor", "logger=csv", "schedule=cosine")
    assert outcome.code == 0, outcome.error
    with (the_run(workplace).path / "csv" / "metrics.csv").open() as file:
        assert any("lr" in name for name in next(csv.reader(file)))


def test_the_learning_rate_of_two_ddp_processes_is_logged(workplace: Path) -> None:
    two = ("accelerator=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
    process = start("train", *SMALL, *two, f"{LIGHTNING}.LearningRateMonitor", "logger=csv", cwd=workplace)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    with (the_run(workplace).path / "csv" / "metrics.csv").open() as file:
        assert any(row["lr-Adam"] == "0.001" for row in csv.DictReader(file))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([f"{LIGHTNING}.StochasticWeightAveraging", f"{EXTRA}.swa_lrs=0.1"], ["average_weights=0.999"]),
        ([f"{LIGHTNING}.EMAWeightAveraging"], ["EMAWeightAveraging", "average_weights=0.999"]),
        ([f"{LIGHTNING}.LearningRateFinder"], ["find=lr"]),
        ([f"{LIGHTNING}.BatchSizeFinder"], ["find=batch_size"]),
        ([f"{LIGHTNING}.RichProgressBar"], ["callbacks.progress=true"]),
        ([f"{LIGHTNING}.LearningRateMonitor"], ["logger"]),
        (
            [f"{LIGHTNING}.ModelPruning", f"{EXTRA}.pruning_fn=l1_unstructured", "average_weights=0.9"],
            ["ModelPruning with average_weights"],
        ),
        (
            [f"{LIGHTNING}.GradientAccumulationScheduler", EXTRA + ".scheduling={1:2}", ACCUMULATE],
            ["GradientAccumulationScheduler with trainer.accumulate_grad_batches"],
        ),
        (["trainer.profiler=xla"], ["trainer.profiler", "simple"]),
        (["trainer.precision=16-mixed"], ["needs a GPU"]),
        (["find=seed"], ["find=lr", "find=batch_size"]),
        (["find=lr", "optimizer.lr=fast"], ["optimizer.lr"]),
    ],
    ids=lambda words: words[0].rpartition(".")[2],
)
def test_unsupported_options_and_callbacks_are_refused_in_one_line(
    cli: Command, workplace: Path, words: list[str], named: list[str]
) -> None:
    outcome = cli("train", *SMALL, *words)
    assert outcome.code == 1
    assert outcome.error.startswith("error: ") and outcome.error.count("\n") == 1
    assert all(name in outcome.error for name in named), outcome.error


def command_in(out: str) -> list[str]:
    (line,) = [line for line in out.splitlines() if line.startswith(" train  ")]
    return line.split()[3:]


def test_find_lr_proposes_a_learning_rate_that_lowers_the_loss(cli: Command, workplace: Path) -> None:
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


def test_find_lr_prints_what_it_found_if_its_figure_cannot_be_written(cli: Command, workplace: Path) -> None:
    (workplace / "outputs").touch()
    outcome = cli("train", *SMALL, "find=lr")
    assert outcome.code == 1
    assert any(word.startswith("optimizer.lr=") for word in command_in(outcome.out))


def rows_of(folder: Path) -> list[dict[str, str]]:
    with the_run(folder).metrics_file.open() as file:
        return list(csv.DictReader(file))


def test_find_batch_size_proposes_at_most_the_training_set(cli: Command, workplace: Path) -> None:
    outcome = cli("train", *SMALL, "find=batch_size")
    assert outcome.code == 0, outcome.error
    words = command_in(outcome.out)
    assert "task.batch_size=40" in words and "find=batch_size" not in words


def test_the_command_printed_by_find_keeps_seed_and_seeds(cli: Command, workplace: Path) -> None:
    outcome = cli("train", *SMALL, "find=batch_size", "seed=2", "seeds=3")
    assert outcome.code == 0, outcome.error
    assert {"seed=2", "seeds=3"} < set(command_in(outcome.out))


def test_find_lr_is_refused_for_a_model_without_an_optimizer(cli: Command, workplace: Path) -> None:
    outcome = cli("train", "model=reward_modulated", "task=boolean", "task.steps=10", "find=lr", "logger=none")
    assert outcome.code == 1 and "leave out find=lr" in outcome.error


def test_the_best_of_several_validations_per_epoch_is_kept(cli: Command, workplace: Path) -> None:
    """Validations after each of four batches, given as a number of batches and as a share of an epoch."""
    found = {}
    for interval in ("1", "0.25"):
        words = (f"trainer.val_check_interval={interval}", "optimizer.lr=0.5", "trainer.max_epochs=1")
        outcome = cli("train", *SMALL, *words, f"paths.output_dir={interval}")
        assert outcome.code == 0, outcome.error
        run = the_run(workplace / interval)
        values = {int(row["step"]): float(row["value"]) for row in rows_of(run.path) if row["name"] == "val/loss"}
        best = min(values, key=lambda step: values[step])
        assert len(values) == 4 and best < 3 and read_checkpoint(run.best)["global_step"] == best + 1
        found[interval] = run.result()["metrics"]  # type: ignore[index]
        assert found[interval]["val/loss"] == values[best]
    assert found["1"] == found["0.25"]


def test_validations_before_the_first_accumulated_step_are_recorded(cli: Command, workplace: Path) -> None:
    outcome = cli("train", *SMALL, "trainer.accumulate_grad_batches=4", "trainer.val_check_interval=1")
    assert outcome.code == 0, outcome.error
    run = the_run(workplace)
    assert {int(row["step"]) for row in rows_of(workplace)} == {0, 1, 2, 3}
    assert run.result()["metrics"]["val/loss"] == min(  # type: ignore[index]
        float(row["value"]) for row in rows_of(workplace) if row["name"] == "val/loss"
    )


def test_max_steps_is_reached_with_limited_batches_per_epoch(cli: Command, workplace: Path) -> None:
    limits = ("limit_train_batches=1", "limit_train_batches=0.25", "overfit_batches=1")
    for number, limit in enumerate(limits):
        outcome = cli("train", *SMALL, f"trainer.{limit}", "trainer.max_steps=3", f"paths.output_dir={number}")
        assert outcome.code == 0, outcome.error
        assert the_run(workplace / str(number)).result()["steps"] == 3  # type: ignore[index]


def test_a_resumed_run_that_early_stopping_has_ended_is_not_trained_further(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    words = (f"{LIGHTNING}.EarlyStopping", f"{EXTRA}.monitor=val/loss", f"{EXTRA}.patience=1", f"{EXTRA}.min_delta=9")
    with monkeypatch.context() as patch:
        patch.setattr("lightning.Trainer.test", stopped)
        assert cli("train", *SMALL, *words).code == 130
    assert read_checkpoint(the_run(workplace).last)["epoch"] == 1
    outcome = cli("train", *SMALL, *words)
    assert outcome.code == 0, outcome.error
    assert read_checkpoint(the_run(workplace).last)["epoch"] == 1


def test_the_learning_rate_search_keeps_the_ratios_of_parameter_groups() -> None:
    layer = torch.nn.Linear(1, 1)
    optimizer = torch.optim.Adam([{"params": [layer.weight], "lr": 0.3}, {"params": [layer.bias]}], lr=0.1)
    trainer: Any = SimpleNamespace(optimizers=[optimizer], global_step=0)
    search = RangeTest()
    search.on_train_start(trainer, None)  # type: ignore[arg-type]
    for trainer.global_step in range(3):
        search.on_train_batch_start(trainer, None, None, 0)  # type: ignore[arg-type]
        factor, base = (group["lr"] / search.rates[-1] for group in optimizer.param_groups)
        assert factor == pytest.approx(3) and base == 1


def test_an_unknown_monitor_gives_a_one_line_error(cli: Command, workplace: Path) -> None:
    (workplace / "my_monitor.py").write_text(
        "from bionets.tasks import CopyFirstInput\n\n\nclass Mine(CopyFirstInput):\n    monitor = 'val/typo'\n"
    )
    for words in ([], ["callbacks.patience=1"]):
        outcome = cli("train", *SMALL, "task._target_=my_monitor.Mine", *words)
        assert outcome.code == 1 and outcome.error.count("\n") == 1 and "val/typo" in outcome.error
    outcome = cli("train", *SMALL, f"{LIGHTNING}.EarlyStopping", f"{EXTRA}.monitor=val/typo")
    assert outcome.code == 1 and "Traceback" not in outcome.error
    assert outcome.error.splitlines()[-1].startswith("error: ") and "val/typo" in outcome.error


def test_evaluate_notes_that_the_run_was_tested_on_limited_batches(cli: Command, workplace: Path) -> None:
    assert cli("train", *SMALL, "task.batch_size=5", "trainer.limit_test_batches=1").code == 0
    limited = "note: the run was tested with trainer.limit_test_batches=1, this evaluation with the whole test set"
    for other in ([], ["task.length=4"]):
        outcome = cli("evaluate", f"run={the_run(workplace).path}", *other)
        assert outcome.code == 0, outcome.error
        assert [line for line in outcome.out.splitlines() if line.startswith("note: the run")] == [limited]
