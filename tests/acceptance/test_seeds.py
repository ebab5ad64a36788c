"""Several seeds at once: the folders equal those of single runs, also after an error or an interruption."""

import csv
import itertools
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Timer

from bionets.experiment.commands import train as train_module
from bionets.experiment.interrupts import Terminated
from bionets.experiment.run.checkpoints import read_checkpoint
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.seeds.checkpoints import PerSeedCheckpoint
from bionets.tasks import BinaryAddition
from tests.acceptance.conftest import SMALL, Command, start
from tests.tasks import idx_files

TOGETHER = (*SMALL, "model.dropout=0", "model.num_layers=1")  # dropout draws other numbers in a batch
QUIET = ("callbacks=quiet", "logger=none")
OF_THE_MACHINE = {"wall_time", "seconds", "dirpath", "best_model_path", "kth_best_model_path", "best_k_models", "paths"}
OF_THE_DIGITS = {"sha256", "size"}  # of metrics.csv, which is compared number by number


def assert_same_runs(root: Path, other_root: Path) -> None:
    """The same seeds, and each with the same records and checkpoints but for the last digits."""
    runs, others = (sorted(file.parent for file in each.rglob("config.yaml")) for each in (root, other_root))
    assert [run.relative_to(root) for run in runs] == [run.relative_to(other_root) for run in others]
    for pair in zip(runs, others, strict=True):
        assert_alike(*(everything(RunFolder(run)) for run in pair))


def everything(folder: RunFolder) -> dict[str, Any]:
    return {
        "result": folder.result(),
        "config": folder.config(),
        "metrics": [[yaml.safe_load(cell) for cell in row] for row in csv.reader(folder.metrics_file.open())],
        "best": read_checkpoint(folder.best),
        "last": read_checkpoint(folder.last),
    }


def assert_alike(one: Any, other: Any, where: str = "") -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one.keys() - OF_THE_MACHINE - OF_THE_DIGITS:
            assert_alike(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_alike(*pair, f"{where}[{number}]")
    elif isinstance(one, torch.Tensor):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5, msg=where)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-5), where
    else:
        assert one == other, where


def test_batched_seeds_equal_single_seeds(cli: Command, workplace: Path) -> None:
    words = (*TOGETHER, "schedule=cosine", "trainer.gradient_clip_val=0.05", "optimizer=adamw", "average_weights=0.9")
    words = (*words, "trainer.accumulate_grad_batches=3", "task.batch_size=40")
    outcome = cli("train", *words, "seeds=3", "paths.output_dir=together")
    assert outcome.code == 0, outcome.error
    assert "3 seeds at once" in outcome.out
    assert cli("train", "-m", *words, "seed=0,1,2", "paths.output_dir=alone").code == 0
    assert_same_runs(workplace / "together", workplace / "alone")


def test_each_batched_seed_is_warmed_up_like_a_single_seed(cli: Command, workplace: Path) -> None:
    words = [
        "model=brc",
        "model.initialisation=warmup",
        "model.hidden_size=6",
        "task=copy_first_input",
        "task.length=3",
    ]
    words += ["task.train_size=40", "task.val_size=10", "task.test_size=10", "trainer.max_epochs=1", *QUIET]
    assert cli("train", *words, "seeds=2", "paths.output_dir=together").code == 0
    assert cli("train", "-m", *words, "seed=0,1", "paths.output_dir=alone").code == 0
    assert_same_runs(workplace / "together", workplace / "alone")


def test_delays_of_each_batched_seed_are_annealed_like_those_of_a_single_seed(cli: Command, workplace: Path) -> None:
    words = ["model=spiking_recurrent", "model.hidden_size=6", "model.max_delay=5", "model.delay_sigma=2.0"]
    words += ["task=copy_first_input", "task.length=6", "task.train_size=40", "task.val_size=10", "task.test_size=10"]
    words += ["trainer.max_epochs=3", "task.batch_size=10", *QUIET]
    assert cli("train", *words, "seeds=2", "paths.output_dir=together").code == 0
    assert cli("train", "-m", *words, "seed=0,1", "paths.output_dir=alone").code == 0
    assert_same_runs(workplace / "together", workplace / "alone")


def test_each_batched_seed_stops_at_the_epoch_of_the_single_seed(cli: Command, workplace: Path) -> None:
    words = ["model=brc", "model.hidden_size=6", "task=copy_first_input", "task.length=3", "optimizer.lr=0.01"]
    words += ["task.train_size=400", "task.val_size=100", "task.test_size=50", "task.stop_below=0.9", *QUIET]
    assert cli("train", *words, "seeds=3", "paths.output_dir=together").code == 0
    assert cli("train", "-m", *words, "seed=0,1,2", "paths.output_dir=alone").code == 0
    assert_same_runs(workplace / "together", workplace / "alone")
    results = [RunFolder(file.parent).result() for file in Path("alone").rglob("config.yaml")]
    assert len({result["epochs"] for result in results if result}) > 1


def test_an_error_in_completing_one_seed_does_not_stop_the_others(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = train_module.complete_result

    def fail(config: dict[str, Any], *arguments: Any) -> dict[str, Any]:
        if config["seed"] == 0:
            raise OSError("the disk is full")
        return measure(config, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "complete_result", fail)
        outcome = cli("train", *TOGETHER, "trainer.max_epochs=1", "seeds=2", "paths.output_dir=outputs")
    assert outcome.code == 1
    assert outcome.error.startswith("failed: seed 0: the disk is full")
    assert "1 of 2 seeds failed" in outcome.error
    assert "Traceback" not in outcome.error
    statuses = [RunFolder(path).result() or {} for path in sorted(workplace.glob("outputs/*/*/*/seed-*"))]
    assert [each["status"] for each in statuses] == ["failed", "complete"]


def test_interrupted_batched_seeds_are_resumed_as_one_batch(cli: Command, workplace: Path) -> None:
    words = (*TOGETHER, "task.epochs_per_length=8", "task.train_size=2000", "average_weights=0.9")
    process = start("train", *words, "seeds=2", "paths.output_dir=stopped")
    while not list(Path("stopped").rglob("seed-1/checkpoints/last.ckpt")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "the same command continues" in output
    outcome = cli("train", *words, "seeds=2", "paths.output_dir=stopped")
    assert outcome.code == 0, outcome.error
    resumed = re.search(r"going on after epoch (\d+), 2 seeds at once", outcome.out)
    assert resumed is not None
    assert int(resumed[1]) < 23
    assert cli("train", *words, "seeds=2", "paths.output_dir=whole").code == 0
    assert_same_runs(workplace / "stopped", workplace / "whole")


def reproducible_parts(root: Path) -> list[tuple[bytes, Any, Any]]:
    """The parts that equal runs share to the bit: metrics.csv, the weights of both checkpoints, callback states."""
    folders = [RunFolder(file.parent) for file in sorted(root.rglob("config.yaml"))]
    return [
        (
            folder.metrics_file.read_bytes(),
            [read_checkpoint(file)["state_dict"] for file in (folder.best, folder.last)],
            read_checkpoint(folder.last)["callbacks"],
        )
        for folder in folders
    ]


def assert_same_bits(root: Path, other_root: Path) -> None:
    for one, other in zip(reproducible_parts(root), reproducible_parts(other_root), strict=True):
        assert one[0] == other[0]
        for weights, others in zip(one[1], other[1], strict=True):
            assert all(torch.equal(weights[name], others[name]) for name in weights)
        assert_alike(one[2], other[2])


def stop_at(monkeypatch: pytest.MonkeyPatch, name: str, number: int, error: type[BaseException]) -> None:
    """The ``number``-th time that a checkpoint of this name is to be written, an error is raised instead."""
    save, count = PerSeedCheckpoint.save_checkpoint, itertools.count(1)

    def stopped(self: PerSeedCheckpoint, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        if Path(path).name == name and next(count) == number:
            raise error
        save(self, checkpoint, path, storage_options)

    monkeypatch.setattr(PerSeedCheckpoint, "save_checkpoint", stopped)


def test_batched_seeds_interrupted_between_their_checkpoints_end_with_the_same_bits(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*TOGETHER, "seeds=3", "average_weights=0.9")
    assert cli("train", *words, "paths.output_dir=whole").code == 0
    stops = {1: KeyboardInterrupt, 2: Terminated, 3: KeyboardInterrupt, 5: Terminated, 9: KeyboardInterrupt}
    for number, error in stops.items():  # with three seeds: in the first epoch, the second, the third
        place = f"stopped-{number}"
        with monkeypatch.context() as patched:
            stop_at(patched, "last.ckpt", number, error)
            outcome = cli("train", *words, f"paths.output_dir={place}")
        assert outcome.code == (143 if error is Terminated else 130)
        assert "the same command continues" in outcome.out
        results = [RunFolder(file.parent).result() for file in Path(place).rglob("config.yaml")]
        assert [result["status"] for result in results if result] == ["interrupted"] * 3
        assert cli("train", *words, f"paths.output_dir={place}").code == 0
        assert_same_bits(workplace / "whole", workplace / place)
    assert list(workplace.rglob(".epoch-before*")) == []


@pytest.mark.parametrize("deleted", ["seed-0", "seed-1", "seed-*"])
def test_a_seed_deleted_after_an_interruption_is_trained_again(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch, deleted: str
) -> None:
    words = (*TOGETHER, "seeds=3")
    with monkeypatch.context() as patched:
        stop_at(patched, "last.ckpt", 5, KeyboardInterrupt)  # between the checkpoints of the second epoch
        assert cli("train", *words, "paths.output_dir=stopped").code == 130
    for folder in Path("stopped").glob(f"*/*/*/{deleted}"):
        shutil.rmtree(folder)
    outcome = cli("train", *words, "paths.output_dir=stopped")
    assert outcome.code == 0, outcome.error
    assert cli("train", *words, "paths.output_dir=whole").code == 0
    assert_same_runs(workplace / "stopped", workplace / "whole")


def test_the_time_limit_holds_for_all_batched_seeds_together(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elapsed(timer: Timer, stage: str = "train") -> float:  # a clock that counts how often it is read
        timer.readings = getattr(timer, "readings", timer._offset) + 1  # type: ignore[attr-defined]
        return timer.readings  # type: ignore[attr-defined,no-any-return]

    monkeypatch.setattr(Timer, "time_elapsed", elapsed)
    long = [word for word in TOGETHER if not word.startswith("trainer.max_epochs")]
    outcome = cli("train", *long, "trainer.max_epochs=1000", "trainer.max_time=00:00:01:00", "seeds=3")
    assert outcome.code == 0, outcome.error
    last = {int(epoch) for epoch in re.findall(r"going on after epoch (\d+)", outcome.out)}
    assert len(last) == 1
    results = [RunFolder(file.parent).result() for file in Path("outputs").rglob("config.yaml")]
    assert [result["epochs"] - 1 for result in results if result] == [*last] * 3


def test_seeds_that_stopped_early_stay_in_the_resumed_batch(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["model=brc", "model.hidden_size=6", "task=copy_first_input", "task.length=3", "optimizer.lr=0.01"]
    words += ["task.train_size=400", "task.val_size=100", "task.test_size=50", "task.stop_below=0.9", *QUIET, "seeds=3"]
    assert cli("train", *words, "paths.output_dir=whole").code == 0
    epochs = [RunFolder(file.parent).result()["epochs"] for file in sorted(Path("whole").rglob("config.yaml"))]  # type: ignore[index]
    assert min(epochs) < max(epochs) - 1
    with monkeypatch.context() as patched:
        stop_at(patched, "last.ckpt", sum(min(each, max(epochs) - 1) for each in epochs) + 1, KeyboardInterrupt)
        assert cli("train", *words, "paths.output_dir=stopped").code == 130
    outcome = cli("train", *words, "paths.output_dir=stopped")
    assert outcome.code == 0, outcome.error
    assert "3 seeds at once" in outcome.out
    assert_same_bits(workplace / "whole", workplace / "stopped")


def test_complete_seeds_are_not_trained_again(cli: Command, workplace: Path) -> None:
    assert cli("train", *TOGETHER, "seed=1").code == 0
    outcome = cli("train", *TOGETHER, "seeds=3")
    assert outcome.code == 0, outcome.error
    assert "2 seeds at once" in outcome.out
    assert "already complete" in outcome.out
    again = cli("train", *TOGETHER, "seeds=3")
    assert again.code == 0
    assert "at once" not in again.out


def test_a_seed_with_a_non_finite_loss_does_not_change_the_others(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace / "my_strict_metric.py").write_text(
        "def spread(prediction, target):\n"
        "    if prediction.isnan().any():\n        raise ValueError('input contains NaN')\n"
        "    return prediction.std()\n"
    )
    words = (*TOGETHER, "metrics=[my_strict_metric.spread]")
    assert cli("train", "-m", *words, "seed=0,2", "paths.output_dir=alone").code == 0
    loss = BinaryAddition.loss

    def poisoned(task: BinaryAddition, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return loss(task, prediction, target) * (float("nan") if task.seed == 1 else 1)

    monkeypatch.setattr(BinaryAddition, "loss", poisoned)
    alone = cli("train", *words, "seed=1", "paths.output_dir=failed")
    assert alone.error.startswith("error: the loss became nan")
    outcome = cli("train", *words, "seeds=3", "paths.output_dir=together")
    assert outcome.code == 1
    assert "failed: seed 1: the loss became nan" in outcome.error
    assert "1 of 3 seeds failed" in outcome.error
    (failed,) = Path("together").rglob("seed-1")
    result = RunFolder(failed).result()
    assert result is not None
    assert result["status"] == "failed"
    shutil.rmtree(failed)
    assert_same_runs(workplace / "together", workplace / "alone")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("model=gru",), "gru"),
        (("model.dropout=0.3", "model.num_layers=2"), "random"),
        (("seeds=0",), "between 1 and 128"),
        (("trainer.min_steps=3",), "trainer.min_steps"),
        (("optimizer.name=Adagrad",), "one of the optimizers"),
        (("schedule.name=ReduceLROnPlateau",), "depends on val/loss"),
        (("model=placed/spatial_linear", "task=multi_image"), "training step of its own"),
        (("accelerator=ddp", "trainer.accelerator=cpu", "trainer.devices=2"), "one process"),
    ],
)
def test_seeds_that_cannot_be_batched_give_a_one_line_error(
    cli: Command, workplace: Path, words: tuple[str, ...], why: str
) -> None:
    small = TOGETHER
    if "task=multi_image" in words:
        for name in ("mnist", "fashion_mnist"):
            idx_files.write(workplace / "data", name)
        small = ("paths.data_dir=data", "task.train_size=20", "task.val_size=10", "task.test_size=10", *QUIET)
    outcome = cli("train", *small, "seeds=3", *words)
    assert outcome.code == 1
    assert why in outcome.error
    assert len(outcome.error.strip().splitlines()) == 1
    assert not Path("outputs").exists()
