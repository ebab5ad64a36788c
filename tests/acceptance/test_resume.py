"""A resumed run has the same bits as an uninterrupted one, with every setting."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, Timer

from bionets.experiment.run.checkpoints import AtomicCheckpointIO, read_checkpoint
from bionets.experiment.run.metrics_file import read_rows
from bionets.tasks import Task
from tests.acceptance.conftest import Command, the_run
from tests.acceptance.test_runs import assert_equal_runs

# Two layers and dropout, so that random numbers matter; batches that do not divide.
WORDS = (
    "model=brc",
    "model.hidden_size=6",
    "model.num_layers=2",
    "model.dropout=0.3",
    "task=copy_first_input",
    "task.length=6",
    "task.train_size=52",
    "task.val_size=20",
    "task.test_size=20",
    "task.batch_size=10",
    "task.stop_below=null",
    "trainer.max_epochs=5",
    "callbacks=quiet",
    "logger=none",
)
PRECISIONS = ("32-true", "64-true", "bf16-mixed", "bf16-true")
slow = pytest.mark.slow


def interrupted(cli: Command, monkeypatch: pytest.MonkeyPatch, *words: str, before_epoch: int = 2) -> int:
    """Run a command that Ctrl-C ends when the data of an epoch are asked for; its exit code."""
    batches, handler = Task.train_dataloader, signal.getsignal(signal.SIGINT)

    def stop(task: Task) -> object:
        if task.trainer is not None and task.trainer.current_epoch == before_epoch:
            raise KeyboardInterrupt
        return batches(task)

    with monkeypatch.context() as patch:
        patch.setattr(Task, "train_dataloader", stop)
        outcome = cli("train", *words)
    signal.signal(signal.SIGINT, handler)  # which Lightning takes away
    return outcome.code


def assert_resumes(cli: Command, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    assert interrupted(cli, monkeypatch, *WORDS, *words, "paths.output_dir=part") == 130
    for folder in ("part", "whole"):
        outcome = cli("train", *WORDS, *words, f"paths.output_dir={folder}")
        assert outcome.code == 0, outcome.error
        assert ("going on after epoch 1" in outcome.out) is (folder == "part")
    assert_equal_runs(Path("whole"), Path("part"))
    states = [torch.load(the_run(Path(folder)).last, weights_only=True) for folder in ("whole", "part")]
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "training_weights"):
        torch.testing.assert_close(*(state.get(key) for state in states), rtol=0, atol=0)


@pytest.mark.parametrize(("precision", "average"), [*((each, "0.9") for each in PRECISIONS), ("bf16-true", "null")])
def test_a_resumed_run_has_the_same_bits_in_every_precision(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch, precision: str, average: str
) -> None:
    words = (f"trainer.precision={precision}", f"average_weights={average}")
    assert_resumes(cli, monkeypatch, *words, "schedule=cosine", "optimizer.lr=0.01")


@pytest.mark.parametrize(
    "words",
    [
        ("optimizer=sgd", "optimizer.momentum=0.9"),
        pytest.param(("optimizer=adamw", "schedule=cosine", "schedule.warmup=0.3"), marks=slow),
        pytest.param(("optimizer=rmsprop", "optimizer.momentum=0.5"), marks=slow),
        ("trainer.accumulate_grad_batches=4", "average_weights=0.9"),
        pytest.param(("trainer.gradient_clip_val=0.1",), marks=slow),
        ("trainer.val_check_interval=0.4",),
        pytest.param(("trainer.check_val_every_n_epoch=2",), marks=slow),
        pytest.param(("trainer.overfit_batches=2",), marks=slow),
        ("trainer.max_steps=20",),
        ("callbacks.patience=1", "optimizer=sgd", "optimizer.lr=1e-9", "trainer.min_epochs=4"),
        pytest.param(("task.stop_below=100", "trainer.min_epochs=4"), marks=slow),
        (
            "+callbacks.extra.stop._target_=lightning.pytorch.callbacks.EarlyStopping",
            "+callbacks.extra.stop.monitor=val/loss",
            "+callbacks.extra.stop.patience=3",
            "optimizer=sgd",
            "optimizer.lr=1e-9",
        ),
    ],
    ids=" ".join,
)
def test_a_resumed_run_has_the_same_bits_with_every_training_setting(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    assert_resumes(cli, monkeypatch, *words)


@pytest.mark.parametrize(
    "words",
    [
        ("callbacks.patience=1", "optimizer.lr=0.3", "trainer.max_epochs=8"),
        ("task.stop_below=100", "trainer.min_epochs=4"),
        ("trainer.max_steps=20",),
    ],
    ids=" ".join,
)
def test_resumed_batched_seeds_that_stop_early_have_the_same_bits(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    together = (*WORDS, "model.dropout=0", "seeds=3", *words)
    assert cli("train", *together, "paths.output_dir=whole").code == 0
    ended = sorted(read_checkpoint(file)["epoch"] for file in Path("whole").rglob("last.ckpt"))
    if "callbacks.patience=1" in words:
        assert ended[0] < ended[-1]
    assert interrupted(cli, monkeypatch, *together, "paths.output_dir=part", before_epoch=ended[-1]) == 130
    outcome = cli("train", *together, "paths.output_dir=part")
    assert outcome.code == 0, outcome.error
    assert "3 seeds at once" in outcome.out
    for seed in range(3):
        (part,), (whole,) = Path("part").rglob(f"seed-{seed}"), Path("whole").rglob(f"seed-{seed}")
        assert_equal_runs(whole, part)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_resumed_batched_seeds_have_the_same_bits_in_every_precision(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    words = (*WORDS, "model.dropout=0", f"trainer.precision={precision}", "average_weights=0.9", "seeds=2")
    assert interrupted(cli, monkeypatch, *words, "paths.output_dir=part") == 130
    for folder in ("part", "whole"):
        outcome = cli("train", *words, f"paths.output_dir={folder}")
        assert outcome.code == 0, outcome.error
    for seed in ("seed-0", "seed-1"):
        (part,), (whole,) = Path("part").rglob(seed), Path("whole").rglob(seed)
        assert_equal_runs(whole, part)


@pytest.mark.parametrize("timed_out", [False, True])
@pytest.mark.parametrize("interval", ["1.0", "0.4"])
def test_a_run_killed_between_its_two_checkpoints_is_completed(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch, interval: str, timed_out: bool
) -> None:
    words = (*WORDS, f"trainer.val_check_interval={interval}", "trainer.max_time=00:01:00:00", "optimizer.lr=0.01")
    save, handler = AtomicCheckpointIO.save_checkpoint, signal.getsignal(signal.SIGINT)

    def kill(self: AtomicCheckpointIO, checkpoint: dict[str, Any], path: Any, **more: Any) -> None:
        if Path(path).name == "last.ckpt" and checkpoint["epoch"] == 2:
            raise KeyboardInterrupt
        save(self, checkpoint, path, **more)

    with monkeypatch.context() as patch:
        patch.setattr(AtomicCheckpointIO, "save_checkpoint", kill)
        assert cli("train", *words, "paths.output_dir=part").code == 130
    signal.signal(signal.SIGINT, handler)
    folder = the_run(Path("part"))
    best = read_checkpoint(folder.best)
    assert best["epoch"] == 2 and read_checkpoint(folder.last)["epoch"] == 1
    score = [row.value for row in read_rows(folder.metrics_file) if (row.name, row.epoch) == ("val/loss", 2)]
    if timed_out:  # within the first epoch after the start, which is no better
        started = iter([0.0])
        monkeypatch.setattr(Timer, "time_elapsed", lambda *_: next(started, 1e9))
        monkeypatch.setattr(ModelCheckpoint, "check_monitor_top_k", lambda *_: False)
    outcome = cli("train", *words, "paths.output_dir=part")
    assert outcome.code == 0, outcome.error
    if timed_out:
        result = folder.result()
        assert result is not None and result["best_epoch"] == 2
        assert result["metrics"]["val/loss"] == min(score)
        assert cli("evaluate", f"run={folder.path}").code == 0
    else:
        assert cli("train", *words, "paths.output_dir=whole").code == 0
        assert_equal_runs(Path("whole"), Path("part"))
