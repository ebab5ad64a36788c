"""Learning from reward alone: place cells and critic by their equations, and that reward makes a difference."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from bionets.models import RewardModulatedModel
from bionets.models.actor_critic import Critic, PlaceCells
from bionets.tasks import Boolean, Control, TaskSpec

SPIKES = TaskSpec("sequence_to_class", input_size=4, output_size=2, steps=30, spikes=True)


def small() -> RewardModulatedModel:
    torch.manual_seed(0)
    model = RewardModulatedModel(SPIKES, hidden_size=10)
    connection = model.network.connections["input_hidden"]
    connection.weight *= 5  # so that so few inputs drive them
    connection.norm *= 5
    model.network.normalise()
    return model


def which_half(samples: int) -> tuple[Tensor, Tensor]:
    """Spikes of the first or of the last two inputs."""
    label = torch.arange(samples) % 2
    chance = torch.tensor([[0.4, 0.4, 0.0, 0.0], [0.0, 0.0, 0.4, 0.4]])[label]
    return (torch.rand(30, samples, 4) < chance).float(), label


def test_reward_trains_a_model_to_give_the_right_answer() -> None:
    model = small()
    for _ in range(120):
        x, label = which_half(10)
        model.learn(model.choose(model(x)) == label)
    model.eval()
    x, label = which_half(100)
    assert (model(x).argmax(1) == label).float().mean() > 0.8
    assert model.expected > 0.3


def test_an_expected_reward_does_not_change_the_weights() -> None:
    model = small()
    model.expected.fill_(1.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, _ = which_half(10)
    model(x)
    model.learn(torch.ones(10, dtype=torch.bool))
    torch.testing.assert_close(dict(model.state_dict()), before)
    model(x)
    model.learn(torch.zeros(10, dtype=torch.bool))
    learnt = "network.connections.hidden_output.weight"
    assert not torch.equal(model.state_dict()[learnt], before[learnt])


def test_the_expected_reward_is_a_moving_average_over_fifty_samples() -> None:
    model = small()
    for samples, reward, expected in ((10, 1, 0.2), (5, 0, 0.9 * 0.2 - 0.1), (100, 1, 1.0)):
        model(which_half(samples)[0])
        model.learn(torch.full((samples,), bool(reward)))
        assert float(model.expected) == pytest.approx(expected)


@pytest.mark.parametrize("bounds", [(-float("inf"), float("inf")), (-3.4e38, 3.4e38)])
def test_bounds_that_are_not_finite_are_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"task\.bounds must be finite"):
        PlaceCells([(-1, 1), bounds], [3, 2])


def test_place_cells_are_normalised_gaussians_on_a_grid() -> None:
    cells = PlaceCells([(-1, 1), (0, 4)], [3, 2], width=0.5)
    assert cells.centres.tolist() == [list(centre) for centre in itertools.product([-1.0, 0.0, 1.0], [0.0, 4.0])]
    s = torch.tensor([[0.2, 1.0]])
    raw = [math.exp(-(((0.2 - a) / 0.5) ** 2 + ((1.0 - b) / 2.0) ** 2) / 2) for a, b in cells.centres.tolist()]
    torch.testing.assert_close(cells(s), torch.tensor([raw]) / sum(raw))


def test_the_critic_learns_discounted_sums_of_rewards() -> None:
    critic = Critic(3, rate=0.1, discount=0.5, decay=0.8, initial_value=0.0)
    places, nowhere = torch.eye(3), torch.zeros(1, 3)
    for _ in range(300):  # 0 -> 1 -> 2 -> the end, rewarded by 4 at the last step
        critic.reset()
        for n in range(3):
            last = n == 2
            after = nowhere if last else places[n + 1 : n + 2]
            here = places[n : n + 1]
            error = critic.error(here, torch.tensor([4.0 * last]), after, torch.tensor([last]))
            critic.learn(here, error)
    torch.testing.assert_close(critic.weight, 0.5 * torch.tensor([1.0, 2.0, 4.0]), atol=1e-3, rtol=0)


def test_the_eligibility_of_a_place_decays_by_discount_and_lambda() -> None:
    critic = Critic(2, rate=1.0, discount=0.5, decay=0.8, initial_value=0.0)
    first, second = torch.eye(2).split(1)
    critic.learn(first, torch.zeros(1))
    critic.learn(second, torch.ones(1))
    torch.testing.assert_close(critic.weight, torch.tensor([0.5 * 0.8, 1.0]))


def test_the_critic_learns_from_the_mean_over_the_batch() -> None:
    critic = Critic(2, rate=1.0, discount=0.5, decay=0.8, initial_value=0.0)
    critic.learn(torch.eye(2), torch.tensor([1.0, 3.0]))
    assert critic.weight.tolist() == [0.5, 1.5]


class Scripted:
    """An environment with the reward 1 in every step. Seed 0: ends in the first step, seed 1: out of time in the first
    step, seed 2: ends in the second step."""

    def reset(self, seed: int) -> tuple[list[float], dict[str, object]]:
        self.seed, self.steps = seed, 0
        return [0.5], {}

    def step(self, action: int) -> tuple[list[float], float, bool, bool, dict[str, object]]:
        self.steps += 1
        ended = (self.seed, self.steps) in ((0, 1), (2, 2))
        return [0.5], 1.0, ended, self.seed == 1, {}

    def close(self) -> None: ...


def test_an_episode_out_of_time_has_a_future_value_and_one_that_is_over_learns_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = RewardModulatedModel(TaskSpec("control", 1, 2, bounds=((0.0, 1.0),)), discount=0.75, initial_value=1.0)
    errors: list[Tensor] = []
    monkeypatch.setattr(RewardModulatedModel, "task", SimpleNamespace(environment=Scripted))
    monkeypatch.setattr(model.critic, "learn", lambda cells, error: errors.append(error))
    assert model.train().play(torch.arange(3)).tolist() == [1.0, 1.0, 2.0]
    # V is 1 everywhere: δ = 0.25 · 1 + 0.75 · V' − 1 is 0 with a future, and −0.75 without.
    torch.testing.assert_close(torch.stack(errors), torch.tensor([[-0.75, 0.0, 0.0], [0.0, 0.0, -0.75]]))


def test_the_initial_value_may_be_an_integer() -> None:
    critic = Critic(2, rate=1, discount=0.5, decay=1, initial_value=1)
    cells = torch.tensor([[0.25, 0.75]])
    critic.learn(cells, critic.error(cells, torch.ones(1), cells, torch.tensor([True])))
    torch.testing.assert_close(critic.weight, torch.tensor([1 - 0.5 * 0.25, 1 - 0.5 * 0.75]))


def test_batched_episodes_have_the_returns_of_single_episodes_with_their_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Control(steps=15, train_size=4, val_size=4, test_size=4, batch_size=4, epochs=1)
    torch.manual_seed(0)
    model = RewardModulatedModel(task.spec, place_cells=[2, 2, 3, 3]).eval()
    monkeypatch.setattr(RewardModulatedModel, "task", task)
    monkeypatch.setattr(model, "act", lambda cells: torch.tensor([0, 1, 0, 1])[: len(cells)])
    returns = model.play(torch.tensor([3, 4, 5, 6]))
    for seed, action, found in zip((3, 4, 5, 6), (0, 1, 0, 1), returns.tolist(), strict=True):
        environment, steps, over = task.environment(), 0, False
        environment.reset(seed=seed)
        while not over:
            _, _, ended, out_of_time, _ = environment.step(action)
            steps, over = steps + 1, ended or out_of_time
        assert found == steps


def test_playing_changes_the_model_only_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Control(steps=30, train_size=4, val_size=4, test_size=4, batch_size=4, epochs=1)
    torch.manual_seed(0)
    model = RewardModulatedModel(task.spec, place_cells=[2, 2, 3, 3])
    monkeypatch.setattr(RewardModulatedModel, "task", task)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.eval().play(torch.arange(2))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.train().play(torch.arange(2))
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"network.connections.input_output.weight", "critic.weight"}


def test_a_reward_modulated_model_learns_xor() -> None:
    torch.manual_seed(0)
    task = Boolean("xor", train_size=3_000, val_size=400, test_size=4, batch_size=10, epochs=1)
    model = RewardModulatedModel(task.spec)
    for x, label in task.train_batches(0):
        model.learn(model.choose(model(x)) == label)
    model.eval()
    right = [model(x).argmax(1) == label for x, label in task.val_dataloader()]
    assert torch.cat(right).float().mean() > 0.9


@pytest.mark.parametrize(
    ("spec", "keys", "message"),
    [
        (TaskSpec("sequence_to_class", 4, 2, steps=8), {}, "does not fit"),
        (TaskSpec("image_to_class", 4, 2, image_shape=(1, 2, 2)), {}, "does not fit"),
        (TaskSpec("sequence_to_class", 4, 4, steps=8, spikes=True, answers=2), {}, "does not fit"),
        (SPIKES, {"hidden_size": 0}, "model.hidden_size"),
        (SPIKES, {"eligibility_decay": 1.0}, "eligibility_decay"),
        (SPIKES, {"trace_steps": math.nan}, "model.trace_steps"),
        (TaskSpec("control", 1, 2, bounds=((0.0, 1.0),)), {"place_width": math.nan}, "model.place_width"),
        (TaskSpec("control", 1, 2, bounds=((0.0, 1.0),)), {"place_cells": [3, 3]}, "model.place_cells"),
        (TaskSpec("control", 1, 2, bounds=((0.0, 1.0),)), {"activity": 0.0}, "model.activity"),
        (TaskSpec("control", 1, 2, bounds=((0.0, 1.0),)), {"activity": math.nan}, "model.activity"),
        (TaskSpec("control", 1, 2, bounds=((0.0, 1.0),)), {"discount": 1.0}, "model.discount"),
        (TaskSpec("control", 1, 2, bounds=((0.0, 1.0),)), {"discount": -0.1}, "model.discount"),
        (TaskSpec("control", 1, 2, bounds=((0.0, 1.0),)), {"critic_decay": -0.1}, "critic_decay"),
    ],
)
def test_incompatible_tasks_and_invalid_options_are_refused(
    spec: TaskSpec, keys: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        RewardModulatedModel(spec, **keys)
