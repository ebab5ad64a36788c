"""Runs of spiking networks: reproducible random spikes, spike counts and energy."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

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


def test_spikes_and_energy_are_means_over_the_test_set(cli: Command, workplace: Path) -> None:
    """For any batch size; some of the batches have no spikes."""
    x = torch.zeros(40, 5, 2)
    x[20:] = 50
    np.savez("data.npz", x=x, y=np.arange(40) % 2)
    found = []
    for size in (4, 40):
        options = [
            "model=spiking_recurrent",
            "model.hidden_size=8",
            "task=custom",
            "task.data=data.npz",
            "task.test_share=0.5",
        ]
        options += [f"task.batch_size={size}", "optimizer.lr=1e-9", "trainer.max_epochs=1", "logger=none"]
        assert cli("train", *options, "callbacks=quiet", f"name=batches_of_{size}").code == 0
        result = the_run(next(workplace.glob(f"outputs/*/*/batches_of_{size}-*"))).result()
        assert result is not None
        found.append([result["metrics"][f"test/{name}"] for name in ("spikes_per_step", "nanojoules")])
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert found[0][0] > 0
