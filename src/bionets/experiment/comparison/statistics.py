"""Statistics of groups of runs: means, standard errors, permutation tests."""

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .groups import Group, by_panel

SIGNIFICANT = 0.05
RESAMPLES = 20_000  # up to so many arrangements are all tried (two groups of 8); beyond, as many are drawn at random
LOWER_IS_BETTER = {
    *("loss", "mse", "rmse", "mae", "mape", "smape", "error", "perplexity", "distance", "divergence"),
    *("proximity", "transport", "wiring"),  # costs
    *("time", "parameters", "mebibytes", "nanojoules"),
}
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z\d]+")  # of mean_error and of MeanError
HIGHER_IS_BETTER = {"accuracy", "solved", "return"}  # whatever the name of the target or the data before it


@dataclass(frozen=True)
class Row:
    """One metric of one group of runs.

    ``error`` is the standard error of the mean, None for a single run; ``best`` marks the best mean of a panel; ``p``
    compares with that one, None where there is no test; ``published`` is the original's number.
    """

    group: Group
    metric: str
    values: tuple[float, ...]
    best: bool
    p: float | None
    published: float | None

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def error(self) -> float | None:
        return standard_error(self.values)

    @property
    def best_run(self) -> float:
        return max(self.values) if higher_is_better(self.metric) else min(self.values)

    @property
    def worse_than_best(self) -> bool:
        return self.p is not None and self.p < SIGNIFICANT


def standard_error(values: Sequence[float]) -> float | None:
    """Of the mean: s/√n with s² = Σ(x − mean)²/(n − 1). None for a single value."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None


def summarise(groups: Sequence[Group], metrics: Sequence[str]) -> list[Row]:
    """A row for every group and metric that the group has, in that order."""
    found: dict[tuple[tuple[str, ...], str], Row] = {}
    for members in by_panel(groups).values():
        for metric in metrics:
            values = {group.values: metric_values(group, metric) for group in members}
            values = {key: each for key, each in values.items() if each}
            best, p_values = compare_with_best(values, higher_is_better(metric))
            for group in members:
                if group.values in values:
                    key = group.values
                    known = group.published.get(metric)
                    found[key, metric] = Row(group, metric, tuple(values[key]), key == best, p_values.get(key), known)
    return [found[group.values, metric] for group in groups for metric in metrics if (group.values, metric) in found]


def metric_values(group: Group, metric: str) -> list[float]:
    return [value for run in group.runs if (value := run.value(metric)) is not None]


def higher_is_better(metric: str) -> bool:
    """By the words of the metric's name, the last one that says it: losses, errors, costs, times and sizes are better
    when lower, everything else when higher.
    """
    words = [word.lower() for word in WORD.findall(metric.rpartition("/")[2])]
    known = [word in HIGHER_IS_BETTER for word in words if word in LOWER_IS_BETTER | HIGHER_IS_BETTER]
    return known[-1] if known else True


Key = tuple[str, ...]


def compare_with_best(values: Mapping[Key, Sequence[float]], higher: bool) -> tuple[Key | None, dict[Key, float]]:
    """The group with the best mean, and for every other one the probability of a difference as large by chance.

    Every pair of groups has an exact two-sided permutation test of the difference of their means: of all ways to
    deal the same numbers out to two groups of these sizes, the share with a difference as large in the same direction,
    and twice that. The numbers of a few
    seeds are far from normal (accuracies pile up at 1, a cell that learns on some seeds only has two peaks), so that
    Welch's t, which supposes them normal, says too much; this test supposes only that runs of equal cells could be
    exchanged. It asks whether the group makes any difference to a run, not whether the means alone differ.

    The best group is known only from the same numbers, so all k(k − 1)/2 pairs are corrected for (Holm 1979), not
    only the k − 1 that are reported. A pair of groups so small that even their largest difference would not reach
    `SIGNIFICANT` has no probability: from 4 runs against 4, or 3 against 5, there is one. After the correction, 5 runs
    each can tell up to 4 groups apart, 4 each 2, 8 each more than 30.
    """
    if not values:
        return None, {}
    means = {key: statistics.fmean(each) for key, each in values.items()}
    best = (max if higher else min)(means, key=lambda key: means[key])
    pairs = list(combinations(values, 2))
    p_values = holm([permutation_p(values[one], values[other]) for one, other in pairs])
    return best, {
        other if best == one else one: p
        for (one, other), p in zip(pairs, p_values, strict=True)
        if best in (one, other) and smallest_p(len(values[one]), len(values[other])) < SIGNIFICANT
    }


def too_few_runs(groups: Sequence[Group]) -> list[str]:
    """A line for every panel in which no difference could be significant, however large."""
    said = []
    for panel, members in by_panel(groups).items():
        pairs = list(combinations([len(group.runs) for group in members], 2))
        lowest = min((len(pairs) * smallest_p(n, m) for n, m in pairs), default=0.0)
        if lowest >= SIGNIFICANT:
            place = f"{', '.join(panel)}: " if panel else ""
            said.append(f"{place}too few runs for a significant difference: p can be {min(lowest, 1):.2g} at the least")
    return said


def smallest_p(n: int, m: int) -> float:
    """The smallest p-value of a two-sided permutation test of n against m numbers: 2 / C(n + m, n)."""
    return min(1.0, 2 / math.comb(n + m, n))


def permutation_p(one: Sequence[float], other: Sequence[float]) -> float:
    """The two-sided permutation test of the difference of two means; exact up to `RESAMPLES` arrangements."""
    from scipy.stats import permutation_test  # seconds to import, and training does not need it

    if smallest_p(len(one), len(other)) >= SIGNIFICANT:
        return 1.0  # also scipy's own requirement of two numbers each

    def difference(a: NDArray[np.float64], b: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return a.mean(axis) - b.mean(axis)

    test = permutation_test(
        (np.asarray(one), np.asarray(other)),
        difference,
        vectorized=True,
        n_resamples=RESAMPLES,
        random_state=np.random.default_rng(0),
    )
    return float(test.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the i-th smallest of m is multiplied by m − i + 1, and none falls below a smaller
    one's (Holm, Scandinavian Journal of Statistics 6, 1979).
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected
