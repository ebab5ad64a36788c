"""The lines that a part prints: short plain text, because only the end of a long output may be stored."""

from collections import Counter
from typing import Any

Row = dict[str, Any]


def print_part(name: str, result: dict[str, Any]) -> None:
    """Print a heading with the time of the part, and its rows."""
    rows = result["rows"]
    state = "" if result["complete"] else ", not complete"
    print(f"== {name}: {len(rows)} rows in {result['seconds']:.0f} of {result['limit_s']:.0f} s{state}", flush=True)
    if "failure" in result:
        print(result["failure"], flush=True)
    if name == "correctness":
        _print_correctness(rows)
    else:
        for row in rows:
            print(_line(row), flush=True)


def _print_correctness(rows: list[Row]) -> None:
    """The number of cases that agree, and the first case of each error message."""
    wrong = [row for row in rows if "failure" in row or not row.get("ok")]
    print(f"{len(rows) - len(wrong)} of {len(rows)} agree", flush=True)
    messages = Counter(_message(row) for row in wrong)
    first = {_message(row): row["name"] for row in reversed(wrong)}
    for message, count in messages.most_common(12):
        print(f"{count} × {message[:300]}   first: {first[message]}", flush=True)


def _message(row: Row) -> str:
    if "failure" in row:
        return str(row["failure"]).splitlines()[0]
    return f"differs at {row.get('worst', '')}" + (f", error {row['error']:.1e}" if row.get("error") else "")


def _line(row: Row) -> str:
    if "failure" in row:
        return f"{row['name']}: {' '.join(str(row['failure']).split())[:300]}"
    if row.get("ok") is False:
        return f"{row['name']}: wrong: {' '.join(str(row.get('stderr', row)).split())[-300:]}"
    numbers = {
        "ms": _milliseconds(row.get("median_s")),
        "busy ms": _milliseconds(row.get("busy_s")),
        "launches": row.get("launches"),
        "s": f"{row['seconds']:.1f}" if "seconds" in row else None,
        "TB/s": f"{row['bytes_per_second'] / 1e12:.2f}" if "bytes_per_second" in row else None,
        "Tflop/s": f"{row['operations_per_second'] / 1e12:.0f}" if "operations_per_second" in row else None,
    }
    return f"{row['name']}: " + ", ".join(f"{value} {unit}" for unit, value in numbers.items() if value is not None)


def _milliseconds(seconds: float | None) -> str | None:
    return None if seconds is None else f"{1e3 * seconds:.3f}"
