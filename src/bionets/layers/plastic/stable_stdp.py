"""STDP with a stable equilibrium of the weights between potentiation and depression."""

from types import SimpleNamespace

import torch
from torch import Tensor

from bionets.layers.plastic.learning_rule import Connections, LearningRule, Synapses


class StableSTDP(LearningRule):
    """Stable multiplicative STDP, which PySNN calls Fede:

        Δw = rate · [e^{−(w − w₀)} (e^t − a) − e^{w − w₀} (e^{1 − t} − a)]          mean over the batch

    where t is the presynaptic trace divided by the largest trace of its sample (0 if all traces are 0). Synapses with a
    large trace grow and others shrink. Changes away from w₀ are smaller at a larger distance from w₀.

    centre: w₀. a: the constant a.
    at_spikes: whether only the weights of neurons that spike in this step change, as published; PySNN changes all
        weights. For shared weights (`Conv2d`), the change is the mean over the positions of the neurons that change.

    Source: Paredes-Vallés, Scheper and de Croon, 2020, eqs. 9 to 11.
    """

    def __init__(
        self, connections: Connections, rate: float = 1e-4, centre: float = 0.5, a: float = 0.0, at_spikes: bool = False
    ) -> None:
        super().__init__(connections, rate=rate, centre=centre, a=a, at_spikes=at_spikes)

    def change(self, synapses: Synapses, options: SimpleNamespace) -> Tensor:
        trace, exist = synapses.pre_trace, synapses.exist
        largest = trace.flatten(1).amax(1).reshape(-1, *(1,) * (trace.dim() - 1))
        t = torch.where(largest > 0, trace / largest, 0.0)
        if t.dim() == 4:
            exist = exist.unsqueeze(2)
        counts = synapses.post_spikes if options.at_spikes else torch.ones_like(synapses.post_spikes)
        counts = counts / counts.sum(2, keepdim=True).clamp(min=1)
        distance = synapses.weight - options.centre
        up = torch.exp(-distance) * synapses.correlate(exist * (torch.exp(t) - options.a), counts)
        down = torch.exp(distance) * synapses.correlate(exist * (torch.exp(1 - t) - options.a), counts)
        return options.rate * (up - down)
