"""A leaderboard of all runs: a table for each task, beside the best published number."""

import math
from typing import Any

import pytest

from bionets.experiment.comparison.leaderboard import leaderboard, published_bests
from bionets.experiment.comparison.runs import Run
from bionets.experiment.config.schemas.registry import TASKS


def run(model: str, task: str, metric: str, value: float, seed: int = 0, **settings: Any) -> Run:
    config = {
        "name": settings.pop("name", "run"),
        "seed": seed,
        "model": {"name": model, "hidden_size": settings.pop("hidden_size", 10), "seed": seed},
        "task": {"name": task, "seed": seed, **settings},
        "trainer": {},
    }
    metrics = {"test/loss": 5.0, metric: value, "val/loss": 0.1}
    if model == "spiking":
        metrics["test/nanojoules"] = 12.0 + seed
    more = {"parameters": 1000.0, "wall_time": 20.0 + seed}
    return Run(f"{model}-{task}-{seed}", config, metrics, {}, dict, more)


def lines_of(text: str, task: str) -> list[str]:
    section = text.split(f"## {task}\n")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| ")]


def test_a_row_is_the_mean_of_runs_that_differ_only_in_the_seed() -> None:
    runs = [run("spiking", "shd", "test/accuracy", 0.5 + 0.1 * seed, seed) for seed in range(3)]
    text = leaderboard([*runs, run("brc", "shd", "test/accuracy", 0.9)])
    header, _, first, second = lines_of(text, "shd")
    assert [name.strip() for name in header.split("|")[1:-1]] == [
        *("model", "experiment", "settings", "seeds", "test/accuracy", "published", "parameters", "energy (nJ)"),
        "seconds",
    ]
    assert first == "| brc | run |  | 1 | 0.9 |  | 1000 |  | 20 |"
    assert second == "| spiking | run |  | 3 | 0.600 ± 0.058 |  | 1000 | 13 | 21 |"


def test_runs_of_a_model_are_distinguished_by_their_settings() -> None:
    runs = [run("brc", "copy", "test/mse", value, length=length) for value, length in ((0.5, 300), (0.1, 100))]
    _, _, first, second = lines_of(leaderboard([*runs, run("gru", "copy", "test/mse", 0.7, length=300)]), "copy")[:4]
    assert first.startswith("| brc | run | length 100 | 1 | 0.1 |")  # the smallest error first
    assert second.startswith("| brc | run | length 300 | 1 | 0.5 |")


def test_the_length_of_a_task_is_shown_where_models_differ_in_it() -> None:
    runs = [run("brc", "copy", "test/mse", 0.5, length=300), run("gru", "copy", "test/mse", 0.1, length=5)]
    lines = lines_of(leaderboard(runs), "copy")
    assert [line.split(" | ")[2] for line in lines[2:]] == ["length 5", "length 300"]


def test_settings_are_shown_in_short_form() -> None:
    schedule = {"_target_": "bionets.models.cosine_schedule", "_partial_": True, "warmup": 0.05}
    one, other = run("brc", "copy", "test/mse", 0.5), run("brc", "copy", "test/mse", 0.4)
    other.config["schedule"] = schedule
    lines = lines_of(leaderboard([one, other]), "copy")
    assert [line.split(" | ")[2] for line in lines[2:]] == ["cosine_schedule, warmup 0.05", ""]


def test_settings_beyond_the_fourth_are_counted() -> None:
    one, other = (run("brc", "copy", "test/mse", n, **dict.fromkeys("abcdef", n)) for n in (1, 2))
    lines = lines_of(leaderboard([one, other]), "copy")
    assert [line.split(" | ")[2] for line in lines[2:]] == [f"a {n}, b {n}, c {n}, d {n}, 2 more" for n in (1, 2)]


def test_a_seed_that_was_run_twice_is_one_seed() -> None:
    runs = [run("brc", "copy", "test/mse", 0.5, seed) for seed in (0, 1, 1)]
    assert lines_of(leaderboard(runs), "copy")[2].split(" | ")[3] == "2"


def test_the_loss_is_shown_if_there_is_no_other_metric() -> None:
    assert " | test/loss | " in lines_of(leaderboard([run("brc", "copy", "test/loss", 0.5)]), "copy")[0]


def test_experiments_are_distinguished_by_their_names() -> None:
    runs = [run("brc", "copy", "test/mse", 0.5, name=name) for name in ("one", "two")]
    lines = lines_of(leaderboard(runs), "copy")
    assert [line.split(" | ")[1] for line in lines[2:]] == ["one", "two"]


def test_every_task_has_its_own_metric_and_the_best_published_number() -> None:
    text = leaderboard([run("lem", "mackey_glass", "test/smape", 30.0), run("lem", "shd", "test/accuracy", 0.5)])
    best = published_bests()["mackey_glass"]
    assert f"Best published: test/smape 13.37, {best.method}; {best.source}." in text
    assert lines_of(text, "mackey_glass")[0].count("test/smape") == 1
    assert text.index("## mackey_glass") < text.index("## shd")


def test_a_published_number_is_shown_for_runs_that_follow_its_protocol() -> None:
    settings = {"dataset": "mnist", "test_size": 10_000, "hidden_size": 400}
    text = leaderboard([run("stdp", "mnist", "test/accuracy", 0.9, **settings)])
    assert " | 0.9 | 0.87 | " in text


@pytest.mark.parametrize("task", published_bests())
def test_published_numbers_are_complete(task: str) -> None:
    best = published_bests()[task]
    assert best.metric.startswith("test/")
    assert best.method and best.source
    assert 0 < best.value < (200 if best.metric == "test/smape" else 1)


def test_published_numbers_belong_to_existing_or_planned_tasks() -> None:
    coming = {"shd", "ssc"}
    assert set(published_bests()) - coming <= set(TASKS)


def test_the_leaderboard_does_not_depend_on_the_order_of_the_runs() -> None:
    runs = [run(model, "copy", "test/mse", value) for model, value in (("a", 0.1), ("b", 0.3), ("c", 0.2))]
    assert leaderboard(runs) == leaderboard(runs[::-1])


@pytest.mark.parametrize("metric", ["test/mse", "test/accuracy"])
def test_runs_without_a_number_as_first_metric_are_last(metric: str) -> None:
    runs = [run("rnn", "copy", metric, math.nan), run("brc", "copy", metric, 0.5), run("gru", "copy", "test/mae", 0.1)]
    first, second, third = lines_of(leaderboard(runs), "copy")[2:]
    assert first.startswith("| brc | run |  | 1 | 0.5 |")
    assert second.startswith("| rnn | run |  | 1 | nan |")
    assert third.startswith("| gru | run |  | 1 |  |")
