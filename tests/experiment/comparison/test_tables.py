"""The same numbers in the terminal, as CSV, Markdown and LaTeX."""

import csv
import io
from dataclasses import replace

import pytest

from bionets.experiment.comparison.groups import Group
from bionets.experiment.comparison.statistics import Row
from bionets.experiment.comparison.tables import as_csv, as_latex, as_markdown, print_table, with_error

BY = ["model", "model.num_layers"]


def row(
    model: str, layers: str, values: tuple[float, ...], best: bool, p: float | None, published: float | None
) -> Row:
    return Row(Group((model, layers), [None] * len(values)), "test/accuracy_60", values, best, p, published)  # type: ignore[list-item]


ROWS = [
    row("brc", "1", (0.5, 0.6), False, 0.01, 0.92),
    row("n_brc", "1", (0.99, 0.999), True, None, None),
    row("brc", "2", (0.25,), False, None, None),
]


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [
        (0.92857, 0.00984, "0.9286 ± 0.0098"),
        (0.614, 0.1915, "0.61 ± 0.19"),
        (12.3456, 1.5, "12.3 ± 1.5"),
        (9999.7, 0.0, "10000 ± 0"),
        (20901.0, 0.0, "20901 ± 0"),
        (1234.5, 67.0, "1234 ± 67"),
        (8.2e-5, 2.3e-6, "8.2e-05 ± 2.3e-06"),
        (8.2e-4, 2.3e-5, "0.000820 ± 0.000023"),
        (12345.6, 789.0, "12346 ± 789"),
        (0.5, None, "0.5"),
        (999_999_999_999.0, None, "999999999999"),
        (1e12, None, "1e+12"),
    ],
)
def test_a_mean_is_rounded_to_the_digits_of_its_standard_error(mean: float, error: float | None, text: str) -> None:
    assert with_error(mean, error) == text


def test_csv_holds_unrounded_numbers() -> None:
    first, second, third = csv.DictReader(io.StringIO(as_csv(ROWS, BY)))
    assert (first["model"], first["model.num_layers"], first["n"]) == ("brc", "1", "2")
    assert float(first["mean"]) == 0.55
    assert float(first["standard error"]) == pytest.approx(0.05)
    assert (first["lowest"], first["highest"], first["p"], first["published"]) == ("0.5", "0.6", "0.01", "0.92")
    assert (second["best"], third["standard error"]) == ("True", "")


def test_markdown_marks_the_best_and_the_significantly_worse() -> None:
    lines = as_markdown(ROWS, BY).splitlines()
    assert lines[0] == "| model | num_layers | n | test/accuracy_60 | published |"
    assert lines[2] == "| brc | 1 | 2 | 0.550 ± 0.050 * | 0.92 |"
    assert lines[3] == "| n_brc | 1 | 2 | **0.9945 ± 0.0045** |  |"
    assert lines[4] == "| brc | 2 | 1 | 0.25 |  |"


def test_latex_is_a_booktabs_table_with_a_rule_between_panels() -> None:
    text = as_latex(ROWS, BY)
    assert r"\begin{tabular}{llrrr}" in text
    assert r"brc & 1 & 2 & $0.550 \pm 0.050^{*}$ & 0.92 \\" in text
    assert r"n\_brc & 1 & 2 & $\mathbf{0.9945 \pm 0.0045}$ &  \\" in text
    assert text.count(r"\midrule") == 2
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in body} == {4}


def test_a_table_fits_a_terminal_of_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_table(ROWS, BY)
    text = capsys.readouterr().out
    assert text.count("├") == 1  # a line between the panels
    for shown in ("test/accuracy_60", "num_layers", "0.550 ± 0.050", "0.01", "best", "0.92", "published"):
        assert shown in text


def test_a_table_wider_than_the_terminal_is_not_cut_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_table([row("a" * 60, "1", (0.8, 0.9), True, None, 0.92)], BY)
    shown = capsys.readouterr().out
    assert "a" * 60 in shown and "0.850 ± 0.050" in shown and "…" not in shown


@pytest.mark.parametrize(("p", "text"), [(0.00099, "<0.001"), (0.001, "0.001"), (0.01234, "0.012"), (1.0, "1")])
def test_a_p_value_has_two_digits_and_is_never_0(p: float, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_table([replace(ROWS[0], p=p, published=None)], BY)
    assert capsys.readouterr().out.splitlines()[-2].split("│")[-3].strip() == text


def test_the_values_of_a_key_become_columns() -> None:
    lines = as_markdown(ROWS, BY, columns="model").splitlines()
    assert lines[0] == "test/accuracy_60"
    assert lines[2] == "| num_layers | brc | n_brc |"
    assert lines[4] == "| 1 | 0.550 ± 0.050 * | **0.9945 ± 0.0045** |"
    assert lines[5] == "| 2 | 0.25 |  |"
    assert as_markdown(ROWS, BY, columns="model.num_layers").splitlines()[2] == "| model | 1 | 2 |"


def test_a_metric_that_some_runs_lack_shows_its_number_of_runs_beside_other_metrics() -> None:
    group = Group(("brc", "1"), [None] * 5)  # type: ignore[list-item]
    rows = [Row(group, "loss", (0.2,) * 5, True, None, None), Row(group, "own", (0.5, 0.6), True, None, None)]
    assert as_markdown(rows, BY).splitlines()[2] == "| brc | 1 | 5 | **0.2 ± 0** | **0.550 ± 0.050** (n = 2) |"
    assert r"brc & 1 & 5 & $\mathbf{0.2 \pm 0}$ & $\mathbf{0.550 \pm 0.050}$ (n = 2) \\" in as_latex(rows, BY)
    assert as_markdown(rows, BY, columns="model").splitlines()[-3] == "| 1 | **0.550 ± 0.050** (n = 2) |"


def test_special_characters_in_names_are_escaped() -> None:
    odd = [row("a|b_~^\\c", "1", (0.5,), True, None, None)]
    assert as_markdown(odd, BY).splitlines()[2].startswith("| a\\|b_~^\\c | 1 |")
    assert r"a\textbar{}b\_\textasciitilde{}\textasciicircum{}\textbackslash{}c & 1 &" in as_latex(odd, BY)


@pytest.mark.parametrize(("name", "latex"), [("[8, <9]", r"{[}8, \textless{}9]"), ("*", "{*}")])
def test_no_latex_line_begins_with_an_argument_of_the_line_before_it(name: str, latex: str) -> None:
    rows = [row(each, "1", (0.5,), True, None, None) for each in ("brc", name)]
    assert "\\\\\n" + latex + " & 1 &" in as_latex(rows, BY)


def test_a_metric_that_not_all_runs_have_is_shown_with_its_number_of_runs() -> None:
    rows = [replace(ROWS[0], group=Group(("brc", "1"), [None] * 3)), ROWS[1]]  # type: ignore[list-item]
    assert "| brc | 1 | 3 | 0.550 ± 0.050 * (n = 2) | 0.92 |" in as_markdown(rows, BY).splitlines()
    assert r"$0.550 \pm 0.050^{*}$ (n = 2)" in as_latex(rows, BY)
    assert as_markdown(rows, BY).count("(n = ") == 1
