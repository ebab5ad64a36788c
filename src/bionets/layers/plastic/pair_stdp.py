"""Pair-based spike-timing-dependent plasticity."""

import math
from types import SimpleNamespace

from torch import Tensor

from bionets.layers.plastic.learning_rule import Connections, LearningRule, Synapses
from bionets.layers.plastic.weighted import WeightedConnection


class PairSTDP(LearningRule):
    """Pair-based STDP. A spike potentiates or depresses a synapse by the trace of the other neuron, online:

        Δw = A₊ f₊(w) (x − x̄) · post spike − A₋ f₋(w) · pre spike · y          mean over the batch

    where x and y are the traces of the source and the target, including the spikes of this step, and f₊ =
    (w_max − w)^μ, f₋ = (w − w_min)^μ is the dependence on the weight. Traces of neurons with ``nearest_spike=True``
    pair only nearest spikes, other traces all spikes.

    potentiation, depression: A₊ and A₋. trace_target: x̄, the trace at which a postsynaptic spike has no effect.
    weight_dependence: μ; 0 is additive STDP (f = 1), 1 is multiplicative STDP, which requires finite bounds.

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
    """(w_max − w)^μ and (w − w_min)^μ; 0^μ for weights beyond the bound."""
    if exponent == 0:
        return 1.0, 1.0
    check_dependence(synapses.connection, exponent)
    low, high = synapses.connection.bounds
    weight = synapses.weight
    return (high - weight).clamp(min=0) ** exponent, (weight - low).clamp(min=0) ** exponent


def check_dependence(connection: WeightedConnection, exponent: float) -> None:
    """Raise ValueError for a negative exponent, or for a missing bound on which a change of weight depends."""
    if exponent < 0:
        raise ValueError(f"weight_dependence must not be negative, got {exponent}")
    low, high = connection.bounds
    if exponent and not math.isfinite(high - low):
        raise ValueError(f"weight_dependence {exponent} needs finite bounds of the weights, got {low} to {high}")
