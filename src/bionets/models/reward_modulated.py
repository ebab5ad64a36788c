"""Networks that learn only from rewards, which reinforce the activity shortly before them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from bionets.layers.plastic import LIF, MSTDPET, Input, LateralInhibition, Linear, LinearDynamics, Network
from bionets.models.actor_critic import Critic, PlaceCells
from bionets.models.checks import require_positive
from bionets.models.model import OptimizerFactory
from bionets.models.plastic import PlasticModel
from bionets.tasks.spec import Kind, TaskSpec

HIDDEN_WEIGHTS, OUTPUT_WEIGHTS = 0.1, 1.0  # largest initial weights
REWARD_WINDOW = 50  # number of samples of the moving average of the reward


class RewardModulatedModel(PlasticModel):
    """Spikes → competing hidden neurons → competing output neurons, one for each class or action. The prediction is the
    output neuron that fires most. All synapses learn by `MSTDPET`, reward-modulated STDP with an eligibility trace.

    After a whole sequence of spikes, the reward is +1 for the right class and −1 for a wrong class, minus the expected
    reward (a moving average). The network does not get the class itself.

    In a control task, place cells encode the observation for ``steps_per_action`` steps, with about ``activity`` spikes
    in total per step. They drive the output neurons directly, without hidden neurons. The reward is the
    temporal-difference error δ of a critic (Frémaux, Sprekeler and Gerstner, "Reinforcement learning using a continuous
    time actor-critic framework with spiking neurons", 2013; here the critic does not spike). The episodes of a batch
    are played in parallel.

    Args:
        spec: the spec of the task: sequences of spikes, or control.
        hidden_size: number of hidden neurons, for sequences.
        hidden_rate, output_rate: learning rates of the synapses to the hidden and to the output neurons.
        trace_steps: time constant of the spike traces, in steps.
        eligibility_decay: share of the eligibility trace that remains after a step.
        place_cells: for control, number of place cells along each dimension of an observation; None for 5.
        place_width: width of a place cell, in distances between neighbours.
        steps_per_action: for control, number of steps of the network for each action.
        activity: for control, about the number of spikes of all place cells in a step.
        discount: for control, discount factor γ of the `Critic`.
        critic_rate: for control, learning rate of the `Critic`.
        critic_decay: for control, share λ of the eligibility traces of the `Critic`.
        initial_value: for control, initial value of the weights of the `Critic`.
        optimizer: not used.

    Raises:
        ValueError: the kind of task is not supported, or a number is out of range.
    """

    accepts: ClassVar[frozenset[Kind]] = frozenset({"sequence_to_class", "control"})
    expected: Tensor

    def __init__(
        self,
        spec: TaskSpec,
        hidden_size: int = 100,
        hidden_rate: float = 1e-2,
        output_rate: float = 0.1,
        trace_steps: float = 10.0,
        eligibility_decay: float = 0.95,
        place_cells: Sequence[int] | None = None,
        place_width: float = 0.6,
        steps_per_action: int = 5,
        activity: float = 6.4,
        discount: float = 0.98,
        critic_rate: float = 1.0,
        critic_decay: float = 0.8,
        initial_value: float = 1.0,
        optimizer: OptimizerFactory | None = None,
    ) -> None:
        super().__init__(spec, optimizer)
        require_positive(hidden_size=hidden_size, steps_per_action=steps_per_action)
        if not trace_steps > 0 or not 0 <= eligibility_decay < 1:
            raise ValueError("model.trace_steps must be above 0, and eligibility_decay between 0 and 1")
        if not activity > 0:
            raise ValueError(f"model.activity must be above 0, got {activity}: without spikes, actions are random")
        self.steps_per_action, self.activity = steps_per_action, activity
        self.register_buffer("expected", torch.tensor(0.0))
        trace = LinearDynamics(math.exp(-1 / trace_steps))
        inputs, groups = spec.input_size, []
        if spec.kind == "control":
            assert spec.bounds is not None
            self.places = PlaceCells(spec.bounds, place_cells or [5] * spec.input_size, place_width)
            self.critic = Critic(self.places.size, critic_rate, discount, critic_decay, initial_value)
            inputs = self.places.size
        else:
            groups.append(("hidden", hidden_size, HIDDEN_WEIGHTS, hidden_rate))
        groups.append(("output", spec.output_size, OUTPUT_WEIGHTS, output_rate))
        self.network = competing_layers(inputs, groups, trace, eligibility_decay)

    @classmethod
    def fits(cls, spec: TaskSpec) -> bool:
        """Whether the task is control, or has sequences of spikes, each of one class."""
        return super().fits(spec) and (spec.kind == "control" or (spec.spikes and spec.answers == 1))

    def forward(self, x: Tensor) -> Tensor:
        """The spike counts of the output neurons ``[B, classes]``, or the returns of episodes ``[B]``."""
        return self.play(x) if self.spec.kind == "control" else self.count(x)

    def training_step(self, batch: tuple[Tensor, ...], batch_index: int) -> Tensor:
        x, target = batch
        prediction = self(x)
        if self.spec.kind != "control":
            self.learn(self.choose(prediction) == target)
        self.count_step()
        return self.task.loss(prediction, target)

    def count(self, x: Tensor) -> Tensor:
        """The spikes of the output neurons for sequences ``[T, B, input_size]``, from a network at rest."""
        self.network.reset()
        return self.network(x > 0)["output"].sum(0).float()

    def draw(self, directory: Path, title: str, x: Tensor) -> list[Path]:
        """Draw the network while it learns from the first sequence, with a reward; nothing in a control task."""
        if self.spec.kind == "control":
            return []
        return [self.draw_presentation(directory, title, x[:, :1] > 0, reward=1.0)]

    def choose(self, counts: Tensor) -> Tensor:
        """The output neuron that fired most, ``[B]``; ties are broken at random."""
        return (counts + torch.rand(counts.shape, generator=self.random).to(counts) / 2).argmax(1)

    def learn(self, right: Tensor) -> None:
        """Apply the reward for the last sample."""
        reward = 2.0 * right - 1
        self.network.reinforce(reward - self.expected)
        self.network.normalise()
        self.expected += min(1.0, len(right) / REWARD_WINDOW) * (reward.mean() - self.expected)

    def play(self, seeds: Tensor) -> Tensor:
        """Play an episode from each seed, in parallel, and return their returns. In training mode, the model learns."""
        environments = [self.task.environment() for _ in seeds]
        observations = [env.reset(seed=int(seed))[0] for env, seed in zip(environments, seeds, strict=True)]
        running = torch.ones(len(seeds), dtype=torch.bool, device=self.device)
        returns = torch.zeros(len(seeds), device=self.device)
        self.network.reset()
        self.critic.reset()
        cells = self.places(self._tensor(observations))
        while running.any():
            actions = self.act(cells * running.unsqueeze(1)).tolist()
            rewards, ended = [0.0] * len(seeds), [True] * len(seeds)
            played = running.tolist()
            for n in (n for n, still in enumerate(played) if still):
                observations[n], reward, ended[n], out_of_time, _ = environments[n].step(actions[n])
                rewards[n] = float(reward)
                played[n] = not (ended[n] or out_of_time)
            after = self.places(self._tensor(observations))
            reward = self._tensor(rewards)
            returns += reward
            if self.training:
                error = self.critic.error(cells, reward, after, torch.tensor(ended, device=self.device)) * running
                self.network.reinforce(error)
                self.critic.learn(cells, error)
            cells, running = after, torch.tensor(played, device=self.device)
        for environment in environments:
            environment.close()
        return returns

    def act(self, cells: Tensor) -> Tensor:
        """The actions for the activity of the place cells ``[B, size]``; if it is all zero, the episode has ended."""
        chances = self.activity * cells
        draws = torch.rand((self.steps_per_action, *cells.shape), generator=self.random)
        return self.choose(self.network(draws.to(cells) < chances)["output"].sum(0).float())

    def _tensor(self, values: Sequence[object]) -> Tensor:
        return torch.stack([torch.as_tensor(value, dtype=torch.float32) for value in values]).to(self.device)


def competing_layers(
    inputs: int, groups: list[tuple[str, int, float, float]], trace: LinearDynamics, decay: float
) -> Network:
    """Fully connected layers with lateral inhibition. The weights of a hidden neuron are normalised to their initial
    mean sum, so that no neuron always wins.

    groups: name, size, largest initial weight and learning rate of each layer.
    """
    network = Network()
    network.add("input", Input(inputs, trace=trace))
    source, source_size, learnt = "input", inputs, []
    for name, size, largest, rate in groups:
        network.add(name, LIF(size, LinearDynamics(math.exp(-1 / 20)), refractory=1, trace=trace))
        weight = largest * torch.rand(source_size, size)
        norm = largest / 2 * source_size if name == "hidden" else None
        connection = network.connect(source, name, Linear(source_size, size, weight=weight, norm=norm))
        network.connect(name, name, LateralInhibition(size, -3.0))
        learnt.append({"connections": connection, "rate": rate})
        source, source_size = name, size
    network.add_rule(MSTDPET(learnt, depression=0.0, decay=decay))
    return network
