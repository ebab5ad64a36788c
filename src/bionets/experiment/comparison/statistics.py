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
ROUNDING = 2 * float(np.finfo(np.float32).eps)  # relative difference of two means of equal numbers that float32 rounds
RESAMPLES = 20_000  # number of arrangements that are all tried (two groups of 8); of more, this many are drawn
LOWER_IS_BETTER = {
    *("loss", "mse", "nmse", "rmse", "nrmse", "msle", "rmsle", "mae", "mase", "mape", "smape", "error", "wer", "cer"),
    *("nll", "bce", "kl", "brier", "perplexity", "distance", "divergence", "deviance", "latency"),
    *("proximity", "transport", "wiring"),  # costs
    *("time", "parameters", "mebibytes", "nanojoules", "spikes", "cost", "entropy"),
}
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z\d]+")  # of mean_error and of MeanError
HIGHER_IS_BETTER = {"accuracy", "solved", "return"}  # also after a word of LOWER_IS_BETTER


@dataclass(frozen=True)
class Row:
    """One metric of one group of runs.

    ``error``: the standard error of the mean, None for a single run. ``best``: whether the mean is the best of its
    panel. ``p``: the p-value of the difference to the best group, None without a test (see `is_tested`).
    ``published``: the published value.
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
        return mean(self.values)

    @property
    def error(self) -> float | None:
        return standard_error(self.values)

    @property
    def best_run(self) -> float:
        return max(self.values) if higher_is_better(self.metric) else min(self.values)

    @property
    def worse_than_best(self) -> bool:
        return self.p is not None and self.p < SIGNIFICANT


def mean(values: Sequence[float]) -> float:
    """The mean; NaN for infinities of both signs, for which `statistics.fmean` raises an error."""
    return statistics.fmean(values) if all(map(math.isfinite, values)) else sum(values) / len(values)


def standard_error(values: Sequence[float]) -> float | None:
    """The standard error of the mean: s/√n with s² = Σ(x − mean)²/(n − 1). None for a single value, NaN if a value is
    not finite."""
    if not all(map(math.isfinite, values)):
        return math.nan if len(values) > 1 else None
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None


def summarise(groups: Sequence[Group], metrics: Sequence[str]) -> list[Row]:
    """A row for every group and each of its metrics, in the order of groups, then metrics."""
    found: dict[tuple[tuple[str, ...], str], Row] = {}
    for members in by_panel(groups).values():
        for metric in metrics:
            values = {group.values: metric_values(group, metric) for group in members}
            values = {key: each for key, each in values.items() if each}
            best, p_values = compare_with_best(values, higher_is_better(metric))
            highest = math.nan if best is None else mean(values[best])
            for group in members:
                if group.values in values:
                    key = group.values
                    known = group.published.get(metric)
                    of_group = tuple(values[key])
                    p = p_values.get(key) if is_tested(metric) else None
                    is_best = math.isclose(mean(of_group), highest, rel_tol=ROUNDING)
                    found[key, metric] = Row(group, metric, of_group, is_best, p, known)
    return [found[group.values, metric] for group in groups for metric in metrics if (group.values, metric) in found]


def metric_values(group: Group, metric: str) -> list[float]:
    return [value for run in group.runs if (value := run.value(metric)) is not None]


def is_tested(metric: str) -> bool:
    """Whether differences in a metric are tested: those of validation and test sets are, ``parameters``, ``wall_time``
    and numbers of the training (``train/kept_mebibytes``) are not.
    """
    return "/" in metric and not metric.startswith("train/")


def higher_is_better(metric: str) -> bool:
    """Whether higher values of a metric are better, by the last known word of its name: losses, errors, costs, times
    and sizes are better when lower, everything else when higher.
    """
    words = [word.lower() for word in WORD.findall(metric.rpartition("/")[2])]
    known = [word in HIGHER_IS_BETTER for word in words if word in LOWER_IS_BETTER | HIGHER_IS_BETTER]
    return known[-1] if known else True


Key = tuple[str, ...]


def compare_with_best(values: Mapping[Key, Sequence[float]], higher: bool) -> tuple[Key | None, dict[Key, float]]:
    """The group with the best mean, and the p-value of the difference between it and every other group.

    The means of each pair of groups are compared by a two-sided permutation test, see `permutation_p`: p is twice the
    share of all assignments of the numbers to two groups of these sizes whose difference is at least as large in the
    same direction.
    Results of a few seeds are often far from normal (accuracies close to 1; two modes if a cell learns on some seeds
    only), so Welch's t-test, which assumes normality, is not used. A permutation test assumes only that the runs of
    equal groups are exchangeable; its null hypothesis is that both groups have the same distribution, not only the same
    mean.

    The best group is chosen from the same numbers, so the p-values are corrected for all k(k − 1)/2 pairs (Holm 1979),
    not only for the k − 1 that are reported. A pair has no p-value if its groups are so small that even the largest
    difference would not reach `SIGNIFICANT`: 4 runs against 4, or 3 against 5, are enough. After the correction, 5 runs
    each can distinguish up to 4 groups, 4 runs 2 groups, and 8 runs 25 groups.

    Groups with a value that is not finite are not compared.
    """
    values = {key: each for key, each in values.items() if all(map(math.isfinite, each))}
    if not values:
        return None, {}
    means = {key: mean(each) for key, each in values.items()}
    best = (max if higher else min)(means, key=lambda key: means[key])
    pairs = list(combinations(values, 2))
    p_values = holm([permutation_p(values[one], values[other]) for one, other in pairs])
    return best, {
        other if best == one else one: p
        for (one, other), p in zip(pairs, p_values, strict=True)
        if best in (one, other) and smallest_p(len(values[one]), len(values[other])) < SIGNIFICANT
    }


def too_few_runs(groups: Sequence[Group]) -> list[str]:
    """A line for every panel in which even the largest difference would not be significant."""
    said = []
    for panel, members in by_panel(groups).items():
        ended = [sum(run.ended for run in group.runs) for group in members]
        pairs = list(combinations(filter(None, ended), 2))
        lowest = min((len(pairs) * smallest_p(n, m) for n, m in pairs), default=0.0)
        if lowest >= SIGNIFICANT:
            place = f"{', '.join(panel)}: " if panel else ""
            said.append(f"{place}too few runs for a significant difference: p can be {min(lowest, 1):.2g} at the least")
    return said


def smallest_p(n: int, m: int) -> float:
    """The smallest p-value of `permutation_p` for n against m numbers: 2 / C(n + m, n), or 2 / (`RESAMPLES` + 1) for
    random arrangements. 1 if a group has a single number, which says nothing about its spread."""
    return min(1.0, 2 / min(math.comb(n + m, n), RESAMPLES + 1)) if min(n, m) > 1 else 1.0


def permutation_p(one: Sequence[float], other: Sequence[float]) -> float:
    """The p-value of a two-sided permutation test of two means; exact for up to `RESAMPLES` arrangements.

    Differences that only the rounding of results to float32 tells apart are equal: accuracies are multiples of 1/N for
    N samples, so that many arrangements have the same difference.
    """
    from scipy.stats import permutation_test  # takes seconds to import, and training does not need it

    if smallest_p(len(one), len(other)) >= SIGNIFICANT:
        return 1.0  # scipy needs at least two numbers in each group

    def difference(a: NDArray[np.float64], b: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return a.mean(axis) - b.mean(axis)

    test = permutation_test(
        (np.asarray(one), np.asarray(other)),
        difference,
        vectorized=True,
        n_resamples=RESAMPLES,
        random_state=np.random.default_rng(0),
    )
    equal = ROUNDING * max(map(abs, (*one, *other)))
    above, below = test.null_distribution >= test.statistic - equal, test.null_distribution <= test.statistic + equal
    drawn = len(above) < math.comb(len(one) + len(other), len(one))  # at random; the observed arrangement is one more
    return min(1.0, 2 * (min(int(above.sum()), int(below.sum())) + drawn) / (len(above) + drawn))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the i-th smallest of m p-values is multiplied by m − i + 1, and raised to the
    largest corrected value before it if that is larger (Holm, Scandinavian Journal of Statistics 6, 1979).
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected
