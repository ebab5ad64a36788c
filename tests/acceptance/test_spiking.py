"""A run with random spikes: what it draws and counts, and that a second test of it finds the same."""

import json
from pathlib import Path

from tests.acceptance.conftest import Command, the_run


def test_random_spikes_are_the_same_at_every_test_of_a_run(cli: Command, workplace: Path) -> None:
    trained = cli(
        "train",
        "model=spiking_recurrent",
        "model.hidden_size=8",
        "model.layer_arguments.spike_fn=sigmoid4x",
        "+model.layer_arguments.quant_fn=bernoulli",
        "task=copy_first_input",
        "task.length=6",
        "task.train_size=60",
        "task.val_size=20",
        "task.test_size=50",
        "task.batch_size=20",
        "trainer.max_epochs=1",
        "logger=none",
    )
    assert trained.code == 0, trained.error
    folder = the_run(workplace)
    result = folder.result()
    assert result is not None
    assert 0 < result["metrics"]["test/spikes_per_step"] < 1
    assert result["metrics"]["test/nanojoules"] > 0
    assert {file.stem for file in folder.figures.glob("*.png")} >= {"raster", "membranes", "parameters"}
    evaluated = cli("evaluate", f"run={folder.path}")
    assert evaluated.code == 0, evaluated.error
    again = json.loads((folder.path / "evaluation-best.json").read_text())
    assert again["tests"] == result["tests"]
