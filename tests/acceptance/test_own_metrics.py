"""``metrics=[my_module.my_metric]``, as a user types it."""

import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import Command, the_run
from tests.acceptance.test_stack import TINY

OWN = """
def bias(prediction, target):
    return (prediction - target).mean()

def spread(prediction, target):
    return prediction.std()
"""
TRAIN = ("train", "model=brc", "model.hidden_size=4", *TINY)


def test_a_user_metric_is_recorded_tested_and_evaluated(cli: Command, workplace: Path) -> None:
    (workplace / "my_own_metrics.py").write_text(OWN)
    outcome = cli(*TRAIN, "metrics=[my_own_metrics.bias]")
    assert outcome.code == 0, outcome.error
    run = the_run(workplace)
    assert "val/bias" in run.metrics_file.read_text()
    trained = json.loads((run.path / "result.json").read_text())["metrics"]["test/bias"]
    refused = cli("evaluate", f"run={run.path}")
    assert refused.code == 1 and "trust=my_own_metrics" in refused.error
    outcome = cli("evaluate", f"run={run.path}", "trust=my_own_metrics", "metrics=[my_own_metrics.spread]")
    assert outcome.code == 0, outcome.error
    again = json.loads((run.path / "evaluation-best.json").read_text())["metrics"]
    assert again["test/bias"] == trained and again["test/spread"] > 0


def test_runs_with_different_metrics_have_different_folders(cli: Command, workplace: Path) -> None:
    (workplace / "my_own_metrics.py").write_text(OWN)
    assert cli(*TRAIN).code == 0
    assert cli(*TRAIN, "metrics=[my_own_metrics.bias]").code == 0
    assert len(list(workplace.rglob("result.json"))) == 2
    wrong = cli(*TRAIN, "metrics=[my_own_metrics.missing]")
    assert wrong.code == 1 and wrong.error.startswith("error: metrics=my_own_metrics.missing cannot be imported")


def test_each_value_of_a_multi_valued_metric_is_in_the_result(cli: Command, workplace: Path) -> None:
    (workplace / "my_metric_of_two_values.py").write_text(
        "from torchmetrics import MeanSquaredError\n\n\nclass Errors(MeanSquaredError):\n"
        "    def compute(self):\n        return {'squared': super().compute(), 'root': super().compute() ** 0.5}\n"
    )
    outcome = cli(*TRAIN, "metrics=[my_metric_of_two_values.Errors]")
    assert outcome.code == 0, outcome.error
    metrics = json.loads((the_run(workplace).path / "result.json").read_text())["metrics"]
    assert metrics["test/squared"] == metrics["test/loss"] == pytest.approx(metrics["test/root"] ** 2)
