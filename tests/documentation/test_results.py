"""The results in the README follow from the commands that it names."""

import re

import yaml

from tests.documentation.commands import ROOT

ROW = re.compile(r"^\| `(\w+)` \|.*\((\d+) seeds", re.MULTILINE)


def test_the_experiment_of_each_result_trains_as_many_seeds_as_its_row_says() -> None:
    rows = ROW.findall((ROOT / "README.md").read_text())
    assert len(rows) >= 6
    for name, seeds in rows:
        experiment = yaml.safe_load((ROOT / "configs" / "experiment" / f"{name}.yaml").read_text())
        params = experiment.get("hydra", {}).get("sweeper", {}).get("params", {})
        assert len(str(params.get("seed", 0)).split(",")) == int(seeds), name
