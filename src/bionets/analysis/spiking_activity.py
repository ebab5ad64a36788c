"""Activity of a spiking network: outputs and states of its layers at every step, and metrics of spikes and energy."""

from collections.abc import Callable
from operator import call
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from bionets.layers import DelayedLinear, StatefulModule
from bionets.layers.plain_calls import sees_single_steps, temporary_hooks
from bionets.layers.spiking import FullyRecurrent, SpikingLayer
from bionets.layers.spiking.firing import firing_of
from bionets.layers.stateful import temporary_states

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, DelayedLinear, FullyRecurrent)
Run = Callable[[nn.Module, Tensor], Any]


class Activity(NamedTuple):
    """The outputs of a layer over a sequence, ``[T, B, ...]``, and its states after each step, by name."""

    output: Tensor
    states: dict[str, Tensor]


@torch.no_grad()
def trace_activity(network: nn.Module, x: Tensor) -> dict[str, Activity]:
    """Run a network step by step over x ``[T, B, ...]`` from its initial states, and record every stateful layer, by
    its path. The kept states of the network do not change.
    """
    layers = {path: module for path, module in network.named_modules() if isinstance(module, StatefulModule)}
    outputs: dict[str, list[Tensor]] = {path: [] for path in layers}
    states: dict[str, dict[str, list[Tensor]]] = {
        path: {name: [] for name in layers[path].state_names} for path in layers
    }

    def watch(layer: StatefulModule, path: str) -> Any:
        return layer.register_forward_hook(lambda _, inputs, output: outputs[path].append(output))

    with temporary_states(network), temporary_hooks(watch(layer, path) for path, layer in layers.items()):
        for step in x:
            network(step)
            for path, layer in layers.items():
                for name in layer.state_names:
                    states[path][name].append(getattr(layer, name))
    return {
        path: Activity(torch.stack(outputs[path]), {name: torch.stack(each) for name, each in states[path].items()})
        for path in layers
        if outputs[path]  # not the layer inside a FullyRecurrent, which is not called
    }


def fires(module: nn.Module) -> bool:
    """Whether this is a layer of spiking neurons: one with a spike function or, among your own layers, a threshold."""
    if isinstance(module, FullyRecurrent):
        return fires(module.layer)
    if not isinstance(module, SpikingLayer):
        return False
    return firing_of(module) is not None or "threshold" in module.constraints.values()


class SpikeRate(Metric):
    """The mean number of spikes per neuron and time step, over all spiking layers of a network; 0 if it has none.

    A spike is an output that is not 0, of any sign and size.

    ``update(network, x)`` runs the network by ``run(network, x)``, such as `unroll` for a network written for one step.
    Other arguments are those of `torchmetrics.Metric`.
    """

    spikes: Tensor
    places: Tensor

    def __init__(self, run: Run = call, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run = run
        for name in ("spikes", "places"):
            self.add_state(name, default=torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    @torch.no_grad()
    def update(self, network: nn.Module, x: Tensor) -> None:
        def count(layer: nn.Module, inputs: Any, output: Tensor) -> None:
            self.spikes += output.count_nonzero()
            self.places += output.numel()

        spiking = (module for module in network.modules() if fires(module))
        with temporary_hooks(module.register_forward_hook(count) for module in spiking):
            self.run(network, x)

    def compute(self) -> Tensor:
        return (self.spikes / self.places.clamp(min=1)).float()


class SynapticOperations(Metric):
    """The synaptic operations of a network for one sample, and their energy.

    A weight is used once for every input that is not 0. If all inputs of a layer, in all updates, are spikes (−1, 0 or
    1), this is an addition (accumulate, AC); otherwise, a multiplication and an addition (MAC). Linear and
    convolutional layers are counted at every time step at which they are computed; time-invariant values are computed
    once. With delays (`DelayedLinear`), a weight is used once for each input, when it arrives. The recurrent weights of
    `FullyRecurrent` layers are counted at the step at which an output leaves the layer, also at the last step. The
    default energies are those of 32-bit floating-point numbers in 45 nm, from Horowitz, ISSCC 2014, figure 1.1.9.

    ``update(network, x)`` runs the network by ``run(network, x)``; the samples are along ``batch_dim`` of x.
    Other arguments are those of `torchmetrics.Metric`.
    """

    uses: list[Tensor]  # [1, 3] for each call of a layer: its number, the uses of its weights, whether it got spikes
    samples: Tensor

    def __init__(
        self,
        run: Run = call,
        batch_dim: int = 0,
        picojoules_per_accumulate: float = 0.9,
        picojoules_per_multiply: float = 4.6,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run, self.batch_dim = run, batch_dim
        self.picojoules = (picojoules_per_accumulate, picojoules_per_multiply)
        self.add_state("uses", default=[], dist_reduce_fx="cat")
        self.add_state("samples", default=torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    @torch.no_grad()
    def update(self, network: nn.Module, x: Tensor) -> None:
        weighted: list[nn.Module] = [module for module in network.modules() if isinstance(module, WEIGHTED)]

        @sees_single_steps
        def count(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            sent = output if isinstance(layer, FullyRecurrent) else inputs[0]
            row = [weighted.index(layer), float(synaptic_operations(layer, sent)), bool((sent.sign() == sent).all())]
            self.uses.append(torch.tensor([row], dtype=torch.float64, device=sent.device))

        with temporary_hooks(module.register_forward_hook(count) for module in weighted):
            self.run(network, x)
        self.samples += x.shape[self.batch_dim]

    def compute(self) -> dict[str, Tensor]:
        """``accumulates``, ``multiplies`` and ``nanojoules`` per sample."""
        per_accumulate, per_multiply = self.picojoules
        accumulates, multiplies = self.samples.new_zeros(2)
        rows = dim_zero_cat(self.uses) if len(self.uses) else self.samples.new_zeros(0, 3)
        for number in rows[:, 0].unique():
            _, operations, spikes = rows[rows[:, 0] == number].unbind(1)
            if spikes.all():
                accumulates = accumulates + operations.sum()
            else:
                multiplies = multiplies + operations.sum()
        picojoules = per_accumulate * accumulates + per_multiply * multiplies
        found = {"accumulates": accumulates, "multiplies": multiplies, "nanojoules": picojoules / 1000}
        return {name: (value / self.samples).float() for name, value in found.items()}


def synaptic_operations(layer: nn.Module, x: Tensor) -> Tensor:
    """The number of uses of a weight of the layer with a nonzero input."""
    weight: Tensor = layer.weight  # type: ignore[assignment]  # not a parameter if it is pruned or parametrised
    if isinstance(layer, nn.Linear | DelayedLinear | FullyRecurrent):
        return x.count_nonzero() * len(weight)
    met, ones = (x != 0).float(), torch.ones_like(weight, dtype=torch.float32)  # half precision would round the counts
    return layer._conv_forward(met, ones, None).sum(dtype=torch.float64)  # type: ignore[operator]
