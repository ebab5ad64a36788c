"""Any optimizer and schedule of PyTorch by name, resumed to the same numbers."""

from typing import Any

import pytest

from bionets.experiment.run.callbacks import SeedEachEpoch
from bionets.experiment.run.checkpoints import read_checkpoint
from bionets.experiment.run.run_folder import RunFolder
from tests.acceptance.conftest import Command, the_run

SMALL = (
    "model=rnn",
    "model.hidden_size=4",
    "task=copy_first_input",
    "task.length=3",
    "task.stop_below=null",
    "task.train_size=40",
    "task.val_size=10",
    "task.test_size=10",
    "task.batch_size=10",
    "trainer.max_epochs=4",
    "callbacks=quiet",
    "logger=none",
)
SCHEDULER = "+callbacks.extra.one._target_=lightning.pytorch.callbacks.GradientAccumulationScheduler"
CHOICES = [
    ("optimizer.name=Adagrad", "optimizer.lr=0.1"),
    ("optimizer=LBFGS", "optimizer.lr=0.1", "optimizer.max_iter=3"),
    ("optimizer=muon", "schedule=cosine"),
    ("optimizer=adamw", "optimizer.weight_decay=0.1", "schedule.name=StepLR", "schedule.step_size=1"),
    ("optimizer=sgd", "schedule=ReduceLROnPlateau", "schedule.patience=0", "schedule.threshold=10"),
    ("optimizer=adam", "schedule.name=OneCycleLR", "schedule.max_lr=0.01"),
]


def stop_in_epoch(patch: pytest.MonkeyPatch, epoch: int) -> None:
    before = SeedEachEpoch.on_train_epoch_start

    def stop(self: SeedEachEpoch, trainer: Any, model: Any) -> None:
        if trainer.current_epoch == epoch:
            raise KeyboardInterrupt
        before(self, trainer, model)

    patch.setattr(SeedEachEpoch, "on_train_epoch_start", stop)


@pytest.mark.parametrize("words", CHOICES, ids=lambda words: words[0] + "," + words[-1])
def test_a_resumed_run_equals_an_uninterrupted_run(cli: Command, workplace: Any, words: tuple[str, ...]) -> None:
    whole = cli("train", *SMALL, *words, "name=whole")
    assert whole.code == 0, whole.error
    with pytest.MonkeyPatch.context() as patch:
        stop_in_epoch(patch, 2)
        assert cli("train", *SMALL, *words, "name=stopped").code == 130
    resumed = cli("train", *SMALL, *words, "name=stopped")
    assert resumed.code == 0, resumed.error
    assert "going on after epoch 1" in resumed.out
    folders = [RunFolder(next(workplace.rglob(f"{name}-*/seed-0"))) for name in ("whole", "stopped")]
    one, other = (read_checkpoint(folder.last)["state_dict"] for folder in folders)
    for name, value in one.items():
        assert value.equal(other[name]), name


def test_reduce_on_plateau_lowers_the_learning_rate_when_the_monitored_value_stalls(
    cli: Command, workplace: Any
) -> None:
    words = ("optimizer=sgd", "optimizer.lr=0.5", "schedule=ReduceLROnPlateau", "schedule.patience=0")
    assert cli("train", *SMALL, *words, "schedule.threshold=10").code == 0  # no value falls by so much
    (file,) = workplace.rglob("last.ckpt")
    (group,) = read_checkpoint(file)["optimizer_states"][0]["param_groups"]
    assert group["lr"] < 0.5


def test_a_schedule_may_monitor_a_value_logged_after_validation(cli: Command, workplace: Any) -> None:
    (workplace / "my_late_value.py").write_text(
        "from lightning import Callback\n\n\nclass Late(Callback):\n"
        "    def on_train_epoch_end(self, trainer, model):\n        model.log('late', 1.0)\n"
    )
    words = ("optimizer=sgd", "optimizer.lr=0.5", "schedule=ReduceLROnPlateau", "schedule.patience=0")
    late = ("schedule.monitor=late", "+callbacks.extra.late._target_=my_late_value.Late")
    outcome = cli("train", *SMALL, *words, *late, "trainer.max_epochs=3")
    assert outcome.code == 0, outcome.error
    (state,) = read_checkpoint(the_run(workplace).last)["optimizer_states"]
    assert state["param_groups"][0]["lr"] == pytest.approx(0.05)  # missing, best, no better


def test_a_schedule_that_ends_before_the_run_is_refused_before_the_first_step(cli: Command, workplace: Any) -> None:
    steps = 4 * 40 // 10
    words = (*SMALL, "schedule.name=OneCycleLR", "schedule.max_lr=0.1")
    outcome = cli("train", *words, f"schedule.total_steps={steps - 1}")
    assert outcome.code == 1
    assert outcome.error.startswith(
        f"error: OneCycleLR ends after {steps - 1} steps, and the run has {steps}: leave out"
    )
    assert outcome.error.count("\n") == 1 and not the_run(workplace).metrics_file.exists()
    outcome = cli("train", *words, f"schedule.total_steps={steps}")
    assert outcome.code == 0, outcome.error


def test_a_schedule_with_an_unknown_monitor_gives_a_one_line_error(cli: Command) -> None:
    outcome = cli("train", *SMALL, "schedule=ReduceLROnPlateau", "schedule.monitor=val/los")
    assert outcome.code == 1
    assert outcome.error.startswith("error: ") and outcome.error.count("\n") == 1
    assert "schedule.monitor=val/los is not measured: choose one of" in outcome.error and "val/loss" in outcome.error


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["optimizer.name=Adagra"], ["optimizer=Adagra", "Adagrad"]),
        (["optimizer.name=Adagrad", "optimizer.betas=[0.9,0.9]"], ["optimizer.betas"]),
        (["optimizer._target_=torch.optim.Adagrad"], ["Adagrad", "betas"]),
        (["optimizer.differentiable=true"], ["optimizer.differentiable=true", "leave it out"]),
        (["optimizer.capturable=true"], ["optimizer.capturable=true", "leave it out"]),
        (["optimizer.capturable=true", "find=lr"], ["optimizer.capturable=true", "leave it out"]),
        (["optimizer.capturable=true", "seeds=2", "model=brc"], ["optimizer.capturable=true", "leave it out"]),
        (["optimizer.name=LBFGS", "optimizer.history_size=a"], ["optimizer.history_size", "Integer"]),
        (["optimizer=LBFGS", "trainer.accumulate_grad_batches=2"], ["LBFGS", "trainer.accumulate_grad_batches"]),
        (["optimizer=LBFGS", "trainer.accumulate_grad_batches=2", "find=lr"], ["trainer.accumulate_grad_batches"]),
        (["optimizer=LBFGS", SCHEDULER, "+callbacks.extra.one.scheduling={1:2}"], ["GradientAccumulationScheduler"]),
        (["optimizer=LBFGS", "accelerator=ddp", "trainer.accelerator=cpu", "trainer.devices=2"], ["accelerator=ddp"]),
        (["schedule.name=StepLR"], ["schedule.step_size"]),
        (["schedule.name=StepLR", "schedule.step_size=1", "schedule.interval=week"], ["schedule.interval", "epoch"]),
        (["schedule.name=OneCycleLR", "schedule.max_lr=0.1", "optimizer.name=Adagrad"], ["momentum"]),
        (["schedule.name=OneCycleLR", "schedule.max_lr=0.1", "schedule.interval=epoch"], ["give schedule.total_steps"]),
        (["schedule.name=StepLR", "schedule.step_size=0"], ["the schedule refuses its settings", "zero"]),
        (["schedule=ReduceLROnPlateau", "schedule.mode=low"], ["mode", "low"]),
        (
            ["optimizer.fused=true", "trainer.gradient_clip_val=1", "trainer.precision=bf16-mixed"],
            ["optimizer.fused=true cannot clip the gradients of mixed precision"],
        ),
    ],
)
def test_invalid_optimizer_and_schedule_options_give_a_one_line_error(
    cli: Command, workplace: Any, words: list[str], named: list[str]
) -> None:
    outcome = cli("train", *SMALL, *words)
    assert outcome.code == 1
    assert outcome.error.startswith("error: ") and outcome.error.count("\n") == 1
    assert all(name in outcome.error for name in named), outcome.error
    assert not (workplace / "outputs").exists()
