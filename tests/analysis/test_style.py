"""One appearance for all figures: colours, names, units, styles."""

import warnings
from itertools import combinations
from pathlib import Path

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from bionets.analysis import style as style_module
from bionets.analysis.figures import draw_run
from bionets.analysis.names import label_of, name_of
from bionets.analysis.style import LINE_STYLES, PALETTE, STYLES, line_styles, new_figure, save, styled, use_style

CONFIGS = Path(__file__).parents[2] / "configs"


def test_every_model_has_its_own_line_style_and_a_name() -> None:
    models = {file.stem for file in (CONFIGS / "model").glob("*.yaml")} - {"recurrent"}
    assert models == set(LINE_STYLES)
    assert len(set(LINE_STYLES.values())) == len(LINE_STYLES)
    assert {name_of(name) for name in ("nbrc", "brc", "gru", "lstm")} == {"nBRC", "BRC", "GRU", "LSTM"}


@given(st.lists(st.text(min_size=1), max_size=7, unique=True), st.sampled_from(sorted(LINE_STYLES)))
def test_labels_of_a_figure_differ_and_a_model_keeps_its_line_style(labels: list[str], model: str) -> None:
    found = line_styles([*labels, model])
    assert found[model] == LINE_STYLES[model]
    assert len(set(found.values())) == len(found)
    assert line_styles([*labels, model]) == found


@given(st.text())
def test_an_unknown_model_has_the_same_line_style_in_every_figure(name: str) -> None:
    assert line_styles([name]) == line_styles([name])
    assert line_styles([name])[name].colour in PALETTE


def luminance(colour: str) -> float:
    """The relative luminance of the WCAG, by which contrast is measured."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def as_seen_without_red_receptors(colour: str) -> tuple[float, ...]:
    """Protanopia by the matrix of Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB."""
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour))
    rows = ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998))
    return tuple(row[0] * r + row[1] * g + row[2] * b for row in rows)


def test_colours_are_distinct_for_colour_blind_readers_and_contrast_with_every_background() -> None:
    for one, other in combinations(PALETTE, 2):
        seen, beside = as_seen_without_red_receptors(one), as_seen_without_red_receptors(other)
        assert max(abs(a - b) for a, b in zip(seen, beside, strict=True)) > 0.05, (one, other)
    for style in STYLES.values():
        ground = luminance(style["axes.facecolor"])
        for colour in PALETTE:
            light, dark = sorted((ground, luminance(colour)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) > 2, colour


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("val/loss", "validation loss"),
        ("train/loss", "training loss"),
        ("test/accuracy_length_60", "test accuracy at length 60"),
        ("test/accuracy_fashion_mnist", "test accuracy on Fashion-MNIST"),
        ("test/nanojoules", "energy per sample (nJ)"),
        ("length_60/accuracy", "length 60 accuracy"),
        ("parameters", "number of parameters"),
    ],
)
def test_labels_are_words_and_units(key: str, label: str) -> None:
    assert label_of(key) == label


@pytest.mark.parametrize("style", STYLES)
def test_a_style_applies_only_within_a_drawing_function(style: str, tmp_path: Path) -> None:
    @styled
    def draw() -> tuple[Figure, float]:
        figure = new_figure()
        figure.add_subplot()
        save(figure, tmp_path / "figure.png", "title")
        return figure, float(matplotlib.rcParams["font.size"])

    before = {key: matplotlib.rcParams[key] for key in STYLES[style]}
    with use_style(style):
        figure, size = draw()
    assert {key: matplotlib.rcParams[key] for key in STYLES[style]} == before
    assert size == STYLES[style]["font.size"]
    assert figure.get_facecolor()[:3] == to_rgb(STYLES[style]["figure.facecolor"])
    picture = Image.open(tmp_path / "figure.png").convert("RGB")
    assert picture.getpixel((0, 0)) == tuple(round(255 * c) for c in to_rgb(STYLES[style]["figure.facecolor"]))
    assert "<svg" in (tmp_path / "figure.svg").read_text()


def test_a_figure_drawn_twice_gives_identical_files(tmp_path: Path) -> None:
    series = {"train/loss": ([0, 1, 2], [3.0, 2.0, 1.0])}
    for name in "ab":
        draw_run(tmp_path / name, "nBRC", series, {}, "nbrc")
    for kind in ("png", "svg"):
        assert (tmp_path / "a" / f"loss.{kind}").read_bytes() == (tmp_path / "b" / f"loss.{kind}").read_bytes()


def test_an_unknown_style_is_refused() -> None:
    with pytest.raises(ValueError, match="style=purple is unknown: choose paper, slides, dark"), use_style("purple"):
        pass


def test_the_label_of_a_value_of_one_layer_names_the_layer() -> None:
    assert label_of("val/bistable_share_layer_2") == f"{label_of('val/bistable_share')}, layer 2"


@pytest.mark.parametrize(("old", "new"), [("looks", line_styles), ("name_of", name_of)])
def test_earlier_names_are_deprecated(old: str, new: object) -> None:
    with pytest.warns(DeprecationWarning, match=old):
        assert getattr(style_module, old) is new
    with pytest.raises(AttributeError, match="nothing"):
        style_module.nothing  # noqa: B018


def test_a_figure_that_cannot_be_written_keeps_the_previous_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(new_figure(), tmp_path / "figure.png")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save(new_figure(height=3.0), tmp_path / "figure.png")
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_name_that_the_font_lacks_gives_no_warning(tmp_path: Path) -> None:
    figure = new_figure()
    figure.add_subplot().set_xlabel("\u732b")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(figure, tmp_path / "figure.png", "\u732b")
