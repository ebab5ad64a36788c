"""Which figures a comparison has."""

from pathlib import Path
from typing import Any

import pytest

from bionets.experiment.comparison import figures
from bionets.experiment.comparison.figures import MOST_PANELS, draw
from bionets.experiment.comparison.groups import Group, grouped
from bionets.experiment.comparison.runs import read_folders
from bionets.experiment.comparison.statistics import Row, summarise
from tests.experiment.run_folders import make_run


@pytest.mark.parametrize(("panels", "drawn"), [(2, True), (MOST_PANELS + 1, False)])
def test_bars_are_not_drawn_for_many_panels(panels: int, drawn: bool, tmp_path: Path) -> None:
    rows = [
        Row(Group((model, str(panel)), []), "test/error", (0.1, 0.2), model == "brc", None, None)
        for panel in range(panels)
        for model in ("brc", "gru")
    ]
    files = draw(tmp_path, [], rows, ["model", "task.problem"], [])
    assert [file.name for file in files] == (["bars.png"] if drawn else [])
    assert (tmp_path / "bars.png").exists() == drawn


def test_figures_have_the_curves_and_the_values_of_all_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs have 30 training losses, 1 / (step + 1), of which the mean over 20 is drawn."""
    for model, layers, seed in (("brc", 1, 0), ("gru", 1, 0), ("gru", 1, 1), ("gru", 2, 0)):
        make_run(tmp_path / "runs", model, seed, 0.5 + seed / 10, layers)
    by, metric = ["model", "model.num_layers"], "test/accuracy_length_60"
    groups = grouped(read_folders(str(tmp_path / "runs"))[0], by)
    drawn: dict[str, tuple[Any, ...]] = {}
    for name in ("draw_curves", "draw_bars"):
        monkeypatch.setattr(
            figures, name, lambda stem, *shown, **options: drawn.update({stem.name: (*shown, options)}) or stem
        )
    files = draw(tmp_path, groups, summarise(groups, [metric]), by, ["train/loss", "val/loss"])
    assert (
        files
        == [tmp_path / name for name in ("bars", "loss", "val_loss", "accuracy_by_length")]
        == [tmp_path / name for name in drawn]
    )
    one, two = "num layers = 1", "num layers = 2"
    published = {one: {"brc": (60.0, 0.92), "gru": (60.0, 0.59)}}  # of one layer

    values = {one: {"brc": (0.5,), "gru": (0.5, 0.6)}, two: {"gru": (0.5,)}}
    known = {panel: {label: value for label, (_, value) in labels.items()} for panel, labels in published.items()}
    assert drawn["bars"][0] == {metric: (values, known)}

    curves, marks, options = drawn["loss"]
    mean = [sum(1 / (step + 1) for step in range(end - 19, end + 1)) / 20 for end in range(19, 30)]
    assert {panel: {label: len(runs) for label, runs in labels.items()} for panel, labels in curves.items()} == {
        one: {"brc": 1, "gru": 2},
        two: {"gru": 1},
    }
    for xs, ys in (curve for labels in curves.values() for runs in labels.values() for curve in runs):
        assert xs == list(range(19, 30)) and ys == pytest.approx(mean)
    assert options["log"] and options["y_label"] == "training loss, mean over 20 steps"

    curves, marks, options = drawn["val_loss"]
    assert curves[two] == {"gru": [([29], [0.5])]} and options["log"]
    curves, marks, options = drawn["accuracy_by_length"]
    assert curves[two] == {"gru": [([3, 60], [0.5, 0.025])]} and options["unit"] and marks == published
    assert (options["x_label"], options["y_label"]) == ("length", "test accuracy")  # without bit_accuracy
