"""Confusion matrices: the numbers of the figure are those of the matrix, for any number and any names of classes."""

import csv
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from bionets.analysis import confusion
from bionets.analysis.confusion import LABELLED, LONGEST_NAME, draw_confusion_matrices


@pytest.mark.parametrize("classes", [2, LABELLED, LABELLED + 1, 100])
def test_a_confusion_matrix_is_saved_as_a_figure_and_a_csv_file(tmp_path: Path, classes: int) -> None:
    names = ["a, b", *(f"a name of {number} that is too long" for number in range(1, classes))]
    counts = torch.randint(0, 50, (classes, classes))
    counts[0] = 0  # a class without samples
    (file,) = draw_confusion_matrices(tmp_path, "a run", {"../of/it": (names, counts)}, "-best")
    assert file == tmp_path / ".._of_it-best.png" and file.read_bytes().startswith(b"\x89PNG")
    with file.with_suffix(".csv").open(newline="") as text:
        header, *rows = list(csv.reader(text))
    assert header == ["true class", *names] and [row[0] for row in rows] == names
    assert [[int(entry) for entry in row[1:]] for row in rows] == counts.tolist()
    svg = file.with_suffix(".svg").read_text()
    assert ("<!-- a, b -->" in svg) == (classes <= LABELLED) and names[1] not in svg and len(names[1]) > LONGEST_NAME


def test_two_targets_with_the_same_file_name_have_different_files(tmp_path: Path) -> None:
    matrices = {name: (("a", "b"), torch.eye(2).long()) for name in ("of a b", "of_a_b")}
    assert len(set(draw_confusion_matrices(tmp_path, "a run", matrices))) == 2


def test_the_title_names_the_target_or_test_set_of_a_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    save = confusion.save
    monkeypatch.setattr(confusion, "save", lambda *figure: drawn.append(figure[0]) or save(*figure))
    names = ("confusion_matrix", "confusion_matrix_speed in $", "confusion_matrix_length_40")
    draw_confusion_matrices(tmp_path, "a run", {name: (("a", "b"), torch.eye(2).long()) for name in names})
    assert [figure.get_suptitle() for figure in drawn] == ["a run", r"a run: speed in \$", "a run: length_40"]


def test_cells_show_the_share_of_their_row_and_the_number_of_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    save = confusion.save
    monkeypatch.setattr(confusion, "save", lambda *figure: drawn.append(figure[0]) or save(*figure))
    draw_confusion_matrices(
        tmp_path, "a run", {"it": (("a", "b", "long"), torch.tensor([[3, 0, 0], [1, 3, 4], [0] * 3]))}
    )
    axes = drawn[0].axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    (image,) = axes.images
    assert image.get_array().tolist() == [[1, 0, 0], [1 / 8, 3 / 8, 1 / 2], [0, 0, 0]]
    for axis in (axes.xaxis, axes.yaxis):
        assert [label.get_text() for label in axis.get_ticklabels()] == ["a", "b", "long"]
    assert {(*text.get_position(), text.get_text(), text.get_color()) for text in axes.texts} == {
        (0, 0, "3", "white"),
        (0, 1, "1", "black"),
        (1, 1, "3", "black"),
        (2, 1, "4", "black"),
    }


def test_dollar_signs_in_the_names_of_classes_are_no_formula(tmp_path: Path) -> None:
    """A formula with an open brace is an error of matplotlib, and one without drops the dollar signs."""
    (file,) = draw_confusion_matrices(tmp_path, "a run", {"cost": (("$0-$50", "$x{$"), torch.eye(2).long())})
    svg = file.with_suffix(".svg").read_text()
    assert "<!-- $0-$50 -->" in svg and "<!-- $x{$ -->" in svg
