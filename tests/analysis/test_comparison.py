"""The figures of a comparison: means with bands, published points, one colour for each label."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from bionets.analysis import comparison
from bionets.analysis.comparison import MOST_POINTS, draw_band, draw_bars, draw_curves, short_names, smoothed
from bionets.analysis.figures import moving_average
from bionets.analysis.style import LINE_STYLES, new_figure


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved."""
    figures: list[Figure] = []
    save = comparison.save

    def keep(figure: Figure, *arguments: str) -> Path:
        figures.append(figure)
        return save(figure, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(comparison, "save", keep)
    return figures


def colour_of(axes: Axes, label: str) -> str:
    return next(to_hex(line.get_color()) for line in axes.lines if str(line.get_label()).startswith(label))


def test_a_band_is_one_standard_error_around_the_mean_at_the_steps_of_all_runs() -> None:
    axes = new_figure().add_subplot()
    draw_band(axes, "brc", [([0, 1, 2, 3], [9.0, 1.0, 2.0, 3.0]), ([1, 2], [3.0, 6.0])])
    (line,) = axes.lines
    assert np.array_equal(line.get_xydata(), [[1, 2], [2, 4]])
    (band,) = axes.collections
    vertices = band.get_paths()[0].vertices
    assert {tuple(point) for point in vertices} >= {(1, 1), (1, 3), (2, 2), (2, 6)}
    assert line.get_label() == "BRC (n = 2)"


def test_long_curves_are_thinned(drawn: list[Figure]) -> None:
    axes = new_figure().add_subplot()
    draw_band(axes, "brc", [(range(13_500), np.zeros(13_500).tolist())])
    assert MOST_POINTS <= len(axes.lines[0].get_xdata()) < 2 * MOST_POINTS


def test_panels_show_published_points_and_one_colour_per_model(tmp_path: Path, drawn: list[Figure]) -> None:
    curve = ([3, 60], [1.0, 0.5])
    curves = {"num_layers = 1": {"brc": [curve, curve], "gru": [curve]}, "num_layers = 2": {"gru": [curve, curve]}}
    marks = {"num_layers = 1": {"gru": (60.0, 0.59)}}
    file = draw_curves(tmp_path / "accuracy", curves, marks, x_label="length", y_label="accuracy", unit=True)
    one, two = drawn[0].axes
    assert [axes.get_title() for axes in (one, two)] == list(curves)
    assert colour_of(one, "GRU") == colour_of(two, "GRU") == to_hex(LINE_STYLES["gru"].colour) != colour_of(one, "BRC")
    (point,) = (line for line in one.lines if len(line.get_xdata()) == 1)
    assert point.get_xydata().tolist() == [[60.0, 0.59]] and to_hex(point.get_color()) == colour_of(one, "GRU")
    assert one.get_ylim() == two.get_ylim() == (-0.02, 1.02)
    legend = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert legend == ["BRC (n = 2)", "GRU", "published"]  # the number of runs of GRU is not the same in both panels
    assert file.read_bytes().startswith(b"\x89PNG")
    assert "<svg" in file.with_suffix(".svg").read_text()


def test_bars_are_means_with_a_dot_for_each_run(tmp_path: Path, drawn: list[Figure]) -> None:
    metrics = {
        "test/accuracy": ({"": {"brc": [0.5, 0.7], "gru": [0.4]}}, {"": {"brc": 0.92}}),
        "val/loss": ({"": {"brc": [0.1, 0.1], "gru": [0.2]}}, {}),
    }
    draw_bars(tmp_path / "bars", metrics)
    accuracy, loss = drawn[0].axes
    assert [bar.get_height() for bar in accuracy.patches] == [pytest.approx(0.6), 0.4]
    assert [label.get_text() for label in accuracy.get_xticklabels()] == ["BRC\nn = 2", "GRU\nn = 1"]
    heights = [value for line in accuracy.lines if line.get_marker() == "." for value in line.get_ydata()]
    assert heights == [0.5, 0.7, 0.4]
    assert [line.get_ydata()[0] for line in accuracy.lines if line.get_marker() == "D"] == [0.92]
    assert not [line for line in loss.lines if line.get_marker() == "D"]
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["one run", "published"]


def test_smoothing_keeps_the_steps_at_which_windows_end() -> None:
    xs, ys = [0, 10, 20, 30], [4.0, 2.0, 0.0, 2.0]
    ((steps, values),) = smoothed({"": {"brc": [(xs, ys)]}}, 2)[""]["brc"]
    assert (steps, values) == ([10, 20, 30], [3.0, 1.0, 1.0])
    assert values == moving_average(ys, 2).tolist()


def test_a_legend_covers_no_curve(tmp_path: Path, drawn: list[Figure]) -> None:
    draw_curves(tmp_path / "loss", {"": {"brc": [([0, 1], [1.0, 0.5])]}}, {}, x_label="step", y_label="loss")
    (figure,) = drawn
    (legend,) = figure.legends
    assert not legend.get_window_extent().overlaps(figure.axes[0].get_window_extent())


@pytest.mark.parametrize("panel", ["", "data = recordings of the first and the second session.npz"])
def test_long_names_are_whole_and_leave_space_for_the_curves(tmp_path: Path, drawn: list[Figure], panel: str) -> None:
    names = [f"{'a folder with recordings/' * 4}session {number}.npz" for number in range(10)]
    curves = {panel: {name: [([0, 1], [1.0, 0.5])] for name in names}}
    draw_curves(tmp_path / "loss", curves, {}, x_label="step", y_label="loss")
    draw_bars(tmp_path / "bars", {"test/loss": ({panel: {name: [1.0, 0.5] for name in names[:3]}}, {})})
    for figure in drawn:
        figure.draw_without_rendering()  # the positions in its own resolution, not in that of the file
        (axes,), (legend,) = figure.axes, figure.legends
        assert axes.get_window_extent().height > 0.9 * figure.dpi
        for box in (axes.get_tightbbox(), legend.get_window_extent()):
            assert box is not None and box.x0 >= 0 and box.y0 >= 0
            assert box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height
        assert not legend.get_window_extent().overlaps(axes.get_tightbbox())
    shown = [text.get_text().replace("\n", " ") for text in drawn[0].legends[0].get_texts()]
    assert shown == [f"{name} (n = 1)" for name in names]


def test_runs_without_a_step_in_common_are_drawn_one_by_one(tmp_path: Path, drawn: list[Figure]) -> None:
    runs = [([1, 2], [0.5, 0.4]), ([3], [0.4])]
    draw_curves(tmp_path / "loss", {"": {"brc": runs}}, {}, x_label="step", y_label="loss", log=True)
    lines = [line for line in drawn[0].axes[0].lines if len(line.get_xdata())]
    assert [line.get_xydata().tolist() for line in lines] == [[[1, 0.5], [2, 0.4]], [[3, 0.4]]]
    assert drawn[0].get_suptitle() == ""
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["BRC (n = 2), each run"]


def test_the_standard_error_at_a_single_step_is_a_vertical_line(tmp_path: Path, drawn: list[Figure]) -> None:
    curves = {"": {"brc": [([9], [0.5]), ([9], [0.7])], "gru": [([9], [0.4])]}}
    draw_curves(tmp_path / "loss", curves, {}, x_label="step", y_label="loss")
    (lines,) = drawn[0].axes[0].collections
    assert lines.get_paths()[0].vertices == pytest.approx(np.array([[9, 0.5], [9, 0.7]]))
    assert drawn[0].get_suptitle() == "mean ± standard error"


@pytest.mark.parametrize("runs", [1, 2])
def test_only_figures_with_standard_errors_say_so(tmp_path: Path, drawn: list[Figure], runs: int) -> None:
    draw_curves(tmp_path / "a", {"": {"brc": [([0, 1], [0.5, 0.4])] * runs}}, {}, x_label="step", y_label="loss")
    draw_bars(tmp_path / "b", {"test/loss": ({"": {"brc": [0.5] * runs, "gru": [0.4]}}, {})})
    assert [figure.get_suptitle() for figure in drawn] == ["mean ± standard error" if runs > 1 else ""] * 2


def test_the_axis_is_logarithmic_only_for_positive_losses_over_a_wide_range(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    for losses, scale in (([1.0, -0.5], "linear"), ([1.0, 0.5], "linear"), ([1.0, 0.05], "log")):
        draw_curves(tmp_path / "l", {"": {"brc": [([0, 1], losses)]}}, {}, x_label="step", y_label="loss", log=True)
        assert drawn[-1].axes[0].get_yscale() == scale


def test_panels_of_bars_share_their_limits_and_one_colour_per_label(tmp_path: Path, drawn: list[Figure]) -> None:
    ours = {"one": {"brc-a": [0.1, 0.2]}, "two": {"brc-b": [5.0], "brc-a": [0.0]}}
    draw_bars(tmp_path / "bars", {"test/a": (ours, {}), "test/b": ({"one": {"brc-b": [1.0]}}, {})})
    first, second, third = (axes for axes in drawn[0].axes if axes.axison)
    assert first.get_ylim() == second.get_ylim() and first.get_ylim()[0] == 0 and first.get_ylim()[1] > 5
    assert first.patches[0].get_facecolor() == second.patches[1].get_facecolor()
    assert second.patches[0].get_facecolor() == third.patches[0].get_facecolor() != first.patches[0].get_facecolor()
    assert len({axes.get_xlim() for axes in (first, second, third)}) == 1


@pytest.mark.parametrize("bars", [2, 5])
def test_many_panels_of_bars_are_wrapped_into_rows_of_a_page(tmp_path: Path, drawn: list[Figure], bars: int) -> None:
    labels = dict(list({"brc": [0.5, 0.6], "gru": [0.4], "lstm": [0.2], "rnn": [0.1], "lru": [0.9]}.items())[:bars])
    ours = {f"length = {n}": {label: [n * value for value in of] for label, of in labels.items()} for n in range(1, 8)}
    draw_bars(tmp_path / "bars", {"test/accuracy": (ours, {}), "val/loss": (dict(list(ours.items())[:2]), {})})
    (figure,) = drawn
    assert figure.get_figwidth() <= 7.5
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in shown] == [*ours, *list(ours)[:2]]
    assert len({axes.get_ylim() for axes in shown[:7]}) == 1 and shown[0].get_ylim() != shown[7].get_ylim()
    boxes = [axes.get_tightbbox() for axes in shown]
    assert not any(one.overlaps(other) for at, one in enumerate(boxes) for other in boxes[:at])


def test_an_axis_of_values_that_are_all_0_begins_at_0(tmp_path: Path, drawn: list[Figure]) -> None:
    draw_curves(tmp_path / "a", {"": {"brc": [([0, 1], [0.0, 0.0])]}}, {}, x_label="step", y_label="accuracy")
    assert drawn[0].axes[0].get_ylim()[0] == 0


def test_many_bars_fit_a_page(tmp_path: Path, drawn: list[Figure]) -> None:
    ours = {f"model {number}": [1.0 + number, 2.0] for number in range(30)}
    draw_bars(tmp_path / "bars", {"test/mse": ({"": ours}, {})})
    assert drawn[0].get_figwidth() <= 7.5
    assert {label.get_rotation() for label in drawn[0].axes[0].get_xticklabels()} == {90}


@pytest.mark.parametrize(
    ("labels", "short"),
    [
        (["model-a", "model-b"], ["model-a", "model-b"]),
        (["my-model-small", "my-model-large"], ["small", "large"]),
        (["my-long-model", "my-long"], ["long-model", "long"]),
        (["my-long-model"], ["my-long-model"]),
    ],
)
def test_long_labels_of_bars_are_written_without_their_common_first_words(labels: list[str], short: list[str]) -> None:
    assert short_names(labels) == short
