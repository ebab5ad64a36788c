"""The prediction for each test sample, and confusion matrices: the files agree with the metrics."""

import csv
import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

import bionets
from bionets.csv_text import csv_text
from tests.acceptance.conftest import SMALL, Command, the_run
from tests.acceptance.test_stack import TINY

SEQUENCES = (
    "model=gru",
    "task=custom",
    "task.data=data.csv",
    "task.sequences=id",
    "task.inputs=[a,b]",
    "trainer.max_epochs=2",
    "task.test_share=0.4",
    "logger=none",
)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def predictions(cli: Command, folder: Path) -> list[dict[str, str]]:
    outcome = cli("evaluate", f"run={folder}", "predictions=true")
    assert outcome.code == 0, outcome.error
    assert f"predictions: {folder / 'predictions-best.csv'}" in outcome.out.replace("\n", "")
    return rows_of(folder / "predictions-best.csv")


def write_sequences(file: Path) -> dict[str, list[dict[str, str]]]:
    """Sequences of different lengths, by their names."""
    draw = random.Random(0)
    lines = ["id,a,b,kind,state,load"]
    for name in (f"s{number}" for number in range(40)):
        kind = draw.choice(("up", "down", 'flat "1, 2"')).replace('"', '""')
        for step in range(draw.randint(3, 6)):
            state = draw.choice(("on", "off"))
            lines.append(f'{name},{step if kind == "up" else -step},{draw.random()},"{kind}",{state},{draw.random()}')
    file.write_text("\n".join(lines) + "\n")
    found: dict[str, list[dict[str, str]]] = {}
    for row in rows_of(file):
        found.setdefault(row["id"], []).append(row)
    return found


def test_each_sequence_has_a_row_with_its_name_class_and_probabilities(cli: Command, workplace: Path) -> None:
    sequences = write_sequences(workplace / "data.csv")
    assert cli("train", *SEQUENCES, "task.targets=kind").code == 0
    folder = the_run(workplace).path
    rows = predictions(cli, folder)
    assert len({row["sample"] for row in rows}) == len(rows) == 16
    for row in rows:
        assert row["target"] == sequences[row["sample"]][0]["kind"]
        shares = {key.removeprefix("probability_"): float(row[key]) for key in row if key.startswith("probability_")}
        assert row["prediction"] == max(shares, key=shares.__getitem__)
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
    accuracy = sum(row["target"] == row["prediction"] for row in rows) / len(rows)
    result = json.loads((folder / "evaluation-best.json").read_text())
    assert result["metrics"]["test/accuracy"] == pytest.approx(accuracy)

    model, _ = bionets.load(folder)  # the model alone, on one sequence of the file
    alone = rows[3]
    inputs = [[float(row["a"]), float(row["b"])] for row in sequences[alone["sample"]]]
    x = torch.tensor(inputs).unsqueeze(1)
    scores = model(x, torch.tensor([len(inputs)]))[0].softmax(0)
    of_file = [float(alone[key]) for key in alone if key.startswith("probability_")]
    np.testing.assert_allclose(scores.detach().numpy(), of_file, rtol=1e-5)

    pairs = Counter((row["target"], row["prediction"]) for row in rows)
    for name in ("confusion_matrix", "confusion_matrix-best"):  # of the training, and of the evaluation
        for row in rows_of(folder / "figures" / f"{name}.csv"):
            true = row.pop("true class")
            assert {key: int(count) for key, count in row.items()} == {key: pairs[true, key] for key in row}
        assert (folder / "figures" / f"{name}.png").exists()


@pytest.mark.parametrize("all_labelled", [True, False])
@pytest.mark.parametrize(("column", "kind"), [("state", "class_every_step"), ("load", "number_every_step")])
def test_each_labelled_step_has_a_row(
    cli: Command, workplace: Path, column: str, kind: str, all_labelled: bool
) -> None:
    sequences = write_sequences(workplace / "data.csv")
    if not all_labelled:  # some steps without a label, and sequences without any
        for number, steps in enumerate(sequences.values()):
            for row in steps[:: 1 if number % 3 == 0 else 2]:
                row[column] = ""
        table = [row for steps in sequences.values() for row in steps]
        (workplace / "data.csv").write_text(csv_text(table[0], [row.values() for row in table]))
    words = (f"task.targets={column}", f"task.target_kind={kind}", "task.batch_size=1", "trainer.max_epochs=1")
    assert cli("train", *SEQUENCES, *words).code == 0
    folder = the_run(workplace).path
    rows = predictions(cli, folder)
    names = list(dict.fromkeys(row["sample"] for row in rows))
    expected = [(name, step, row[column]) for name in names for step, row in enumerate(sequences[name]) if row[column]]
    if kind.startswith("class"):
        assert [(row["sample"], int(row["step"]), row["target"]) for row in rows] == expected
        measured = sum(row["target"] == row["prediction"] for row in rows) / len(rows)
    else:
        assert [(row["sample"], int(row["step"])) for row in rows] == [each[:2] for each in expected]
        targets = [float(row["target"]) for row in rows]
        assert targets == pytest.approx([float(each[2]) for each in expected])
        measured = float(np.mean([(float(row["target"]) - float(row["prediction"])) ** 2 for row in rows]))
    metrics = json.loads((folder / "evaluation-best.json").read_text())["metrics"]
    assert metrics["test/accuracy" if kind.startswith("class") else "test/mse"] == pytest.approx(measured, rel=1e-4)


def test_each_of_several_targets_has_columns_and_a_confusion_matrix(cli: Command, workplace: Path) -> None:
    rows = "".join(f"{number},{number % 3},{'xy'[number % 2]},{number / 7}\n" for number in range(60))
    (workplace / "data.csv").write_text("a,b/c,kind,speed\n" + rows)
    words = ("model=feed_forward", "task=custom", "task.data=data.csv", "trainer.max_epochs=1", "logger=none")
    assert cli("train", *words, "task.inputs=[a]", "task.targets=[b/c,kind,speed]").code == 0
    folder = the_run(workplace).path
    found = predictions(cli, folder)
    for row in found:
        number = int(row["sample"])  # the position in the file
        assert row["target_b/c"] == str(number % 3) and row["target_kind"] == "xy"[number % 2]
        assert float(row["target_speed"]) == pytest.approx(number / 7)
        assert {"prediction_speed", "prediction_kind", "probability_x_kind", "probability_2_b/c"} <= row.keys()
    for name in ("confusion_matrix_b_c", "confusion_matrix_kind"):
        counts = rows_of(folder / "figures" / f"{name}.csv")
        assert sum(int(row[key]) for row in counts for key in row if key != "true class") == len(found)


def test_predictions_of_several_test_sets_and_outputs_agree_with_the_metrics(cli: Command, workplace: Path) -> None:
    assert cli("train", *SMALL, "task.epochs_per_length=1").code == 0
    folder = the_run(workplace).path
    rows = predictions(cli, folder)
    result = json.loads((folder / "evaluation-best.json").read_text())
    assert {row["set"] for row in rows} == set(result["tests"])
    for name, metrics in result["tests"].items():
        own = [row for row in rows if row["set"] == name]
        right: dict[str, bool] = {}
        for row in own:
            assert (float(row["probability"]) > 0.5) == (row["prediction"] == "1")
            right[row["sample"]] = right.get(row["sample"], True) and row["prediction"] == row["target"]
        assert len(right) == 50
        assert metrics["accuracy"] == pytest.approx(sum(right.values()) / 50)


def test_targets_at_the_end_of_a_sequence_have_the_numbers_of_the_last_steps(cli: Command, workplace: Path) -> None:
    words = ("task.length=9", "task.forgetting_period=2", "task.marked=3", "task.train_size=20", "task.val_size=10")
    tiny = ("task.test_size=4", "trainer.max_epochs=1", "trainer.precision=bf16-true", *TINY[-2:])
    assert cli("train", "model=brc", "model.hidden_size=4", "task=denoising", *words, *tiny).code == 0
    rows = predictions(cli, the_run(workplace).path)
    assert [(row["sample"], row["step"]) for row in rows] == [
        (str(sample), str(step)) for sample in range(4) for step in (9, 10, 11)
    ]


def test_predictions_of_a_task_without_targets_are_refused(cli: Command, workplace: Path) -> None:
    words = ("task.train_size=2", "task.val_size=2", "task.test_size=2", "trainer.max_epochs=1", *TINY[-2:])
    assert cli("train", "model=reward_modulated", "task=cart_pole", *words).code == 0
    refused = cli("evaluate", f"run={the_run(workplace).path}", "predictions=true")
    assert refused.code == 1 and refused.error.startswith("error: predictions=true is for tasks with targets")
