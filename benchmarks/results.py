"""The measurements of a run of the benchmarks, and their form in the JSON file."""

from dataclasses import dataclass, field
from typing import Any

from benchmarks.floor import Floor
from benchmarks.timing import Comparison, Row


@dataclass
class Measured:
    """One comparison: its rows, and the lower bound for each library."""

    comparison: Comparison
    rows: list[Row]
    floors: list[Floor]

    @property
    def ours(self) -> float | None:
        return self.rows[0].median

    def as_json(self) -> dict[str, Any]:
        rows = []
        for row, floor in zip(self.rows, self.floors, strict=True):
            rows.append(
                {
                    "contestant": row.contestant.name,
                    "median_s": row.median,
                    "seconds": row.seconds,
                    "times_ours": ratio(row.median, self.ours),
                    "times_floor": ratio(row.median, floor.total),
                    "floor_s": floor.total,
                    "floor_moving_s": floor.moving,
                    "floor_products_s": floor.multiplying,
                    "floor_random_numbers_s": floor.drawing,
                    "floor_bytes": floor.counted,
                    "remark": row.contestant.remark,
                    "warnings": row.warnings,
                    "failure": row.failure,
                }
            )
        return {"name": self.comparison.name, "title": self.comparison.title, "rows": rows}


@dataclass
class Results:
    """All measurements.

    memory: library -> peak in states, reason of a failure; conv_memory: the same in MiB. first_calls: cell -> seconds
    with compilation, seconds with the cache, reason of a failure.
    """

    environment: dict[str, Any]
    bytes_per_second: float | None = None
    comparisons: dict[str, Measured] = field(default_factory=dict)
    memory: dict[str, tuple[float | None, str | None]] = field(default_factory=dict)
    conv_memory: dict[str, tuple[float | None, str | None]] = field(default_factory=dict)
    first_calls: dict[str, tuple[float | None, float | None, str | None]] = field(default_factory=dict)

    def ours_failed(self) -> bool:
        """Whether a measurement of bionets failed: its rows begin with its name."""
        rows = [row for measured in self.comparisons.values() for row in measured.rows]
        reasons = [(row.contestant.name, row.failure) for row in rows]
        reasons += [(name, why) for memory in (self.memory, self.conv_memory) for name, (_, why) in memory.items()]
        failed = any(why for name, why in reasons if name.startswith("bionets"))
        return failed or any(why for *_, why in self.first_calls.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "environment": self.environment,
            "copy_bytes_per_second": self.bytes_per_second,
            "comparisons": [measured.as_json() for measured in self.comparisons.values()],
            "peak_memory": [
                {"contestant": name, "states": peak, "failure": reason} for name, (peak, reason) in self.memory.items()
            ],
            "conv_peak_memory": [
                {"contestant": name, "mib": peak, "failure": reason}
                for name, (peak, reason) in self.conv_memory.items()
            ],
            "first_call": [
                {"cell": cell, "compiled_s": compiled, "cached_s": cached, "failure": reason}
                for cell, (compiled, cached, reason) in self.first_calls.items()
            ],
        }


def ratio(value: float | None, unit: float | None) -> float | None:
    return value / unit if value is not None and unit else None
