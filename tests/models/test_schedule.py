"""The learning rate over a run."""

import pytest
import torch

from bionets.models import cosine_schedule


def rates(steps: int, **shares: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = cosine_schedule(optimizer, steps, **shares)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_the_learning_rate_falls_along_a_cosine() -> None:
    found = rates(101, final=0.1)
    assert found[0] == 0.5 and found[-1] == pytest.approx(0.05, abs=1e-3)
    assert found[50] == pytest.approx(0.5 * (0.1 + 0.9 / 2), rel=0.02)
    assert found == sorted(found, reverse=True)


def test_the_learning_rate_rises_during_the_warm_up() -> None:
    found = rates(100, warmup=0.2)
    assert found[:21] == sorted(found[:21]) and max(found) == pytest.approx(0.5)
    assert found[9] == pytest.approx(0.5 * 10 / 21)
    assert found[60] == pytest.approx(0.25)  # the middle of the 80 steps of the cosine


def test_a_warm_up_share_above_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"schedule\.warmup"):
        rates(3, warmup=2.0)
