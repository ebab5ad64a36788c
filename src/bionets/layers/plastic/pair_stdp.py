"""Spike-timing-dependent plasticity of pairs of spikes."""

import math
from types import SimpleNamespace

from torch import Tensor

from bionets.layers.plastic.learning_rule import Connections, LearningRule, Synapses
from bionets.layers.plastic.weighted import WeightedConnection


class PairSTDP(LearningRule):
    """A spike after the other neuron's is rewarded or punished by that one's trace, online:

        Δw = A₊ f₊(w) (x − x̄) · post spike − A₋ f₋(w) · pre spike · y          mean over the batch

    with the traces x and y of the source and the target, this step's spikes included, and the dependence on the weight
    f₊ = (w_max − w)^μ, f₋ = (w − w_min)^μ. Traces of neurons with ``nearest_spike=True`` pair nearest spikes only, the
    others all of them.

    potentiation, depression: A₊ and A₋. trace_target: x̄, the trace at which a spike changes nothing.
    weight_dependence: μ; 0 adds (f = 1), 1 multiplies and needs finite bounds.

    Source: Morrison, Diesmann and Gerstner, "Phenomenological models of synaptic plasticity based on spike timing",
    2008, eqs. 4 to 6; with ``trace_target`` Diehl and Cook, 2015, eq. 3.
    """

    def __init__(
        self,
        connections: Connections,
        potentiation: float = 1e-2,
        depression: float = 1e-4,
        trace_target: float = 0.0,
        weight_dependence: float = 0.0,
    ) -> None:
        super().__init__(
            connections,
            potentiation=potentiation,
            depression=depression,
            trace_target=trace_target,
            weight_dependence=weight_dependence,
        )

    def change(self, synapses: Synapses, options: SimpleNamespace) -> Tensor:
        up = synapses.correlate(synapses.pre_trace, synapses.post_spikes)
        if options.trace_target:
            up -= options.trace_target * synapses.correlate(synapses.exist, synapses.post_spikes)
        down = synapses.correlate(synapses.pre_spikes, synapses.post_trace)
        to_high, to_low = dependence(synapses, options.weight_dependence)
        return options.potentiation * to_high * up - options.depression * to_low * down


def dependence(synapses: Synapses, exponent: float) -> tuple[Tensor | float, Tensor | float]:
    """(w_max − w)^μ and (w − w_min)^μ; 0 for weights that were set beyond the bound."""
    if exponent == 0:
        return 1.0, 1.0
    check_dependence(synapses.connection, exponent)
    low, high = synapses.connection.bounds
    weight = synapses.weight
    return (high - weight).clamp(min=0) ** exponent, (weight - low).clamp(min=0) ** exponent


def check_dependence(connection: WeightedConnection, exponent: float) -> None:
    """Raise ValueError if a weight has no bound that it could depend on, or would change most at a bound."""
    if exponent < 0:
        raise ValueError(f"weight_dependence must not be negative, got {exponent}")
    low, high = connection.bounds
    if exponent and not math.isfinite(high - low):
        raise ValueError(f"weight_dependence {exponent} needs finite bounds of the weights, got {low} to {high}")
