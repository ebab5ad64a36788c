"""Recurrent spiking networks."""

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from bionets.layers import DistanceDelays, anneal_delays
from bionets.layers.spiking import FullyRecurrent, fluctuation_driven_
from bionets.models.checks import look_up, require_positive
from bionets.models.optimization import share_of_epochs
from bionets.models.spiking import SpikingModel
from bionets.tasks.spec import Kind, TaskSpec

INITIALISATIONS = {"fluctuation_driven": fluctuation_driven_}


class SpikingRecurrentModel(SpikingModel):
    """x ``[T, B, input_size]`` -> layers of spiking neurons, each after a linear layer -> outputs, after the last step
    or at every step, depending on the task.

    Args:
        hidden_size, num_layers: number of neurons in a layer, and number of layers.
        recurrent: whether the neurons of a layer also receive the last spikes of all its neurons, through a weight
            matrix. (A neuron of a layer with an R in its name receives only its own spikes.)
        max_delay: the longest delay of the recurrent spikes, in steps; above 1, each neuron learns its delay.
        velocity: if given with ``max_delay`` above 1, the neurons have learned positions in three dimensions, and the
            delay of each connection is 1 + length / velocity steps (`DistanceDelays`).
        delay_sigma: initial width of the interpolation of delays, in steps; it decreases linearly to 0 over the epochs.
        dropout: share of spikes set to zero in training, between layers.
        initialisation: ``fluctuation_driven``; None for that of PyTorch.
        initialisation_arguments: arguments of `bionets.layers.spiking.fluctuation_driven_`, by name.
        gradients: ``bptt``, ``online`` (exact; without ``recurrent``) or ``eprop``; the latter two process time in
            chunks of ``trainer.tbptt`` steps.
        others: see `SpikingModel`, also for errors.

    For a task with a prediction at every step, the prediction is computed from the ``time_steps`` of that step.
    """

    accepts: ClassVar[frozenset[Kind]] = frozenset({"sequence_to_value", "sequence_to_sequence", "sequence_to_class"})
    accepts_lengths = True

    def __init__(
        self,
        spec: TaskSpec,
        hidden_size: int = 100,
        num_layers: int = 1,
        recurrent: bool = True,
        max_delay: int = 1,
        delay_sigma: float = 0.0,
        velocity: float | None = None,
        dropout: float = 0.0,
        *,
        initialisation: str | None = None,
        initialisation_arguments: Mapping[str, Any] | None = None,
        gradients: str = "bptt",
        **others: Any,
    ) -> None:
        super().__init__(spec, gradients=gradients, **others)
        require_positive(hidden_size=hidden_size, num_layers=num_layers)
        for name, given in (("max_delay", max_delay != 1), ("delay_sigma", delay_sigma != 0)):
            if given and not recurrent:
                raise ValueError(f"model.{name} is for recurrent connections: leave model.recurrent=true")
        if dropout and num_layers == 1:
            warnings.warn("dropout acts between layers: with num_layers=1 it does nothing", stacklevel=2)
        if velocity is not None and not velocity > 0:
            raise ValueError(f"model.velocity must be above 0, got {velocity}")
        if velocity is not None and max_delay == 1:
            raise ValueError("model.velocity is for delays: give model.max_delay above 1")
        options: dict[str, Any] = {"sigma": delay_sigma} if delay_sigma and velocity is None else {}

        def placed() -> dict[str, Any]:
            if velocity is None:
                return {}
            return {"delays": DistanceDelays(hidden_size, max_delay, velocity, sigma=delay_sigma)}

        modules: list[nn.Module] = []
        size = spec.input_size
        for number in range(num_layers):
            modules += [nn.Dropout(dropout)] if dropout and number else []
            neurons = self.neurons(hidden_size)
            modules += [
                nn.Linear(size, hidden_size),
                FullyRecurrent(neurons, max_delay, **placed(), **options) if recurrent else neurons,
            ]
            size = hidden_size
        self.network = nn.Sequential(*modules, *self.outputs(size))
        if initialisation is None and initialisation_arguments:
            raise ValueError("model.initialisation_arguments need model.initialisation, such as fluctuation_driven")
        if initialisation is not None:
            initialise = look_up("initialisation", initialisation, INITIALISATIONS)
            try:
                initialise(self.network, **dict(initialisation_arguments or {}))
            except TypeError as error:
                raise ValueError(f"model.initialisation_arguments do not fit: {error}") from error

    def on_train_epoch_start(self) -> None:
        anneal_delays(self, share_of_epochs(self.trainer))
