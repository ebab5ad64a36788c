"""The tables of a comparison: for the terminal, as CSV with every number, and for papers as Markdown and LaTeX."""

import math
from collections.abc import Callable, Iterable, Sequence

from rich.table import Table
from rich.text import Text

from bionets.csv_text import csv_text
from bionets.experiment.console import print_wide

from .statistics import SIGNIFICANT, Row

LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"|": r"\textbar{}", "<": r"\textless{}", ">": r"\textgreater{}"},
    **{"[": "{[}", "*": "{*}"},  # at the beginning of a line, they would be arguments of the \\ before it
}
BAR = "\\|"  # in a cell of a Markdown table
Cell = Callable[[Row], str]


def print_table(rows: Sequence[Row], by: Sequence[str]) -> None:
    """Print a table for each metric, with the best mean of each panel in bold."""
    for metric, of_metric in _by_metric(rows).items():
        table = Table(title=Text(metric), title_justify="left", title_style="bold")
        for key in by:
            table.add_column(Text(key.rpartition(".")[2]), no_wrap=True)
        for name in ("n", "mean ± std. error", "best run", "p", "published"):
            table.add_column(name, justify="right", no_wrap=True)
        panel = of_metric[0].group.panel
        for row in of_metric:
            if row.group.panel != panel:
                table.add_section()
                panel = row.group.panel
            mean = with_error(row.mean, row.error)
            table.add_row(
                *map(Text, row.group.values),
                str(row.n),
                Text(mean, style="bold") if row.best else mean,
                short(row.best_run),
                "best" if row.best else _probability(row.p),
                "" if row.published is None else short(row.published),
            )
        print_wide(table)


def as_csv(rows: Sequence[Row], by: Sequence[str]) -> str:
    """One line for every group and metric, with all digits."""
    header = [*by, "metric", "n", "mean", "standard error", "lowest", "highest", "best", "p", "published"]
    lines = []
    for row in rows:
        numbers = (row.n, row.mean, row.error, min(row.values), max(row.values), row.best, row.p, row.published)
        lines.append([*row.group.values, row.metric, *numbers])
    return csv_text(header, lines)


def as_markdown(rows: Sequence[Row], by: Sequence[str], columns: str | None = None) -> str:
    """One line for every group and one column for every metric; or, with ``columns``, a key of ``by``, a table for
    every metric with the values of this key as its columns.
    """
    if columns is None:
        tables = markdown_table(*paper_table(rows, by, _markdown_cell))
    else:
        tables = "\n".join(
            f"{metric}\n\n{markdown_table(*matrix(of_metric, by, columns))}"
            for metric, of_metric in _by_metric(rows).items()
        )
    return f"{tables}\n{_legend('**bold**', '*')}\n"


def markdown_table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "".join(f"| {' | '.join(cell.replace('|', BAR) for cell in row)} |\n" for row in rows)


def matrix(rows: Sequence[Row], by: Sequence[str], columns: str) -> tuple[list[str], list[list[str]]]:
    """Header and lines of one metric: the other keys of ``by``, then a column for each value of the key ``columns``."""
    place = by.index(columns)
    values = list(dict.fromkeys(row.group.values[place] for row in rows))
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        others = (*row.group.values[:place], *row.group.values[place + 1 :])
        lines.setdefault(others, {})[row.group.values[place]] = _markdown_cell(row)
    header = [*(key.rpartition(".")[2] for key in by if key != columns), *values]
    return header, [[*others, *(cells.get(value, "") for value in values)] for others, cells in lines.items()]


def _markdown_cell(row: Row) -> str:
    text = with_error(row.mean, row.error) + (" *" if row.worse_than_best else "")
    return (f"**{text}**" if row.best else text) + _fewer(row)


def as_latex(rows: Sequence[Row], by: Sequence[str]) -> str:
    r"""The table as LaTeX; it needs \usepackage{booktabs}."""

    def cell(row: Row) -> str:
        text = with_error(row.mean, row.error).replace(" ± ", r" \pm ")
        shown = f"$\\mathbf{{{text}}}$" if row.best else f"${text}{'^{*}' if row.worse_than_best else ''}$"
        return shown + _fewer(row)

    header, lines = paper_table(rows, by, cell)
    columns = "l" * len(by) + "r" * (len(header) - len(by))
    panels = [row.group.panel for row in _by_group(rows)]
    body = [r"\begin{tabular}{" + columns + "}", r"\toprule", _latex_line(map(_escaped, header)), r"\midrule"]
    for index, line in enumerate(lines):
        if index and panels[index] != panels[index - 1]:
            body.append(r"\midrule")
        keys, numbers = line[: len(by)], line[len(by) :]
        body.append(_latex_line([*map(_escaped, keys), *numbers]))
    body += [r"\bottomrule", r"\end{tabular}"]
    return f"% {_legend('bold', '$^{*}$')}\n" + "\n".join(body) + "\n"


def paper_table(rows: Sequence[Row], by: Sequence[str], cell: Cell) -> tuple[list[str], list[list[str]]]:
    """Header and lines: the group, n, and each metric, followed by its published values if there are any. n is the
    number of runs of the group.
    """
    metrics = _by_metric(rows)
    known = {metric for metric, of_metric in metrics.items() if any(row.published is not None for row in of_metric)}
    header = [*(key.rpartition(".")[2] for key in by), "n"]
    for metric in metrics:
        header += [metric, "published"] if metric in known else [metric]
    found = {(row.group.values, row.metric): row for row in rows}
    lines = []
    for first in _by_group(rows):
        line = [*first.group.values, str(len(first.group.runs))]
        for metric in metrics:
            row = found.get((first.group.values, metric))
            line.append("" if row is None else cell(row))
            if metric in known:
                line.append("" if row is None or row.published is None else short(row.published))
        lines.append(line)
    return header, lines


def _fewer(row: Row) -> str:
    """n, if not all runs of the group have this metric."""
    return f" (n = {row.n})" if row.n < len(row.group.runs) else ""


def with_error(mean: float, error: float | None) -> str:
    """A mean with its standard error, as ``0.9286 ± 0.0098``: two digits of the error, and the mean to the same place.
    A mean without an error has four digits.
    """
    if error is None or not math.isfinite(error) or not math.isfinite(mean):
        return short(mean)
    if error == 0:
        return f"{short(mean)} ± 0"
    last = math.floor(math.log10(error)) - 1  # the power of ten of the last digit shown
    if last < -6:
        return f"{mean:.4g} ± {error:.2g}"
    return f"{mean:.{max(0, -last)}f} ± {error:.{max(0, -last)}f}"


def short(value: float) -> str:
    """A number with four digits; from 10,000 to 1e12, rounded to an integer."""
    return f"{value:.0f}" if 9999.5 <= abs(value) < 1e12 else f"{value:.4g}"


def _probability(p: float | None) -> str:
    if p is None:
        return ""
    return "<0.001" if p < 0.001 else f"{p:.2g}"


def _legend(bold: str, star: str) -> str:
    return (
        f"Mean ± standard error over n runs; {bold}: best mean; {star}: worse than the best, p < {SIGNIFICANT:g} "
        "(permutation test, Holm's correction)."
    )


def _by_metric(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.metric, []).append(row)
    return found


def _by_group(rows: Sequence[Row]) -> list[Row]:
    """The first row of every group."""
    return list({row.group.values: row for row in reversed(rows)}.values())[::-1]


def _latex_line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _escaped(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)
