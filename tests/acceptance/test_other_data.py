"""Evaluate and analyse a run on other data than its test set: ``data=`` and ``task={...}``, as a user types them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from bionets.experiment.commands.evaluate import notes_on, notes_on_changes, short_hash
from bionets.experiment.errors import UserError
from bionets.experiment.run.dynamics_run import DynamicsRun
from bionets.experiment.run.trained import load_trained
from tests.acceptance.conftest import Command, the_run
from tests.acceptance.test_stack import TINY


def test_a_run_is_evaluated_and_analysed_on_other_data(cli: Command, workplace: Path) -> None:
    assert cli("train", "model=brc", "model.hidden_size=4", *TINY).code == 0
    folder = the_run(workplace).path
    again = cli("evaluate", f"run={folder}")
    assert again.code == 0 and "note:" not in again.out
    outcome = cli("evaluate", f"run={folder}", "task={length: 9, test_size: 12}")
    assert outcome.code == 0, outcome.error
    (other,) = folder.glob("evaluation-best-*.json")
    found, usual = (json.loads(file.read_text()) for file in (other, folder / "evaluation-best.json"))
    assert found["task"] == {"length": 9, "test_size": 12} and "task" not in usual
    assert found["tests"] != usual["tests"]

    _, task = load_trained(folder, task_options={"length": 9})
    assert task.test_data("test")[0].shape[0] == 9
    sizes = {data: DynamicsRun(folder, data=data).x.shape[:2] for data in ("train", "val", "test")}
    assert sizes == {"train": (4, 10), "val": (4, 10), "test": (4, 10)}
    assert DynamicsRun(folder, task_options={"length": 9}).x.shape[0] == 9
    with pytest.raises(UserError, match="data=validation is unknown: choose train, val, test"):
        DynamicsRun(folder, data="validation")

    refused = cli("evaluate", f"run={folder}", "task={lenght: 9}")
    assert refused.code == 1 and refused.error.startswith("error: task.lenght is not an option of the run's task")
    refused = cli("evaluate", f"run={folder}", "task={_target_: os.system}")
    assert refused.code == 1 and "task._target_ is not an option" in refused.error


def test_accelerator_chooses_the_device_of_an_evaluation(cli: Command, workplace: Path) -> None:
    assert cli("train", "model=brc", "model.hidden_size=4", *TINY).code == 0
    folder = the_run(workplace).path
    outcome = cli("evaluate", f"run={folder}", "accelerator=cpu")
    assert outcome.code == 0, outcome.error
    found = json.loads((folder / "evaluation-best.json").read_text())["metrics"]
    measured = the_run(workplace).result()
    assert measured is not None
    assert found == pytest.approx({name: measured["metrics"][name] for name in found})

    refused = {
        "accelerator=ddp": "error: evaluate tests in one process: choose accelerator=auto, cpu or gpu\n",
        "trainer.devices=2": "error: evaluate tests on one device: leave out trainer.devices=2\n",
        "task=kmnist": "error: this command has no choice task=kmnist: --help shows its options; a mapping takes "
        "{key:value}\n",
    }
    for word, message in refused.items():
        others = ["accelerator=cpu"] if word.startswith("trainer") else []
        outcome = cli("evaluate", f"run={folder}", word, *others)
        assert (outcome.code, outcome.error) == (1, message)


def test_evaluate_notes_another_split_and_another_standardisation(cli: Command, workplace: Path) -> None:
    for name, scale in (("data", 1), ("other", 5)):
        rows = "".join(f"{scale * number},{number % 2}\n" for number in range(60))
        (workplace / f"{name}.csv").write_text(f"a,y\n{rows}")
    words = ("task=custom", "task.data=data.csv", "task.standardise=true", "trainer.max_epochs=1", *TINY[-2:])
    assert cli("train", "model=feed_forward", *words).code == 0
    run = f"run={the_run(workplace).path}"
    assert "note:" not in cli("evaluate", run).out
    assert "note:" not in cli("evaluate", run, "task={data: data.csv, split_seed: 0}").out
    assert "note: task.split_seed makes another split" in cli("evaluate", run, "task={split_seed: 1}").out
    assert "makes another split" in cli("evaluate", run, "task={data: data.csv, split_seed: 1}").out
    other = cli("evaluate", run, "task={data: other.csv}").out
    assert (
        "note: task.standardise has the mean and deviation of the other data" in other and "another split" not in other
    )


def test_other_data_with_another_number_of_inputs_are_refused_by_name(cli: Command, workplace: Path) -> None:
    for name, inputs in (("data", 3), ("wider", 4)):
        np.savez(workplace / f"{name}.npz", x=np.ones((60, inputs), np.float32), y=np.arange(60) % 2)
    words = ("task=custom", "task.data=data.npz", "trainer.max_epochs=1", *TINY[-2:])
    assert cli("train", "model=feed_forward", *words).code == 0
    refused = cli("evaluate", f"run={the_run(workplace).path}", "task={data: wider.npz, val_share: 0.2}")
    assert refused.code == 1 and refused.error.endswith(
        "does not fit the model for task.data and task.val_share: choose data with the inputs and outputs of training\n"
    )


def test_evaluate_notes_metrics_that_changed_since_the_run_ended(cli: Command, workplace: Path) -> None:
    data = workplace / "data.csv"
    data.write_text("a,y\n" + "".join(f"{number},{number % 2}\n" for number in range(60)))
    assert (
        cli("train", "model=feed_forward", "task=custom", "task.data=data.csv", "trainer.max_epochs=1", *TINY[-2:]).code
        == 0
    )
    run = f"run={the_run(workplace).path}"
    assert "when the run ended" not in cli("evaluate", run).out
    data.write_text("a,y\n" + "".join(f"{number},{1 - number % 2}\n" for number in range(60)))
    changed = cli("evaluate", run).out
    assert "when the run ended and is" in changed and "note: data.csv has changed since" in changed


def test_classes_of_other_data_are_matched_by_name(cli: Command, workplace: Path) -> None:
    """Without names, the words of another file would be numbered in their own order."""
    words = ("ant", "bee", "cat")
    for name, labels in (("data", words), ("other", words[1:]), ("new", ("bee", "dog")), ("changed", ("x", "y", "z"))):
        rows = "".join(
            f"{number % len(labels) + (name == 'other')},{labels[number % len(labels)]}\n" for number in range(60)
        )
        (workplace / f"{name}.csv").write_text(f"a,y\n{rows}")
    learning = ("task.data=data.csv", "task.epochs=40", "optimizer.lr=0.05", *TINY[-2:])
    assert cli("train", "model=feed_forward", "task=custom", *learning).code == 0
    folder = the_run(workplace).path
    run = f"run={folder}"
    assert json.loads((folder / "environment.json").read_text())["class_names"] == {"y": [*words]}
    assert cli("evaluate", run, "task={data: other.csv}").code == 0
    (file,) = folder.glob("evaluation-best-*.json")
    assert json.loads(file.read_text())["metrics"]["test/accuracy"] == 1.0
    refused = cli("evaluate", run, "task={data: new.csv}")
    assert refused.code == 1 and "has the class dog, which training did not know: ant, bee, cat" in refused.error

    (folder / "result.json").unlink()  # a run that is to go on
    (workplace / "changed.csv").replace(workplace / "data.csv")
    refused = cli("train", "model=feed_forward", "task=custom", *learning)
    assert refused.code == 1 and "the classes of task.data have changed since" in refused.error

    (folder / "environment.json").unlink()  # as a run made before names were kept
    (folder / "manifest.json").unlink()
    other = cli("evaluate", run, "task={data: data.csv}")
    assert other.code == 0 and "note: the run has not kept the names of its classes" in other.out


@pytest.mark.parametrize(
    ("task", "other", "named"),
    [
        ({"split_seed": 0}, {"split_seed": 1}, ["task.split_seed"]),
        ({"data": "a.csv"}, {"test_share": 0.5, "held_out": "who"}, ["task.test_share"]),
        ({"data": "a.csv", "split_seed": 0}, {"data": "b.csv", "split_seed": 1}, []),
        ({"data": "a.csv", "standardise": True, "class_weights": "balanced"}, {"data": "a.csv"}, []),
        ({"data": "a.csv", "standardise": False, "class_weights": None}, {"data": "b.csv"}, []),
        (
            {"dataset": "mnist", "standardise": True, "class_weights": "balanced"},
            {"dataset": "digits"},
            ["task.standardise", "task.class_weights"],
        ),
        ({"data": "a.csv", "standardise": True, "class_weights": "balanced"}, {"batch_size": 3}, []),
        ({"data": "a", "test_share": 0.1}, {"data": "b"}, ["task.test_share"]),
        ({"data": "a", "test_share": 0.1}, {"data": "a", "batch_size": 9}, []),
        ({"data": "a", "arguments": {"height": 9}}, {"data": "b"}, ["task.arguments.sensor"]),
        ({"data": "a", "arguments": {"height": 9, "sensor": [34, 34]}}, {"data": "b"}, []),
        ({"data": "a", "arguments": {"height": 9}}, {"data": "b", "arguments": {"sensor": [34, 34]}}, []),
    ],
)
def test_notes_name_the_options_of_the_run_that_other_data_change(
    task: dict[str, object], other: dict[str, object], named: list[str]
) -> None:
    assert [re.split("[ =]", note)[0] for note in notes_on(other, task)] == named


def test_the_same_options_in_any_order_give_the_same_file_name() -> None:
    assert short_hash({"a": 1, "b": 2}) == short_hash({"b": 2, "a": 1}) != short_hash({"a": 2, "b": 2})


def test_the_first_metric_that_changed_by_more_than_rounding_is_noted() -> None:
    before = {"val/loss": 1.0, "test/loss": 1.0, "test/error": 1.0}
    (note,) = notes_on_changes(before, {"test/new": 5.0, "val/loss": 1.0005, "test/loss": 1.01, "test/error": 2.0})
    assert note.startswith("test/loss was 1 when the run ended and is 1.01 now")


def test_a_metric_that_is_nan_both_times_counts_as_unchanged() -> None:
    numbers = {"test/loss": float("nan")}
    assert list(notes_on_changes(numbers, numbers)) == []
    assert len(list(notes_on_changes(numbers, {"test/loss": 1.0}))) == 1


def test_the_columns_of_other_data_may_have_another_order(cli: Command, workplace: Path) -> None:
    names, generator = ["a", "b", "label"], torch.Generator().manual_seed(0)
    x = torch.randn(200, 2, generator=generator)
    table = [dict(zip(names, [*row.tolist(), int(row[0] > 0)], strict=True)) for row in x]

    def write(file: str, order: list[str]) -> None:
        lines = [",".join(order), *(",".join(str(row[name.lower()]) for name in order) for row in table)]
        Path(file).write_text("\n".join(lines))

    write("table.csv", names)
    write("other.csv", ["b", "label", "a"])
    write("renamed.csv", ["a", "B", "label"])
    words = ("model=feed_forward", "task=custom", "task.data=table.csv", "task.targets=label", "task.epochs=1")
    for seeds in ("seeds=1", "seeds=2"):
        assert cli("train", *words, seeds, "callbacks=quiet", "logger=none", f"paths.output_dir={seeds[-1]}").code == 0
        folder = sorted(Path(seeds[-1]).rglob("config.yaml"))[-1].parent
        before = cli("evaluate", f"run={folder}", "predictions=true").code
        other = cli("evaluate", f"run={folder}", "task={data: other.csv}", "predictions=true").code
        assert (before, other) == (0, 0)
        one, two = sorted(folder.glob("predictions-*.csv"))
        assert one.read_text() == two.read_text()
        outcome = cli("evaluate", f"run={folder}", "task={data: renamed.csv}")
        assert outcome.code == 1 and "renamed.csv has no column 'b': it has a, B, label" in outcome.error
        assert cli("evaluate", f"run={folder}", "task={data: renamed.csv, inputs: [a, B]}").code == 0
