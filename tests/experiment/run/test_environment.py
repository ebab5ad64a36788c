"""The description of the environment of a run."""

import pytest
import torch

from bionets.experiment.run import environment


def test_the_device_is_that_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a GPU of the machine that the run does not use."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"GPU {device.index}")
    assert environment.describe(torch.device("cuda", 1))["device"] == "GPU 1"
    assert "GPU" not in environment.describe(torch.device("cpu"))["device"]
