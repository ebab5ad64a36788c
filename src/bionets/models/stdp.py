"""Unsupervised learning of digits by competing neurons with spike-timing-dependent plasticity."""

import math
from itertools import islice
from pathlib import Path
from typing import ClassVar

import torch
from torch import Generator, Tensor

from bionets.layers.plastic import (
    LIF,
    AdaptiveLIF,
    Input,
    LateralInhibition,
    Linear,
    LinearDynamics,
    Network,
    OneToOne,
    PairSTDP,
)
from bionets.models.checks import InterfaceError, require_positive
from bionets.models.model import OptimizerFactory
from bionets.models.plastic import EVALUATION_SEED, PlasticModel
from bionets.models.votes import Votes
from bionets.tasks.spec import Kind, TaskSpec

STEPS_PER_SECOND = 1000
RATE_FACTORS = (1.5, 2.0, 2.5, 3.0)  # of the brightness, at each repetition of a sample that excites too few neurons
VOTE_WINDOW = 10_000  # number of samples of the votes while the weights still change


class STDPModel(PlasticModel):
    """The network of Diehl and Cook (2015): every input is connected to all excitatory neurons by plastic synapses.
    Each excitatory neuron excites its own inhibitory neuron, which inhibits all other excitatory neurons.

    Samples are presented one at a time, for ``steps`` steps of 1 ms, to a network at rest with normalised weights. An
    image is encoded as Poisson spikes, with up to ``max_rate`` spikes per second for a white pixel. If there are fewer
    than ``min_spikes`` excitatory spikes, the image is presented again with a higher brightness. A sequence of spikes
    is presented unchanged, where several spikes in one step are one spike. Labels are not used in learning.

    The prediction is a vote of the neurons (see `Votes`), based on their responses to ``label_size`` labelled training
    samples, measured before each validation. The training loss is that of a vote that is updated during learning.

    Args:
        spec: the spec of the task: images, or sequences of spikes.
        hidden_size: number of excitatory neurons.
        steps: for images, number of steps of 1 ms.
        max_rate: for images, firing rate of a white pixel, in spikes per second.
        min_spikes: for images, number of excitatory spikes below which an image is presented again, brighter.
        inhibition: decrease of the voltage of all other neurons by a spike, in mV.
        mean_weight: mean of the weights of each neuron after normalisation.
        potentiation, depression: weight changes by a postsynaptic and a presynaptic spike, times the trace (of 20 ms)
            of the other neuron.
        threshold_increase: increase of the threshold of a neuron by its spike, in mV. The threshold decays with a time
            constant of 10⁷ ms (in float32, 0.6 to 1.3 · 10⁷ ms by rounding), so that neurons that fire more often are
            harder to excite.
        vote: ``proportion`` or ``assigned``.
        label_size: number of training samples with which the neurons get their labels, rounded up to whole batches.
        presentations: for images, number of presentations of each image in validation and test, with other Poisson
            spikes, whose counts are added.
        optimizer: not used.

    Raises:
        ValueError: the kind of task is not supported, or a number is out of range.
    """

    accepts: ClassVar[frozenset[Kind]] = frozenset({"image_to_class", "sequence_to_class"})

    def __init__(
        self,
        spec: TaskSpec,
        hidden_size: int = 400,
        steps: int = 350,
        max_rate: float = 63.75,
        min_spikes: int = 5,
        inhibition: float = 250.0,
        mean_weight: float = 0.1,
        potentiation: float = 1e-2,
        depression: float = 1e-4,
        threshold_increase: float = 0.05,
        vote: str = "proportion",
        label_size: int = 10_000,
        presentations: int = 1,
        optimizer: OptimizerFactory | None = None,
    ) -> None:
        super().__init__(spec, optimizer)
        require_positive(hidden_size=hidden_size, steps=steps, label_size=label_size, presentations=presentations)
        if presentations > 1 and spec.kind == "sequence_to_class":
            raise ValueError("model.presentations is for images: a sequence of spikes is the same every time")
        if not 0 < mean_weight < 1:
            raise ValueError(f"model.mean_weight must lie between 0 and 1, got {mean_weight}")
        if not 0 < max_rate * RATE_FACTORS[-1] <= STEPS_PER_SECOND:
            most = STEPS_PER_SECOND / RATE_FACTORS[-1]
            raise ValueError(f"model.max_rate must lie between 0 and {most:.0f} spikes a second, got {max_rate}")
        self.steps = steps
        self.chance = max_rate / STEPS_PER_SECOND
        self.min_spikes = min_spikes
        self.label_size = label_size
        self.presentations = presentations
        self.network = competing_network(
            spec.input_size, hidden_size, inhibition, mean_weight, potentiation, depression, threshold_increase
        )
        self.votes = Votes(hidden_size, spec.output_size, vote)

    @classmethod
    def fits(cls, spec: TaskSpec) -> bool:
        """Whether the task has images, or sequences of spikes, each of one class."""
        return super().fits(spec) and spec.answers == 1 and (spec.kind == "image_to_class" or spec.spikes)

    @property
    def weight(self) -> Tensor:
        """The weights of each excitatory neuron, ``[hidden_size, input_size]``."""
        connection = self.network.connections["input_excitatory"]
        assert isinstance(connection, Linear)
        return connection.weight.T

    def forward(self, x: Tensor) -> Tensor:
        counts = torch.stack([self.counts(x) for _ in range(self.presentations)])
        return self.votes(counts.sum(0))

    def training_step(self, batch: tuple[Tensor, ...], batch_index: int) -> Tensor:
        """Learn from the samples one after the other; labels are used only to measure the accuracy."""
        x, target = batch
        batch_dim = self.spec.batch_dims[0]
        counts = torch.cat([self.counts(sample) for sample in x.split(1, dim=batch_dim)])
        loss = self.task.loss(self.votes(counts), target)
        self.votes.forget(keep=1 - min(1.0, len(target) / VOTE_WINDOW))
        self.votes.observe(counts, target)
        self.count_step()
        return loss

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        if self.trainer.state.fn == "fit":
            self.assign_labels()
            self.random = Generator().manual_seed(EVALUATION_SEED)  # the labels have drawn numbers from it

    def assign_labels(self) -> None:
        """Update the votes from training samples, with the current weights."""
        self.votes.forget()
        batches = self.task.train_batches(self.current_epoch)
        for x, target in islice(batches, math.ceil(self.label_size / self.task.batch_size)):
            self.votes.observe(self.counts(x.to(self.device)), target.to(self.device))

    def counts(self, x: Tensor) -> Tensor:
        """Present samples in parallel, and return the spike counts of the excitatory neurons, ``[B, hidden_size]``.

        In training mode the network learns from them.
        """
        if self.spec.kind == "sequence_to_class":
            return self._answer(x > 0)
        pixels = x.flatten(1)
        require_pixels(pixels)
        counts = self._answer(poisson_spikes(pixels * self.chance, self.steps, self.random))
        for factor in RATE_FACTORS:
            (silent,) = torch.where(counts.sum(1) < self.min_spikes)
            if not len(silent):
                break
            brighter = poisson_spikes(pixels[silent] * (self.chance * factor), self.steps, self.random)
            counts[silent] = self._answer(brighter)
        return counts

    def draw(self, directory: Path, title: str, x: Tensor) -> list[Path]:
        """Draw the network while it learns from the first sample and, if the inputs are images, the weights of each
        excitatory neuron as an image.
        """
        from bionets.analysis.filters import draw_filters

        first = x.narrow(self.spec.batch_dims[0], 0, 1)
        if self.spec.kind == "sequence_to_class":
            spikes = first > 0
        else:
            random = Generator().manual_seed(EVALUATION_SEED)
            spikes = poisson_spikes(first.flatten(1) * self.chance, self.steps, random)
        files = [self.draw_presentation(directory, title, spikes)]
        shape = self.spec.image_shape or self.spec.step_shape
        if shape is not None:
            files.append(draw_filters(directory / "filters.png", self.weight, shape, self.votes.assigned, title))
        return files

    def _answer(self, spikes: Tensor) -> Tensor:
        self.network.reset()
        if self.training:
            self.network.normalise()
        return self.network(spikes)["excitatory"].sum(0)


def require_pixels(pixels: Tensor) -> None:
    """Raise InterfaceError unless all pixels lie between 0 and 1, so that they can be converted to firing rates."""
    if not pixels.numel():
        return
    lowest, highest = pixels.aminmax()
    if not (lowest >= 0 and highest <= 1):
        raise InterfaceError(
            f"model=stdp needs pixels from 0 (black) to 1 (white), got {float(lowest):.4g} to {float(highest):.4g}: "
            "scale the images, or leave out options that shift their values (task.centred, task.standardise)"
        )


def poisson_spikes(chances: Tensor, steps: int, random: Generator | None) -> Tensor:
    """Spikes ``[steps, B, N]``, bool, with the probabilities ``[B, N]`` at each step; always drawn on the CPU."""
    (active,) = torch.where((chances > 0).any(0))
    spikes = torch.zeros((steps, *chances.shape), dtype=torch.bool, device=chances.device)
    draws = torch.rand((steps, len(chances), len(active)), generator=random)
    spikes[:, :, active] = draws.to(chances.device) < chances[:, active]
    return spikes


def competing_network(
    inputs: int,
    neurons: int,
    inhibition: float,
    mean_weight: float,
    potentiation: float,
    depression: float,
    threshold_increase: float,
) -> Network:
    """The two layers of Diehl and Cook in steps of 1 ms, with the published time constants and voltages (mV).

    Synapses are current-based, while the original synapses are conductance-based. An inhibitory spike acts in the next
    step.
    """

    def fading(time_constant: float, scale: float = 1.0) -> LinearDynamics:
        return LinearDynamics(math.exp(-1 / time_constant), scale)

    network = Network()
    network.add("input", Input(inputs, trace=fading(20), nearest_spike=True))
    excitatory = AdaptiveLIF(
        neurons,
        fading(100),
        fading(1e7, scale=threshold_increase),
        homeostasis=True,
        rest=-65.0,
        threshold=-52.0,
        refractory=5,
        trace=fading(20),
        nearest_spike=True,
    )
    network.add("excitatory", excitatory)
    network.add("inhibitory", LIF(neurons, fading(10), rest=-60.0, reset=-45.0, threshold=-40.0, refractory=2))
    weight = (3 * mean_weight * torch.rand(inputs, neurons)).clamp(max=1)
    learnt = network.connect("input", "excitatory", Linear(inputs, neurons, weight=weight, norm=mean_weight * inputs))
    network.connect("excitatory", "inhibitory", OneToOne(neurons, 22.5))
    network.connect("inhibitory", "excitatory", LateralInhibition(neurons, -inhibition))
    network.add_rule(PairSTDP([learnt], potentiation=potentiation, depression=depression))
    return network
