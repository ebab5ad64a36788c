"""The base class of spiking models: encoding, network over time, readout."""

from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bionets.layers import detach_states, reset_states, unroll
from bionets.layers.single_step import StatefulStep
from bionets.layers.spiking import LI, SpikingLayer
from bionets.layers.spiking.encoders import ENCODERS, delta
from bionets.layers.spiking.readouts import READOUTS
from bionets.models.checks import look_up, require_positive
from bionets.models.layer_arguments import build_layer, import_layer
from bionets.models.model import Model, OptimizerFactory
from bionets.tasks.spec import TaskSpec

OWN_LAYERS = "bionets.layers.spiking"
# Values of layer_arguments in the config, which not every layer has.
DEFAULT_ARGUMENTS = {"spike_fn": "arctan", "beta": 0.5}


class SpikingModel(Model):
    """x -> encoder -> ``network``, written for one time step and run over all steps -> readout.

    Every call starts from initial states; no reset is needed. Each input (an image, or a step of a sequence) is
    presented for ``time_steps`` steps of the network.

    Args:
        layer: a class of spiking layers: a name in `bionets.layers.spiking`, or the dotted path of a class with the
            constructor ``layer(num_neurons, dim=...)``.
        layer_arguments: other arguments of its constructor. The value of a name without a sign is used for both signs
            if the layer has two such arguments: ``beta`` of a dual layer, ``threshold`` of a ternary layer.
        time_steps: number of steps of the network for each input.
        encoder: ``direct``, ``rate``, ``latency`` or ``delta``, see `bionets.layers.spiking.encoders`. ``rate`` and
            ``latency`` are for inputs from 0 to 1.
        encoder_arguments: arguments of the encoder, except x and steps.
        readout: ``spike_count``, ``spike_rate``, ``first_spike``, ``mean_membrane``, ``last_membrane`` or
            ``max_membrane``, see `bionets.layers.spiking.readouts`. With readouts of spikes, the output neurons spike;
            readouts of membranes use leaky integrators without spikes.
        output_arguments: arguments of the constructor of the last layer.
        loss_every_step: whether the training loss is the mean over the losses of the outputs at every step of the
            network, before the readout; for tasks with one prediction per sequence or image.

    Raises:
        ValueError: a name or a number is invalid.
    """

    abstract = True
    network: nn.Module

    def __init__(
        self,
        spec: TaskSpec,
        layer: str = "LIB",
        layer_arguments: Mapping[str, Any] | None = None,
        time_steps: int = 1,
        encoder: str = "direct",
        encoder_arguments: Mapping[str, Any] | None = None,
        readout: str = "last_membrane",
        output_arguments: Mapping[str, Any] | None = None,
        loss_every_step: bool = False,
        optimizer: OptimizerFactory | None = None,
        *,
        gradients: str = "bptt",
    ) -> None:
        super().__init__(spec, optimizer, gradients=gradients)
        self.require_one_answer("loss_every_step", loss_every_step)
        self.loss_every_step = loss_every_step
        require_positive(time_steps=time_steps)
        self.layer: type[Any] = import_layer(layer if "." in layer else f"{OWN_LAYERS}.{layer}")
        self.layer_arguments = dict(layer_arguments or {})
        self.time_steps = time_steps
        self.encoder = look_up("encoder", encoder, ENCODERS)
        self.encoder_arguments = dict(encoder_arguments or {})
        self.readout = look_up("readout", readout, READOUTS)
        self.output_layer: type[Any] = LI if readout.endswith("membrane") else self.layer
        self.output_arguments = dict(output_arguments or {})
        kind = getattr(self.output_layer, "kind", None)  # of a leaky integrator
        if readout == "first_spike" and kind is not None and (kind.ternary or not kind.fires):
            raise ValueError(
                "model.readout=first_spike needs outputs between 0 and 1, and those of "
                f"{self.output_layer.__name__} are not: choose model.layer=LIB or another one with binary spikes, or "
                "another readout"
            )
        self._try_encoder()

    def neurons(self, num_neurons: int, dim: int = -1) -> SpikingLayer:
        """A layer of spiking neurons."""
        return build_layer(self.layer, num_neurons, dim=dim, arguments=self.layer_arguments, defaults=DEFAULT_ARGUMENTS)

    def outputs(self, size_in: int) -> list[nn.Module]:
        """The weights and neurons of the last layer."""
        own = self.layer_arguments if self.output_layer is self.layer else {}
        neurons = build_layer(
            self.output_layer,
            self.spec.output_size,
            arguments={**own, **self.output_arguments},
            defaults=DEFAULT_ARGUMENTS,
            prefix="model.output_arguments.",
        )
        return [nn.Linear(size_in, self.spec.output_size), neurons]

    def encode(self, x: Tensor) -> Tensor:
        """The encoded input of the network, ``[steps of the network, B, ...]``."""
        if self.spec.image_shape is not None:
            return self.encoder(x, self.time_steps, **self.encoder_arguments)
        if self.encoder is delta:
            return delta(x, **self.encoder_arguments).repeat_interleave(self.time_steps, 0)
        if self.time_steps == 1 and self.encoder is ENCODERS["direct"]:
            return x
        return self.encoder(x, self.time_steps, **self.encoder_arguments).transpose(0, 1).flatten(0, 1)

    def step_inputs(self, x: Tensor) -> Tensor:
        return self.encode(x)

    def single_step(self, x: Tensor) -> StatefulStep:
        return StatefulStep(self.network, x)

    def step_predictions(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The outputs of the last layer at every step of the network, ``[steps, B, output_size]``."""
        reset_states(self)
        steps = None if lengths is None else lengths * self.time_steps
        return unroll(self.network, self.encode(x), lengths=steps)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        outputs = self.step_predictions(x, lengths)
        if self.spec.kind == "sequence_to_sequence":
            return self.readout(outputs.unflatten(0, (len(x), self.time_steps)).transpose(0, 1))
        return self.readout(outputs, None if lengths is None else lengths * self.time_steps)

    def chunk(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        if not self.spec.kind.startswith("sequence"):
            return super().chunk(x, state)  # an image has no time steps
        if self.encoder is delta or self.readout is not READOUTS["last_membrane"]:
            raise ValueError(
                "chunks of time need model.readout=last_membrane and an encoder other than delta: each step must be "
                "encoded and read by itself"
            )
        if state is None:
            reset_states(self)
        else:
            detach_states(self)
        outputs = unroll(self.network, self.encode(x))
        if self.loss_every_step:
            return outputs, "kept"
        return outputs.unflatten(0, (len(x), self.time_steps))[:, -1], "kept"

    def draw(self, directory: Path, title: str, x: Tensor) -> list[Path]:
        """Draw the spikes and membranes of the layers that have them for the first sample, and learnt parameters."""
        from bionets.analysis.spiking_activity import fires, trace_activity
        from bionets.analysis.spiking_figures import draw_membranes, draw_parameters, draw_raster, membrane

        activity = trace_activity(self.network, self.encode(x.narrow(self.spec.batch_dims[0], 0, 1)))
        files = [draw_parameters(directory / "parameters.png", self.network, title)]
        if any(map(fires, self.network.modules())):
            files.append(draw_raster(directory / "raster.png", self.network, activity, title))
        if any(membrane(each) is not None for each in activity.values()):
            files.append(draw_membranes(directory / "membranes.png", self.network, activity, title))
        return files

    def test_metrics(self, batches: Iterable[tuple[Tensor, ...]]) -> dict[str, float]:
        """The number of spikes per neuron and step, and the energy of the synaptic operations per sample: means over
        the test set."""
        from bionets.analysis.spiking_activity import SpikeRate, SynapticOperations

        lengths: list[Tensor] = []

        def run(model: nn.Module, x: Tensor) -> Tensor:
            return model(x, *lengths)

        alone: dict[str, Any] = {"sync_on_compute": False}  # only the first process of ddp measures
        rate = SpikeRate(run, **alone)
        operations = SynapticOperations(run, batch_dim=self.spec.batch_dims[0], **alone)
        rest = iter(batches)
        first = next(rest)
        with torch.random.fork_rng():  # random spikes here do not change the random numbers of the run
            for batch in chain([first], rest):
                x, *lengths = batch
                for metric in (rate, operations):
                    metric.to(x.device).update(self, x)
        return {
            **super().test_metrics([first]),
            "test/spikes_per_step": float(rate.compute()),
            "test/nanojoules": float(operations.compute()["nanojoules"]),
        }

    def _try_encoder(self) -> None:
        if self.encoder is delta and self.spec.image_shape is not None:
            raise ValueError(
                "model.encoder=delta needs a signal that changes with time: choose direct, rate or latency"
            )
        try:
            self.encode(torch.zeros((1, 1, *(self.spec.image_shape or (self.spec.input_size,)))[-4:]))
        except TypeError as error:
            raise ValueError(f"model.encoder_arguments do not fit model.encoder: {error}") from error
