"""The common checkpoint of seeds of which some ended early."""

from typing import Any

import torch

from bionets.experiment.seeds.checkpoints import stack_seeds


def checkpoint(epoch: int, value: float) -> dict[str, Any]:
    average = {"step": torch.tensor(epoch + 1.0), "exp_avg": torch.tensor([value])}
    return {
        "epoch": epoch,
        "state_dict": {"weight": torch.tensor([-value])},
        "optimizer_states": [{"state": {0: average}, "param_groups": [{"lr": 1 / (epoch + 1)}]}],
        "callbacks": {"Record": {"seconds": value}},
    }


def test_the_step_and_the_learning_rate_are_those_of_the_seeds_that_go_on() -> None:
    together = stack_seeds([checkpoint(1, 2.0), checkpoint(3, 5.0), checkpoint(3, 7.0)])
    (optimizer,) = together["optimizer_states"]
    assert together["epoch"] == 3 and optimizer["param_groups"] == [{"lr": 0.25}]
    assert optimizer["state"][0]["step"] == 4
    assert optimizer["state"][0]["exp_avg"].tolist() == [[2.0], [5.0], [7.0]]
    assert together["state_dict"]["weight"].tolist() == [[-2.0], [-5.0], [-7.0]]
