"""The numbers of the splits of many runs, for each run and for each group of runs."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from bionets.experiment.comparison.statistics import standard_error
from bionets.studies.spatial.spatial_run import SpatialRun

ACCURACY, RETENTION, READ = "accuracy", "retention", "other, through its outputs"


class Group(NamedTuple):
    """The key of a group of runs: the presentation, and the values of the keys in ``by``."""

    presentation: str
    setting: tuple[str, ...]


class Row(NamedTuple):
    """One quantity of one group for one method of splitting, over ``n`` runs: the mean with its standard error, the
    minimum and the maximum.
    """

    group: Group
    method: str
    quantity: str
    n: int
    mean: float
    error: float | None
    lowest: float
    highest: float


Numbers = dict[tuple[str, str], float]
"""(method, quantity) -> value, of one run; the method of the whole network is the empty one"""


def measure_run(run: SpatialRun, methods: Sequence[str]) -> Numbers:
    """All quantities of one run."""
    numbers: Numbers = {}
    for name, accuracy in zip(run.names, run.accuracies, strict=True):
        numbers["", f"{ACCURACY} {name}"] = accuracy
    for method in methods:
        scores = run.scores(method)
        own = [each for each in scores if each.subnetwork == each.task]
        others = [each for each in scores if each.subnetwork != each.task]
        for each in own:
            numbers[method, f"{RETENTION} {each.task}"] = each.retention
        numbers[method, RETENTION] = fmean(each.retention for each in own)
        numbers[method, "other"] = fmean(each.accuracy for each in others)
        numbers[method, READ] = fmean(each.through_outputs for each in others)
        for name, measured in run.clusters(method)._asdict().items():
            numbers[method, name] = measured.value
            numbers[method, f"{name} by chance"] = measured.chance
            numbers[method, f"{name} p"] = measured.p
    return numbers


def summarise(measured: Mapping[Group, Sequence[Numbers]]) -> list[Row]:
    """A row for every group, method and quantity, in that order."""
    rows = []
    for group, runs in measured.items():
        for method, quantity in runs[0]:
            values = [run[method, quantity] for run in runs]
            summary = (len(values), fmean(values), standard_error(values), min(values), max(values))
            rows.append(Row(group, method, quantity, *summary))
    return rows
