"""Izhikevich neurons: two equations with four constants, for the firing patterns of cortical cells."""

from typing import Any

from torch import Tensor

from bionets.layers.spiking.firing import Firing
from bionets.layers.spiking.neuron_layer import NeuronLayer, ParameterSpec

REST = -65.0  # mV; states are differences from it, so that they start at 0
PEAK = 30.0


def izhikevich_step(x: Tensor, state: Any, params: Any, *, firing: Firing) -> tuple[Tensor, Any]:
    """v' = v + 0.04 v² + 5 v + 140 − u + x in two half steps, u' = u + a(b v' − u); at v' ≥ 30 mV: v' = c, u' += d."""
    v, u = state.mem + REST, state.recovery + params.b * REST
    for _ in range(2):  # half a millisecond each, for stability, as in the program of the paper
        v = v + 0.5 * (0.04 * v * v + 5 * v + 140 - u + x)
    u = u + params.a * (params.b * v - u)
    spike = firing(v - PEAK, state.noise)
    v = v + spike * (params.c - v)
    u = u + spike * params.d
    return spike, (v - REST, u - params.b * REST)


class Izhikevich(NeuronLayer):
    """Izhikevich neurons with steps of one millisecond (Izhikevich 2003, IEEE Transactions on Neural Networks 14(6),
    equations 1 to 3).

    v' = v + 0.04 v² + 5 v + 140 − u + x (mV; two steps of half a millisecond)
    u' = u + a(b v' − u)
    s = quant_fn(spike_fn(v' − 30)); with a spike v' = c and u' grows by d
    y = s

    The states `mem` and `recovery` are v + 65 and u + 65 b; both start at 0.

    Args:
        num_neurons: size of the axis ``dim``.
        a, b, c, d: the constants; by default 0.02, 0.2, −65 and 8, regular spiking. Fast spiking: a = 0.1, d = 2.
            Intrinsically bursting: c = −55, d = 4. Chattering: c = −50, d = 2.
        dim, *_rank, learn_*, quant_fn, backend: as in `LIB`; nothing is learned by default.
        spike_fn: as in `LIB`; by default a hard spike with the derivative of an arc tangent.
    """

    state_names = ("mem", "recovery")
    specs = (
        ParameterSpec("a", 0.02, learn=False),
        ParameterSpec("b", 0.2, learn=False),
        ParameterSpec("c", -65.0, learn=False),
        ParameterSpec("d", 8.0, learn=False),
    )
    neuron_step = staticmethod(izhikevich_step)
    default_spike_fn = "arctan"
