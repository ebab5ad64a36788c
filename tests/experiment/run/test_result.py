"""A measured curve is read at the step of the published value."""

from pathlib import Path
from types import SimpleNamespace

from bionets.experiment.run.callbacks import Record
from bionets.experiment.run.result import measured_like_published

CONFIG = {
    "model": {"name": "brc", "num_layers": 2, "hidden_size": 100},
    "optimizer": {"lr": 0.001},
    "task": {"name": "copy_first_input", "length": 300, "train_size": 45_000, "batch_size": 100},
    "trainer": {"max_epochs": 60},
}


def test_the_loss_is_averaged_over_the_steps_up_to_the_published_one() -> None:
    steps = list(range(6000))
    losses = [float(step) for step in steps]
    expected = sum(range(5300, 5400)) / 100
    assert measured_like_published(CONFIG, {"train/loss": (steps, losses)}) == {"train/loss_step_5400": expected}


def test_a_run_that_ended_before_the_published_step_has_no_value() -> None:
    whole = {"train/loss": (list(range(5400)), [1.0] * 5400)}
    assert measured_like_published(CONFIG, whole) == {"train/loss_step_5400": 1.0}
    steps = list(range(5399))
    assert measured_like_published(CONFIG, {"train/loss": (steps, [1.0] * 5399)}) == {}
    assert measured_like_published(CONFIG, {}) == {}


def test_the_training_time_of_a_resumed_run_is_counted_once(tmp_path: Path) -> None:
    record = Record(tmp_path / "metrics.csv", tmp_path / "last.ckpt")
    record.load_state_dict({"seconds": 100.0})
    assert record.total_seconds == 100.0  # resumed when training was over
    record.load_state_dict({"seconds": 60.0})  # the best epoch, an earlier one, loaded to be tested
    assert record.total_seconds == 100.0
    trainer = SimpleNamespace(is_global_zero=False)
    record.on_train_start(trainer, None)  # type: ignore[arg-type]
    record.on_train_end(trainer, None)  # type: ignore[arg-type]
    assert 100.0 <= record.total_seconds < 101.0
    record.load_state_dict({"seconds": 100.0})  # the best epoch, loaded to be tested
    assert 100.0 <= record.total_seconds < 101.0
