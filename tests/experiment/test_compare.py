"""Means, standard errors and groups, from run folders alone."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bionets.experiment.compare import find, grouped, mean_and_error, summarise
from bionets.experiment.errors import UserError


def make_run(root: Path, model: str, layers: int, seed: int, accuracy: float | None) -> None:
    folder = root / model / str(layers) / f"seed-{seed}"
    folder.mkdir(parents=True)
    trainer = {"max_epochs": 1}
    config = {"model": {"name": model, "num_layers": layers}, "task": {"name": "t"}, "trainer": trainer, "seed": seed}
    config["name"] = "run"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    if accuracy is not None:
        result = {"status": "complete", "metrics": {"test/accuracy": accuracy}, "tests": {}}
        (folder / "result.json").write_text(json.dumps(result))


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_the_standard_error_is_that_of_the_mean(values: list[float]) -> None:
    mean, error = mean_and_error(values)
    assert error is not None
    assert math.isclose(mean, np.mean(values), abs_tol=1e-6)
    assert math.isclose(error, np.std(values, ddof=1) / np.sqrt(len(values)), rel_tol=1e-6, abs_tol=1e-6)


def test_a_single_run_has_no_standard_error() -> None:
    assert mean_and_error([0.5]) == (0.5, None)


def test_runs_are_grouped_by_any_key(tmp_path: Path) -> None:
    for layers in (1, 2):
        for seed in (0, 1):
            make_run(tmp_path, "brc", layers, seed, layers + seed / 10)
    make_run(tmp_path, "gru", 1, 0, None)
    runs, unfinished = find(str(tmp_path))
    assert [status for _, status in unfinished] == ["not ended"]
    assert {label: len(members) for label, members in grouped(runs, "model").items()} == {"brc": 4}
    groups = grouped(runs, "model, model.num_layers")
    assert set(groups) == {"brc, 1", "brc, 2"}
    (row,) = summarise("brc, 2", groups["brc, 2"])
    assert (row.n, row.mean, row.lowest, row.highest) == (2, pytest.approx(2.05), 2.0, 2.1)
    with pytest.raises(UserError, match=r"by=model\.colour"):
        grouped(runs, "model.colour")


def test_a_folder_without_a_complete_run_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path, "gru", 1, 0, None)
    with pytest.raises(UserError, match="no complete run"):
        find(str(tmp_path))
    with pytest.raises(UserError, match="no run's folder"):
        find(str(tmp_path / "elsewhere"))
