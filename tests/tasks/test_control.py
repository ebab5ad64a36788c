"""Control tasks: episodes by their seeds, what counts as solved, and what is refused."""

from types import SimpleNamespace

import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary

from bionets.tasks import Control


def make(**keys: object) -> Control:
    sizes = {"train_size": 6, "val_size": 3, "test_size": 4, "batch_size": 2, "epochs": 2}
    return Control(**{**sizes, **keys})


def test_the_environment_matches_the_spec() -> None:
    task = make(steps=3)
    environment = task.environment()
    observation, _ = environment.reset(seed=0)
    assert len(observation) == task.spec.input_size == len(task.spec.bounds) == 4
    assert task.spec.output_size == 2 and task.spec.batch_dims == (0, 0)
    for step in (1, 2, 3):
        _, reward, ended, out_of_time, _ = environment.step(0)
        assert reward == 1 and not ended and out_of_time == (step == 3)


def test_every_epoch_and_every_seed_has_its_own_episodes() -> None:
    def seeds(epoch: int, **keys: object) -> list[int]:
        return torch.cat([x for x, _ in make(**keys).train_batches(epoch)]).tolist()

    assert seeds(0) == seeds(0) and len(set(seeds(0))) == 6
    assert not set(seeds(0)) & (set(seeds(1)) | set(seeds(0, seed=1)))


def test_loss_and_metrics_follow_from_the_returns() -> None:
    task = make(solved_from=100.0)
    returns, nothing = torch.tensor([500.0, 100.0]), torch.zeros(2)
    assert float(task.loss(returns, nothing)) == pytest.approx(0.4)
    metrics = task.metrics()
    metrics.update(nothing, nothing)  # both metrics are 0
    metrics.update(returns, nothing)
    assert {name: float(value) for name, value in metrics.compute().items()} == {"return": 150.0, "solved": 0.5}


def test_the_loss_falls_with_the_return_also_if_returns_are_negative() -> None:
    task, nothing = make(best_return=-80.0), torch.zeros(1)
    assert float(task.loss(torch.tensor([-80.0]), nothing)) == 0.0
    assert float(task.loss(torch.tensor([-500.0]), nothing)) == pytest.approx(5.25)


@pytest.mark.parametrize("actions", [Discrete(2, start=1), MultiBinary(2)])
def test_actions_that_are_not_numbered_from_0_are_refused(
    monkeypatch: pytest.MonkeyPatch, actions: Discrete | MultiBinary
) -> None:
    environment = SimpleNamespace(observation_space=Box(-1.0, 1.0, (4,)), action_space=actions)
    monkeypatch.setattr(Control, "environment", lambda task: environment)
    with pytest.raises(ValueError, match="number its actions from 0"):
        make()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"environment_name": "CartPole-v77"}, "task.environment_name=CartPole-v77"),
        ({"environment_name": "no_module:Pole-v0"}, "task.environment_name=no_module:Pole-v0 cannot be made"),
        ({"environment_name": "Pendulum-v1"}, "number its actions"),
        ({"bounds": [[-1, 1]]}, "task.bounds"),
        ({"bounds": [[-1, 1]] * 3 + [[1, -1]]}, "task.bounds"),
        ({"bounds": [[-1, 1]] * 3 + [[-1, 0, 1]]}, "task.bounds"),
        ({"steps": 0}, "task.steps"),
        ({"best_return": 0.0}, "task.best_return must not be 0"),
    ],
)
def test_invalid_options_are_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**keys)
