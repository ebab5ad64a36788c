"""Means, standard errors and p-values, against naive restatements."""

import json
import math
from dataclasses import replace
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bionets.experiment.comparison.groups import Group, grouped
from bionets.experiment.comparison.runs import Run, read_folders
from bionets.experiment.comparison.statistics import (
    RESAMPLES,
    Row,
    compare_with_best,
    higher_is_better,
    holm,
    permutation_p,
    smallest_p,
    standard_error,
    summarise,
    too_few_runs,
)
from tests.experiment.run_folders import make_run

probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=6)


def row_of(values: list[float], metric: str = "test/accuracy") -> Row:
    return Row(Group(("brc",), []), metric, tuple(values), False, None, None)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_mean_and_standard_error_equal_those_of_numpy(values: list[float]) -> None:
    row = row_of(values)
    assert row.error is not None
    assert math.isclose(row.mean, np.mean(values), abs_tol=1e-6)
    assert math.isclose(row.error, np.std(values, ddof=1) / np.sqrt(len(values)), rel_tol=1e-6, abs_tol=1e-6)


def test_a_single_run_has_no_standard_error() -> None:
    assert (row_of([0.5]).mean, row_of([0.5]).error) == (0.5, None)


def test_the_best_run_follows_the_direction_of_its_metric() -> None:
    assert row_of([0.1, 0.9], "test/accuracy").best_run == 0.9
    assert row_of([0.1, 0.9], "train/loss_step_5400").best_run == 0.1
    assert not any(
        map(higher_is_better, ("test/smape", "test/error", "test/nanojoules", "test/kl", "test/brier_score"))
    )
    assert [higher_is_better(name) for name in ("test/mse", "parameters", "wall_time", "test/reward")] == [
        False,
        False,
        False,
        True,
    ]


def test_the_direction_of_a_metric_follows_from_the_last_known_word_of_its_name() -> None:
    lower = ("test/mae", "test/speed_mae", "test/accuracy_mse", "test/MeanAbsoluteError", "val/wiring", "val/transport")
    assert not any(map(higher_is_better, (*lower, "test/mean_absolute_error", "test/rmse", "test/HammingDistance")))
    assert not any(map(higher_is_better, ("test/cost", "test/cross_entropy", "test/nrmse", "test/NMSE", "test/wer")))
    assert not any(map(higher_is_better, ("test/spikes_per_step", "test/nanojoules")))
    assert all(map(higher_is_better, ("test/reaction_time_accuracy", "test/loss_accuracy", "val/return")))


@pytest.mark.parametrize(("n", "m"), [(5, 5), (4, 5), (4, 4)])
def test_the_permutation_test_counts_all_arrangements(n: int, m: int) -> None:
    random = np.random.default_rng(n)
    one, other = random.normal(0.8, 1, n), random.normal(0, 1, m)
    together = np.concatenate([one, other])
    observed = one.mean() - other.mean()
    dealt = []
    for chosen in combinations(range(n + m), n):
        first = np.isin(np.arange(n + m), chosen)
        dealt.append(together[first].mean() - together[~first].mean())
    above, below = np.mean(np.array(dealt) >= observed - 1e-12), np.mean(np.array(dealt) <= observed + 1e-12)
    assert permutation_p(list(one), list(other)) == pytest.approx(min(1, 2 * min(above, below)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([33, 31, 33, 33], [30, 32, 32, 30]),
        ([33, 32, 31, 33], [32, 30, 32, 32]),
        ([33, 32, 31, 31], [31, 32, 30, 30, 32]),
    ],
)
def test_the_permutation_test_counts_ties_despite_rounding(one: list[int], other: list[int]) -> None:
    """Numbers of right answers out of 61, and the accuracies that a run writes in float32."""
    together, wanted = one + other, sum(one)
    sums = [sum(chosen) for chosen in combinations(together, len(one))]
    above, below = np.mean([each >= wanted for each in sums]), np.mean([each <= wanted for each in sums])
    accuracies = [[float(np.float32(each) / np.float32(61)) for each in group] for group in (one, other)]
    assert permutation_p(*accuracies) == pytest.approx(min(1, 2 * min(above, below)))


def test_separated_groups_give_the_smallest_possible_p_value() -> None:
    assert permutation_p([1, 1, 1, 1, 1], [0, 0, 0, 0, 0]) == pytest.approx(smallest_p(5, 5)) == pytest.approx(2 / 252)
    assert permutation_p([1, 1, 1, 1], [1, 1, 1, 1]) == 1
    assert permutation_p([1, 1], [0, 0]) == 1  # 2 / C(4, 2) is no evidence


def test_a_group_of_a_single_run_is_not_compared_with_groups_of_any_size() -> None:
    values = {("one",): [1.0], ("many",): [0.0] * 45, ("few",): [0.5] * 5}
    best, p_values = compare_with_best(values, higher=True)
    assert (best, p_values) == (("one",), {})


def test_large_groups_are_compared_by_random_arrangements_with_a_fixed_seed() -> None:
    random = np.random.default_rng(0)
    one, other = list(random.normal(0, 1, 15)), list(random.normal(0, 1, 15))
    p = permutation_p(one, other)
    assert p == permutation_p(one, other)
    assert p > 0.05
    assert permutation_p(one, [value + 5 for value in other]) == smallest_p(15, 15) == 2 / (RESAMPLES + 1)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_has_no_standard_error(value: float) -> None:
    assert math.isnan(standard_error([0.5, value, 0.7]) or 0)
    assert standard_error([value]) is None


@given(probabilities)
def test_holm_rejects_the_same_hypotheses_as_the_step_down_procedure(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert all(after >= before for before, after in zip(p_values, corrected, strict=True))
    level, order = 0.05, sorted(range(len(p_values)), key=lambda index: p_values[index])
    rejected = set()
    for rank, index in enumerate(order):
        if (len(p_values) - rank) * p_values[index] > level:
            break
        rejected.add(index)
    assert {index for index, p in enumerate(corrected) if p <= level} == rejected


def test_holm_gives_the_corrected_p_values_of_an_example() -> None:
    """3 · 0.01; 2 · 0.03; 0.04, raised to the value before it; never above 1."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([0.7, 0.9]) == [1, 1]


@given(probabilities)
def test_holm_does_not_depend_on_the_order(p_values: list[float]) -> None:
    expected = sorted(holm(p_values))
    for order in list(permutations(p_values))[:10]:
        assert sorted(holm(list(order))) == pytest.approx(expected)


def test_the_best_group_is_compared_with_each_other_and_corrected_for_all_pairs() -> None:
    values = {("a",): [0.9 + i / 100 for i in range(5)], ("b",): [0.1 + i / 100 for i in range(5)], ("c",): [0.5]}
    best, p_values = compare_with_best(values, higher=True)
    assert best == ("a",)
    assert p_values == {("b",): pytest.approx(3 * 2 / 252)}  # three pairs; one run alone has no test
    assert compare_with_best(values, higher=False)[0] == ("b",)


def test_each_panel_has_its_own_best_group(tmp_path: Path) -> None:
    for seed in range(4):
        for layers, good, bad in ((1, "brc", "gru"), (2, "gru", "brc")):
            make_run(tmp_path, good, seed, 0.9 + seed / 100, layers)
            make_run(tmp_path, bad, seed, 0.5 + seed / 100, layers)
    groups = grouped(read_folders(str(tmp_path))[0], ["model", "model.num_layers"])
    rows = summarise(groups, ["test/accuracy_length_60", "val/loss"])
    assert {(row.group.values, row.metric) for row in rows if row.best} == {
        (values, metric)
        for values in (("brc", "1"), ("gru", "2"))
        for metric in ("test/accuracy_length_60", "val/loss")
    }
    assert all(row.worse_than_best and row.p == pytest.approx(2 / 70) for row in rows if not row.best)
    assert [row.published for row in rows[:4]] == [0.92, None, 0.59, None]
    assert too_few_runs(groups) == []


def test_values_that_are_not_measured_on_data_have_no_p_value(tmp_path: Path) -> None:
    for seed in range(4):
        for model in ("brc", "gru"):
            file = make_run(tmp_path, model, seed, 0.5) / "result.json"
            result = json.loads(file.read_text())
            size = 1 + (model == "gru")
            result |= {"parameters": size, "wall_time": size + seed / 100}
            result["metrics"] |= {"test/mse": size + seed / 100, "train/kept_mebibytes": size}
            file.write_text(json.dumps(result))
    metrics = ["parameters", "wall_time", "train/kept_mebibytes", "test/mse"]
    rows = summarise(grouped(read_folders(str(tmp_path))[0], ["model"]), metrics)
    assert {row.metric for row in rows if row.p is not None} == {"test/mse"}
    assert [row.group.label for row in rows if row.best] == ["brc"] * 4


def test_a_metric_that_a_group_lacks_has_no_row() -> None:
    groups = [
        Group(("brc",), [Run("a", {}, {"test/mse": 0.5, "test/mae": 1.0}, {}, dict)]),
        Group(("gru",), [Run("b", {}, {"test/mse": 0.25}, {}, dict)]),
    ]
    rows = summarise(groups, ["test/mae", "test/mse"])
    assert [(row.group.label, row.metric, row.best) for row in rows] == [
        ("brc", "test/mae", True),
        ("brc", "test/mse", False),
        ("gru", "test/mse", True),
    ]


def test_all_groups_with_the_best_mean_are_best(tmp_path: Path) -> None:
    for seed in range(4):
        for model, accuracy in (("brc", 1.0), ("gru", 1.0), ("lstm", 0.5)):
            make_run(tmp_path, model, seed, accuracy)
    groups = grouped(read_folders(str(tmp_path))[0], ["model"])
    rows = summarise(groups, ["test/accuracy_length_60"])
    assert [row.best for row in rows] == [True, True, False]


def test_means_that_differ_only_by_rounding_are_both_best(tmp_path: Path) -> None:
    for model, right in (("brc", (30, 33, 30, 31)), ("gru", (31, 31, 31, 31)), ("lstm", (31, 31, 31, 30))):
        for seed, each in enumerate(right):
            make_run(tmp_path, model, seed, float(np.float32(each) / np.float32(61)))
    rows = summarise(grouped(read_folders(str(tmp_path))[0], ["model"]), ["test/accuracy_length_60"])
    assert rows[0].mean != rows[1].mean
    assert [row.best for row in rows] == [True, True, False]


def test_too_few_runs_for_a_significant_difference_are_noted(tmp_path: Path) -> None:
    for model in ("brc", "gru", "lstm"):
        for seed in range(3):
            make_run(tmp_path, model, seed)
    groups = grouped(read_folders(str(tmp_path))[0], ["model"])
    assert too_few_runs(groups) == ["too few runs for a significant difference: p can be 0.3 at the least"]
    assert all(row.p is None for row in summarise(groups, ["val/loss"]))


def test_the_note_on_too_few_runs_names_the_panel_and_a_p_value_of_at_most_1(tmp_path: Path) -> None:
    for model in ("brc", "gru", "lstm", "nbrc"):
        for seed in range(2):
            make_run(tmp_path, model, seed, layers=1)
    for model in ("brc", "gru"):
        for seed in range(4):
            make_run(tmp_path, model, seed, layers=2)
    groups = grouped(read_folders(str(tmp_path))[0], ["model", "model.num_layers"])
    assert too_few_runs(groups) == ["1: too few runs for a significant difference: p can be 1 at the least"]


def test_a_difference_is_significant_below_5_percent() -> None:
    assert replace(row_of([0.5]), p=0.0499).worse_than_best
    assert not any(replace(row_of([0.5]), p=p).worse_than_best for p in (0.05, 0.0501, None))


def test_only_runs_that_have_ended_count_for_a_significant_difference(tmp_path: Path) -> None:
    for model, complete in (("brc", 2), ("gru", 2), ("lstm", 0)):
        for seed in range(6):
            folder = make_run(tmp_path, model, seed)
            if seed >= complete:
                (folder / "result.json").write_text(json.dumps({"status": "interrupted", "error": "Terminated"}))
    groups = grouped(read_folders(str(tmp_path), unfinished=True)[0], ["model"])
    assert [len(group.runs) for group in groups] == [6, 6, 6]
    assert too_few_runs(groups) == ["too few runs for a significant difference: p can be 0.33 at the least"]


def test_a_group_with_a_value_that_is_not_finite_is_neither_best_nor_compared() -> None:
    values = {
        ("a",): [math.nan, 0.5, 0.5, 0.5, 0.5],
        ("b",): [0.9] * 5,
        ("c",): [0.1] * 5,
        ("d",): [math.inf, -math.inf],
    }
    best, p_values = compare_with_best(values, higher=True)
    without = compare_with_best({key: values[key] for key in (("b",), ("c",))}, higher=True)
    assert (best, p_values) == without and best == ("b",) and set(p_values) == {("c",)}
    assert compare_with_best({("a",): [math.nan]}, higher=True) == (None, {})
    assert math.isnan(row_of([math.inf, -math.inf]).mean)
