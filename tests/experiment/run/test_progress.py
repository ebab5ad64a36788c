"""Progress is a bar if one job uses the terminal, and lines if several share it."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from bionets.experiment.run import progress
from bionets.experiment.run.process import JOB_VARIABLE


def trained(console: Console, monkeypatch: pytest.MonkeyPatch) -> progress.ProgressBar:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1.0)
    bar = progress.ProgressBar("val/loss", console)
    trainer: Any = SimpleNamespace(
        is_global_zero=True, estimated_stepping_batches=20, callbacks=[], global_step=0, max_epochs=2
    )
    trainer.callback_metrics, trainer.current_epoch = {"val/loss": torch.tensor(0.5)}, 0
    model: Any = None
    bar.on_train_start(trainer, model)
    trainer.global_step = 10
    bar.on_train_epoch_end(trainer, model)
    return bar


def test_a_job_that_shares_its_terminal_prints_lines_with_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(JOB_VARIABLE, "job 3")
    bar = trained(Console(force_terminal=True), monkeypatch)
    assert bar.bar is None
    assert capsys.readouterr().out.startswith("job 3: epoch 1/2  val/loss 0.5000  step 10/20, ")


def test_a_single_job_in_a_terminal_shows_a_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(JOB_VARIABLE, raising=False)
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    bar = trained(Console(file=io.StringIO(), force_terminal=True), monkeypatch)
    assert bar.bar is not None
    next_epoch: Any = SimpleNamespace(is_global_zero=True, current_epoch=1, max_epochs=2)
    bar.on_train_epoch_start(next_epoch, next_epoch)
    assert bar.bar.tasks[0].description == "epoch 2/2  val/loss 0.5000"  # that of the last validated epoch
    bar.on_exception(None, None, KeyboardInterrupt())  # type: ignore[arg-type]
    assert bar.bar is None


def test_a_command_in_a_notebook_prints_lines_instead_of_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(JOB_VARIABLE, raising=False)
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    bar = trained(Console(force_terminal=True), monkeypatch)
    assert bar.bar is None
    assert capsys.readouterr().out.startswith("epoch 1/2  val/loss 0.5000  step 10/20, ")
