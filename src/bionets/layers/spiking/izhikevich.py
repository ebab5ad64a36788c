"""Izhikevich neurons: two equations whose four constants give the firing patterns of cortical cells."""

from functools import partial
from typing import Any

from torch import Tensor

from bionets.layers.spiking.constraints import Value
from bionets.layers.spiking.firing import Firing, QuantFn, SpikeFn
from bionets.layers.spiking.spiking_layer import SpikingLayer

REST = -65.0  # mV; states are kept as differences from it, so that they start at 0
PEAK = 30.0


def izhikevich_step(x: Tensor, state: Any, params: Any, *, firing: Firing) -> tuple[Tensor, Any]:
    """v' = v + 0.04 v² + 5 v + 140 − u + x in two half steps, u' = u + a(b v' − u); at v' ≥ 30 mV: v' = c, u' += d."""
    v, u = state.mem + REST, state.recovery + params.b * REST
    for _ in range(2):  # of half a millisecond each, for stability, as in the paper's program
        v = v + 0.5 * (0.04 * v * v + 5 * v + 140 - u + x)
    u = u + params.a * (params.b * v - u)
    spike = firing(v - PEAK, state.noise)
    v = v + spike * (params.c - v)
    u = u + spike * params.d
    return spike, (v - REST, u - params.b * REST)


class Izhikevich(SpikingLayer):
    """Izhikevich neurons, one step for a millisecond (Izhikevich 2003, IEEE Transactions on Neural Networks 14(6),
    equations 1 to 3).

    v' = v + 0.04 v² + 5 v + 140 − u + x (mV; two steps of half a millisecond)
    u' = u + a(b v' − u)
    s = quant_fn(spike_fn(v' − 30)); with a spike v' = c and u' grows by d
    y = s

    The states `mem` and `recovery` are v + 65 and u + 65 b; both start at 0.

    Args:
        num_neurons: entries along ``dim``.
        a, b, c, d: the constants; by default 0.02, 0.2, −65 and 8, regular spiking. Fast spiking: a = 0.1, d = 2.
            Intrinsically bursting: c = −55, d = 4. Chattering: c = −50, d = 2.
        dim, *_rank, learn_*, quant_fn, backend: as in `LIB`; nothing is learned by default.
        spike_fn: as in `LIB`; by default a hard spike with the derivative of an arc tangent.
    """

    state_names = ("mem", "recovery")

    def __init__(
        self,
        num_neurons: int,
        a: Value = 0.02,
        b: Value = 0.2,
        c: Value = -65.0,
        d: Value = 8.0,
        dim: int = -1,
        *,
        a_rank: int = 1,
        b_rank: int = 1,
        c_rank: int = 1,
        d_rank: int = 1,
        learn_a: bool = False,
        learn_b: bool = False,
        learn_c: bool = False,
        learn_d: bool = False,
        spike_fn: str | SpikeFn = "arctan",
        quant_fn: str | QuantFn = "bernoulli",
        backend: str = "auto",
    ) -> None:
        firing = Firing.of(spike_fn, quant_fn)
        self.noises = int(firing.stochastic)
        self.neuron = partial(izhikevich_step, firing=firing)
        super().__init__(num_neurons, dim, backend=backend)
        self.add_parameter("a", a, rank=a_rank, learn=learn_a)
        self.add_parameter("b", b, rank=b_rank, learn=learn_b)
        self.add_parameter("c", c, rank=c_rank, learn=learn_c)
        self.add_parameter("d", d, rank=d_rank, learn=learn_d)
