"""Every kind of command that may be killed, and the results that it must leave in any case."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bionets.experiment.run.checkpoints import read_checkpoint
from bionets.experiment.run.run_folder import RunFolder

Lasting = dict[str, Any]
"""What two equal outcomes have in common to the bit, by its name."""

SMALL = [
    "model=brc",
    "model.hidden_size=6",
    "task=binary_addition",
    "task.length=5",
    "task.epochs_per_length=6",
    "task.train_size=400",
    "task.val_size=100",
    "task.test_size=50",
    "task.test_length=6",
    "callbacks=quiet",
    "logger=none",
]
SPATIAL = [
    "model=spatial_linear",
    "model.hidden_sizes=[8,8]",
    "task=multi_image",
    "task.train_size=200",
    "task.val_size=50",
    "task.test_size=50",
    "trainer.max_epochs=2",
    "callbacks=quiet",
    "logger=none",
]


@dataclass(frozen=True)
class Scenario:
    """A command, what must be there before it, and what it leaves."""

    words: list[str]
    lasting: Callable[[Path], Lasting]
    before: list[str] | None = None
    resumes: bool = True  # else every start is a new one


def runs(folder: Path) -> Lasting:
    """metrics.csv, the result but its times, and the weights of both checkpoints of every run below a folder."""
    found: Lasting = {}
    for config in sorted(folder.rglob("config.yaml")):
        run, name = RunFolder(config.parent), str(config.parent.relative_to(folder))
        result = dict(run.result() or {})
        result.pop("wall_time", None)
        found[f"{name}/metrics.csv"] = run.metrics_file.read_bytes()
        found[f"{name}/result.json"] = json.dumps(result, sort_keys=True)
        for file in (run.best, run.last):
            for key, value in read_checkpoint(file)["state_dict"].items():
                found[f"{name}/{file.name}/{key}"] = value.numpy().tobytes()
    found["partial files"] = [str(file) for file in folder.rglob("*.partial")]
    return found


def trials(folder: Path) -> Lasting:
    """The runs of a search and what its table says of them."""
    (table,) = folder.rglob("trials.csv")
    return {**runs(folder), "trials": sorted(tuple(row.items()) for row in csv.DictReader(table.open()))}


def file_named(name: str) -> Callable[[Path], Lasting]:
    def read(folder: Path) -> Lasting:
        return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob(name))}

    return read


SEARCH = ["-m", "sweep=random", "hydra.sweeper.n_trials=4", "optimizer.lr=tag(log,interval(1e-4,1e-1))"]
SCENARIOS: dict[str, Scenario] = {
    "single": Scenario(["train", *SMALL, "model.dropout=0.3", "model.num_layers=2", "average_weights=0.9"], runs),
    "seeds": Scenario(["train", *SMALL, "seeds=3"], runs),
    "joblib": Scenario(["train", "-m", *SMALL, "launcher=joblib", "seed=0,1,2"], runs),
    "optuna": Scenario(["train", *SEARCH, *SMALL, "launcher=joblib"], trials),
    "ddp": Scenario(["train", *SMALL, "accelerator=ddp", "trainer.accelerator=cpu", "trainer.devices=2"], runs),
    "evaluate": Scenario(["evaluate", "run=RUN"], file_named("evaluation-best.json"), ["train", *SMALL], False),
    "compare": Scenario(["compare", "runs=outputs"], file_named("table.csv"), ["train", *SMALL], False),
    "analyse": Scenario(
        ["analyse", "run=RUN", "steps=[record,split,score]", "methods=[greedy]"],
        file_named("scores*"),
        ["train", *SPATIAL],
        False,
    ),
}
