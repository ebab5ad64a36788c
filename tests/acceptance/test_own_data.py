"""``task=custom`` with what ``task.data`` may name, as a user types it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.acceptance.conftest import Command, the_run
from tests.tasks.event_recordings import write_own

SHORT = ("model.hidden_size=4", "trainer.max_epochs=1", "callbacks=quiet", "logger=none", "task=custom")
OWN = """
import torch
from torchmetrics import MeanSquaredError, MetricCollection
from bionets.tasks import Task, TaskSpec

class Sums(Task):
    spec = TaskSpec("sequence_to_value", input_size=1, output_size=1)

    def draw(self, split, size, generator):
        x = torch.randn(5, size, 1, generator=generator)
        return x, x.sum(0)

    def loss(self, prediction, target):
        return torch.nn.functional.mse_loss(prediction, target)

    def metrics(self):
        return MetricCollection({"mse": MeanSquaredError()})
"""


def test_a_folder_of_event_recordings_by_class_trains(cli: Command, workplace: Path) -> None:
    data = write_own(workplace / "recordings")
    keys = (f"task.data={data}", "task.arguments={steps: 4, bin_ms: 2.5, channels: 1}", "task.batch_size=8")
    outcome = cli("train", "model=spiking_recurrent", *SHORT, *keys, "callbacks.figures=true")
    assert outcome.code == 0, outcome.error
    assert "sequences of 4 steps of 108 numbers -> 2 classes; 16 for training, 2 for validation" in outcome.out
    folder = the_run(workplace).path
    assert cli("evaluate", f"run={folder}", "predictions=true").code == 0
    with (folder / "predictions-best.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["sample", "target", "prediction", "probability_left", "probability_right"]
    assert all(row["sample"].startswith(f"{row['target']}/") for row in rows)
    matrix = (folder / "figures" / "confusion_matrix-best.csv").read_text()
    assert "left" in matrix and "right" in matrix
    refused = cli("train", "model=spiking_recurrent", *SHORT, f"task.data={data}", "task.arguments={stesp: 4}")
    assert refused.code == 1 and "stesp" in refused.error and refused.error.count("\n") == 1


def test_a_task_class_given_by_import_path_trains(cli: Command, workplace: Path) -> None:
    (workplace / "own_sums.py").write_text(OWN)
    sizes = "task.arguments={train_size: 20, val_size: 10, test_size: 10}"
    outcome = cli("train", "model=brc", *SHORT, "task.data=own_sums.Sums", sizes, "task.batch_size=10")
    assert outcome.code == 0, outcome.error
    assert "sequences of 1 number -> 1 number at the end; 20 for training" in outcome.out
    folder = the_run(workplace).path
    assert "trust=own_sums" in cli("evaluate", f"run={folder}").error
    assert cli("evaluate", f"run={folder}", "trust=own_sums").code == 0
    refused = cli("train", "model=brc", *SHORT, "task.data=own_sums.Sums", sizes, "task.target_kind=class")
    assert refused.code == 1 and "own_sums.Sums has targets of its own: leave out task.target_kind" in refused.error
    missing = cli("train", "model=brc", *SHORT, "task.data=own_sums.Sums")
    assert missing.code == 1 and "train_size" in missing.error and missing.error.count("\n") == 1


def test_vectors_for_a_model_of_sequences_are_refused_with_the_option_that_makes_sequences(
    cli: Command, workplace: Path
) -> None:
    (workplace / "rows.csv").write_text("a,y\n" + "".join(f"{n},{n % 2}\n" for n in range(40)))
    np.savez(workplace / "rows.npz", x=np.random.default_rng(0).normal(size=(40, 3)), y=np.arange(40) % 2)
    for file, option in (("rows.csv", "task.sequences=id"), ("rows.npz", "task.read_as=pixels")):
        outcome = cli("train", "model=brc", *SHORT, f"task.data={file}")
        assert outcome.code == 1 and outcome.error.count("\n") == 1
        assert "model=brc does not fit" in outcome.error and option in outcome.error
    np.savez(workplace / "steps.npz", x=np.zeros((40, 5, 3), np.float32), y=np.arange(40) % 2)
    outcome = cli("train", "model=spiking_conv", *SHORT[1:], "task.data=steps.npz")
    assert "model=spiking_conv does not fit" in outcome.error and "read_as" not in outcome.error


def test_integer_targets_that_are_read_as_numbers_are_named_in_a_note(cli: Command, workplace: Path) -> None:
    np.savez(workplace / "column.npz", x=np.zeros((40, 5, 3), np.float32), y=np.arange(40)[:, None] % 2)
    outcome = cli("train", "model=brc", *SHORT, "task.data=column.npz")
    assert outcome.code == 0, outcome.error
    note = "note: y holds whole numbers [40, 1], which are predicted as numbers"
    assert note in outcome.out
    for several in (("seeds=2",), ("-m", "seed=2,3")):
        assert note in cli("train", "model=brc", *SHORT, "task.data=column.npz", *several).out


def test_options_without_effect_are_listed_in_a_note(cli: Command, workplace: Path) -> None:
    (workplace / "own_sums.py").write_text(OWN)
    sizes = "task.arguments={train_size: 20, val_size: 10, test_size: 10}"
    keys = ("task.data=own_sums.Sums", sizes, "task.batch_size=10")
    outcome = cli("train", "model=brc", *SHORT, *keys)
    assert outcome.code == 0 and "no effect" not in outcome.out, outcome.error
    unused = ("task.standardise=true", "task.read_as=rows", "task.targets=z", "task.val_share=0.3", "task.inputs=[]")
    outcome = cli("train", "model=brc", *SHORT, *keys, *unused)
    assert outcome.code == 0, outcome.error
    (note,) = (line for line in outcome.out.splitlines() if "no effect" in line)
    named = "task.targets, task.read_as, task.standardise, task.val_share"
    assert note == f"note: no effect with task.data=own_sums.Sums: {named}"
    data = write_own(workplace / "recordings")
    keys = (f"task.data={data}", "task.arguments={steps: 4, bin_ms: 2.5, channels: 1}", "task.batch_size=8")
    outcome = cli("train", "model=spiking_recurrent", *SHORT, *keys, "task.val_share=0.2", "task.read_as=rows")
    assert outcome.code == 0, outcome.error
    assert f"note: no effect with task.data={data}: task.read_as\n" in outcome.out.replace("\n/", " /")


def test_arrays_with_several_targets_train(cli: Command, workplace: Path) -> None:
    random = np.random.default_rng(0)
    np.savez(
        workplace / "mine.npz", x=random.normal(size=(40, 5, 3)), kind=np.arange(40) % 3, speed=random.normal(size=40)
    )
    keys = ("task.data=mine.npz", "task.targets=[kind,speed]", "task.target_weights=[1,0.5]")
    outcome = cli("train", "model=gru", *SHORT, *keys)
    assert outcome.code == 0, outcome.error
    assert "test/kind_accuracy" in outcome.out and "test/speed_mse" in outcome.out


def test_a_csv_file_with_several_targets_trains(cli: Command, workplace: Path) -> None:
    random = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{'up' if a > 0 else 'down'},{a + b:.3f}" for a, b in random.normal(size=(40, 2))]
    (workplace / "table.csv").write_text("\n".join(["a,b,way,sum", *rows]))
    outcome = cli("train", "model=feed_forward", *SHORT, "task.data=table.csv", "task.targets=[way,sum]")
    assert outcome.code == 0, outcome.error
    assert "images of 1 × 1 × 2 -> 3 numbers" in outcome.out
    assert "test/way_accuracy" in outcome.out and "test/sum_mse" in outcome.out
    assert cli("evaluate", f"run={the_run(workplace).path}").code == 0
    refused = cli("train", "model=stdp", *SHORT, "task.data=table.csv", "task.targets=sum", "task.inputs=[a,b]")
    assert refused.code == 1 and refused.error.count("\n") == 1
    assert "choose model=feed_forward, spatial_conv, spatial_linear, spiking_conv" in refused.error


def test_a_misspelt_key_in_the_config_file_of_a_user_task_is_reported(cli: Command, workplace: Path) -> None:
    handing_on = (
        "\n\nclass Louder(Sums):\n    def __init__(self, gain=1.0, **options):\n        super().__init__(**options)\n"
    )
    (workplace / "own_louder.py").write_text(OWN + handing_on)
    (workplace / "mine" / "task").mkdir(parents=True)
    file = workplace / "mine" / "task" / "louder.yaml"
    keys = "train_size: 20\nval_size: 10\ntest_size: 10\nbatch_size: 10\nepochs: 1\nseed: ${seed}\n"
    file.write_text(f"_target_: own_louder.Louder\nname: louder\ngain: 2\n{keys}")
    words = ("train", "--config-dir", str(workplace / "mine"), "model=brc", "task=louder")
    short = [word for word in SHORT if not word.startswith("task=")]
    assert cli(*words, *short, "seed=3").code == 0
    assert the_run(workplace).path.name == "seed-3"
    file.write_text(f"_target_: own_louder.Louder\nname: louder\ngian: 2\n{keys}")
    assert cli(*words, *short).error.strip() == (
        "error: own_louder.Louder has no key gian, did you mean gain?; "
        "it has gain, train_size, val_size, test_size, batch_size, epochs, stop_below, seed"
    )


def test_a_csv_file_with_a_class_at_every_step_trains(cli: Command, workplace: Path) -> None:
    """A word in each row of sequences of different lengths; then another file without one of these words."""
    random = np.random.default_rng(0)
    numbers = {"up": 2.0, "still": 0.0, "down": -2.0}
    for name, words in (("data", [*numbers]), ("other", ["up", "down"])):
        rows = [
            f"{n},{numbers[word] + 0.1 * random.normal():.3f},{word}"
            for n in range(40)
            for word in random.choice(words, 2 + n % 4)
        ]
        (workplace / f"{name}.csv").write_text("\n".join(["id,a,way", *rows]))
    keys = ("task.data=data.csv", "task.sequences=id", "task.targets=way", "task.target_kind=class_every_step")
    learning = ("optimizer.lr=0.05", "trainer.max_epochs=30", "task.batch_size=8")
    outcome = cli("train", "model=gru", *SHORT, *keys, *learning)
    assert outcome.code == 0, outcome.error
    assert "sequences of 1 number -> 3 classes at every step; 32 for training" in outcome.out
    run = the_run(workplace)
    assert run.class_names() == {"way": ["down", "still", "up"]}
    assert cli("evaluate", f"run={run.path}", "task={data: other.csv}").code == 0
    (file,) = run.path.glob("evaluation-best-*.json")
    assert json.loads(file.read_text())["metrics"]["test/accuracy"] == 1.0
    refused = cli("train", "model=feed_forward", *SHORT, *keys)
    assert refused.code == 1 and refused.error.count("\n") == 1 and "choose model=" in refused.error


@pytest.mark.parametrize("split", ["train", "val"])
def test_data_that_do_not_fit_the_spec_are_refused_before_training(cli: Command, workplace: Path, split: str) -> None:
    wrong = OWN.replace("size, 1, generator", f"size, 1 + (split == '{split}'), generator")
    (workplace / f"own_wrong_{split}.py").write_text(wrong)
    keys = ("task.arguments={train_size: 20, val_size: 10, test_size: 10}", "task.batch_size=4")
    outcome = cli("train", "model=brc", *SHORT, f"task.data=own_wrong_{split}.Sums", *keys)
    assert outcome.code == 1 and outcome.error.count("\n") == 1
    assert "x of a task of kind sequence_to_value must be [T, B, 1], got the shape (5, 4, 2)" in outcome.error
    assert not list(workplace.rglob("config.yaml"))


def test_the_check_of_a_loss_does_not_change_the_state_of_the_task(cli: Command, workplace: Path) -> None:
    counting = OWN.replace("    def loss(", "    calls = 0\n\n    def loss(").replace(
        "        return torch.nn.functional.mse_loss",
        "        self.calls += 1\n        print('call', self.calls, 'with', int(prediction.any()))\n"
        "        return torch.nn.functional.mse_loss",
    )
    (workplace / "own_counting.py").write_text(counting)
    sizes = "task.arguments={train_size: 20, val_size: 10, test_size: 10}"
    outcome = cli("train", "model=brc", *SHORT, "task.data=own_counting.Sums", sizes, "task.batch_size=10")
    assert outcome.code == 0, outcome.error
    calls = [line for line in outcome.out.splitlines() if line.startswith("call ")]
    assert calls[:2] == ["call 1 with 0", "call 1 with 1"]  # the check with zeros, and the first batch


def test_a_csv_file_with_unlabelled_steps_trains(cli: Command, workplace: Path) -> None:
    """The rows are not in the order of time, and every second one has no label; two seeds at once, and then evaluation
    on data that are labelled throughout."""
    random = np.random.default_rng(0)
    numbers = {"up": 2.0, "still": 0.0, "down": -2.0}
    for name in ("data", "other"):
        share = 1.0 if name == "other" else 0.5
        rows = [
            f"{n},{t},{numbers[word] + 0.1 * random.normal():.3f},{word if random.random() < share else ''}"
            for n in range(40)
            for t, word in enumerate(random.choice([*numbers], 4))
        ]
        (workplace / f"{name}.csv").write_text("\n".join(["id,t,a,way", *random.permutation(rows)]))
    keys = ("task.data=data.csv", "task.sequences=id", "task.sort_by=t", "task.targets=way", "task.batch_size=8")
    learning = ("task.target_kind=class_every_step", "optimizer.lr=0.05", "trainer.max_epochs=2")
    outcome = cli("train", "model=brc", *SHORT, *keys, *learning)
    assert outcome.code == 0, outcome.error
    assert "1 number -> 3 classes at every step, of which some have no label; 32 for training" in outcome.out
    alone = the_run(workplace)
    assert cli("evaluate", f"run={alone.path}", "task={data: other.csv}").code == 0
    (file,) = alone.path.glob("evaluation-best-*.json")
    assert json.loads(file.read_text())["metrics"]["test/accuracy"] * 16 % 1 == 0  # of 4 samples
    found = alone.result()
    outcome = cli("train", "model=brc", *SHORT, *keys, *learning, "seeds=2", "name=together")
    assert outcome.code == 0, outcome.error
    (run,) = workplace.rglob("together-*/seed-0/result.json")
    together = json.loads(run.read_text())["metrics"]
    assert together == pytest.approx({name: found["metrics"][name] for name in together}, rel=1e-2)
    refused = cli("train", "model=brc", *SHORT, *keys)
    assert refused.code == 1 and refused.error.count("\n") == 1 and "column way is empty" in refused.error
