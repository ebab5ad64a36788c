"""The choice of a setting: the highest accuracy among the settings for which the split separates the tasks."""

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from bionets.analysis.split_plots import GOALS
from bionets.studies.spatial.split_numbers import READ, RETENTION, Group, Row


class Choice(NamedTuple):
    """A setting for one presentation, or for ``all`` presentations.

    ``accuracy`` is the accuracy of the whole network, averaged over runs and tasks. ``kept`` is the lowest retention of
    a task in any run, and ``read`` the highest mean accuracy on other tasks, through their outputs, in any run.
    """

    presentation: str
    setting: tuple[str, ...]
    accuracy: float
    kept: float
    read: float

    @property
    def parts(self) -> bool:
        """Whether the split reaches the `GOALS` in every run: retention of each task, accuracy on the other tasks."""
        return self.kept >= GOALS[RETENTION] and self.read <= GOALS[READ]


def choose_settings(rows: Sequence[Row], method: str) -> list[Choice]:
    """For each presentation, and for all together, the most accurate setting that separates the tasks; if there is
    none, the setting with the highest retention.
    """
    groups: dict[Group, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    presentations = list(dict.fromkeys(group.presentation for group in groups))
    together = {each: [each] for each in presentations}
    if len(presentations) > 1:
        together["all"] = presentations
    choices = []
    for name, members in together.items():
        candidates = [
            _candidate(name, setting, [row for each in members for row in groups[Group(each, setting)]], method)
            for setting in dict.fromkeys(group.setting for group in groups)
            if all(Group(each, setting) in groups for each in members)
        ]
        choices += sorted(candidates, key=_rank)[-1:]
    return choices


def _candidate(name: str, setting: tuple[str, ...], rows: Sequence[Row], method: str) -> Choice:
    return Choice(
        name,
        setting,
        accuracy=fmean(row.mean for row in rows if not row.method),
        kept=min(row.lowest for row in rows if row.method == method and row.quantity.startswith(f"{RETENTION} ")),
        read=max(row.highest for row in rows if row.method == method and row.quantity == READ),
    )


def _rank(choice: Choice) -> tuple[bool, float]:
    return (True, choice.accuracy) if choice.parts else (False, choice.kept)
