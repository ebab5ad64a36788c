"""The tables in the terminal."""

from rich.console import Console
from rich.table import Table

from benchmarks.goals import reached
from benchmarks.results import Measured, Results, ratio

COUNTED = (
    "floor: bytes that must be read or written (inputs, outputs, states kept for backward, gradients) at the speed of "
    "a copy, plus matrix products and random numbers timed alone; the JSON file lists each part"
)


def print_comparison(measured: Measured, console: Console) -> None:
    table = _table(measured.comparison.title, "contestant", "median ms", "rounds", "× ours", "floor ms", "× floor")
    table.add_column("remark", overflow="fold")
    for row, floor in zip(measured.rows, measured.floors, strict=True):
        table.add_row(
            row.contestant.name,
            "—" if row.median is None else f"{1e3 * row.median:,.1f}",
            str(len(row.seconds)),
            _number(ratio(row.median, measured.ours)),
            f"{1e3 * floor.total:,.1f}",
            _number(ratio(row.median, floor.total)),
            "; ".join(filter(None, [row.failure, row.contestant.remark, *dict.fromkeys(row.warnings)])),
        )
    console.print(table)


def print_memory(results: Results, console: Console) -> None:
    for title, unit, memory in (
        ("LIF peak memory beyond inputs and outputs", "[T, B, N]", results.memory),
        ("spiking conv net peak memory of a training step", "MiB", results.conv_memory),
    ):
        table = _table(title, "contestant", unit)
        table.add_column("remark", overflow="fold")
        for name, (peak, reason) in memory.items():
            table.add_row(name, _number(peak), reason or "")
        console.print(table)


def print_first_calls(results: Results, console: Console) -> None:
    table = _table("first call, forward + backward, without imports", "cell", "compiled s", "from the disk cache s")
    table.add_column("remark", overflow="fold")
    for cell, (compiled, cached, reason) in results.first_calls.items():
        table.add_row(cell, _number(compiled), _number(cached), reason or "")
    console.print(table)


def print_goals(results: Results, console: Console) -> None:
    table = _table("goals", "what", "measured", "at most", "reached")
    for goal, value in reached(results):
        verdict = "[green]yes[/]" if value <= goal.most else "[red]no[/]"
        table.add_row(goal.what, f"{value:.3f} {goal.unit}", f"{goal.most:.3f} {goal.unit}", verdict)
    if table.row_count:
        console.print(table)


def print_environment(results: Results, console: Console) -> None:
    environment = results.environment
    console.print(
        f"{environment['cpu']}, {environment['threads']} threads; torch {environment['versions']['torch']}; "
        f"allocator: {environment['allocator']}"
    )
    if results.bytes_per_second:
        console.print(f"copy: {results.bytes_per_second / 1e9:.1f} GB/s, read and written. {COUNTED}")


def _table(title: str, first: str, *numbers: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for number in numbers:
        table.add_column(number, justify="right")
    return table


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:,.2f}"
