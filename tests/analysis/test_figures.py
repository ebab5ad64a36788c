"""The figures of a run."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bionets.analysis.figures import by_length, draw_losses, draw_run, moving_average
from bionets.analysis.style import new_figure


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=50), st.integers(1, 50))
def test_a_moving_average_is_the_mean_of_each_window(values: list[float], window: int) -> None:
    window = min(window, len(values))
    naive = [sum(values[i : i + window]) / window for i in range(len(values) - window + 1)]
    assert np.allclose(moving_average(values, window), naive)


def test_lengths_are_parsed_from_the_names_of_test_sets() -> None:
    assert by_length({"length_3": {"accuracy": 1.0}, "length_12": {"accuracy": 0.5}}, "accuracy") == (
        [3, 12],
        [1.0, 0.5],
    )
    assert by_length({"test": {"mse": 1.0}}, "accuracy") == ([], [])


def test_lengths_are_in_ascending_order_and_names_without_a_number_are_left_out() -> None:
    names = ("length_40", "length_short", "length_9", "length_10", "length_", "length_2.5", "my_length_3")
    tests = {name: {"accuracy": float(place)} for place, name in enumerate(names)}
    assert by_length(tests, "accuracy") == ([9, 10, 40], [2.0, 3.0, 0.0])


def test_only_the_lengths_of_binary_addition_are_bits(tmp_path: Path) -> None:
    shown = {}
    for bits in (False, True):
        values = {"accuracy": 0.5} | ({"bit_accuracy": 0.9} if bits else {})
        (file,) = draw_run(tmp_path / str(bits), "title", {}, {"length_3": values, "length_4": values})
        shown[bits] = file.with_suffix(".svg").read_text()
    assert "<!-- length -->" in shown[False] and "<!-- test accuracy -->" in shown[False]
    assert "bits" not in shown[False]
    assert "<!-- length of both numbers together (bits) -->" in shown[True]
    assert "<!-- sequences with all bits right (share) -->" in shown[True]


def test_a_run_is_drawn_as_png_and_svg_files(tmp_path: Path) -> None:
    series = {"train/loss": ([0, 1, 2], [3.0, 2.0, 1.0]), "val/loss": ([2], [1.5])}
    tests = {"length_3": {"accuracy": 1.0}, "length_4": {"accuracy": 0.5}}
    files = draw_run(tmp_path / "run", "brc", series, tests)
    assert [file.name for file in files] == ["loss.png", "accuracy_by_length.png"]
    for file in files:
        assert file.read_bytes().startswith(b"\x89PNG")
        assert "<svg" in file.with_suffix(".svg").read_text()


@pytest.mark.parametrize("losses", [[], [1.0], [float("nan")] * 3])
def test_a_loss_with_fewer_than_two_finite_values_has_no_figure(tmp_path: Path, losses: list[float]) -> None:
    assert draw_run(tmp_path, "brc", {"train/loss": (list(range(len(losses))), losses)}, {}) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("apart", [1, 50])
def test_the_label_of_a_moving_average_states_its_number_of_training_steps(apart: int) -> None:
    axes = new_figure().add_subplot()
    draw_losses(axes, {"train/loss": (list(range(0, 40 * apart, apart)), [1.0] * 40)})
    assert f"training, mean over {20 * apart} steps" in [line.get_label() for line in axes.lines]


@pytest.mark.parametrize(("steps", "marker"), [(20, "o"), (21, "None")])
def test_a_moving_average_of_a_single_window_is_a_visible_point(steps: int, marker: str) -> None:
    axes = new_figure().add_subplot()
    draw_losses(axes, {"train/loss": (list(range(steps)), [float(step) for step in range(steps)])})
    _, mean = axes.lines
    assert mean.get_xydata().tolist()[0] == pytest.approx([19.0, 9.5]) and mean.get_marker() == marker


def test_a_validation_loss_is_drawn_without_a_finite_training_loss(tmp_path: Path) -> None:
    series = {"train/loss": ([0, 1], [float("nan")] * 2), "val/loss": ([1, 2], [1.0, 2.0])}
    assert [file.name for file in draw_run(tmp_path, "brc", series, {})] == ["loss.png"]
