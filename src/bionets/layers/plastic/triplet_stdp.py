"""Triplet-based spike-timing-dependent plasticity."""

from types import SimpleNamespace

import torch
from torch import Tensor

from bionets.layers.plastic.learning_rule import Connections, LearningRule, Synapses
from bionets.layers.plastic.pair_stdp import dependence


class TripletSTDP(LearningRule):
    """Triplet STDP, with pairs of spikes and triplets with an earlier spike of the same neuron:

        Δw = f₊(w) (A₂₊ + A₃₊ o₂) r₁ · post spike − f₋(w) (A₂₋ + A₃₋ r₂) o₁ · pre spike          mean over the batch

    r₁ and o₁ are the traces of source and target, including the spikes of this step. r₂ and o₂ are slower traces of the
    rule just before the spikes of this step: r₂ ← λ_x r₂, then Δw, then r₂ ← r₂ + pre spike; o₂ with λ_y and the post
    spike. For f see `PairSTDP`.

    potentiation, depression: A₂₊ and A₂₋. triplet_potentiation, triplet_depression: A₃₊ and A₃₋.
    pre_decay, post_decay: λ_x and λ_y. nearest_spike: whether the slow traces also use only the nearest spike.

    Source: Pfister and Gerstner, "Triplets of spikes in a model of spike timing-dependent plasticity", 2006,
    eqs. 1 to 4.
    """

    state_names = ("slow_pre", "slow_post")

    def __init__(
        self,
        connections: Connections,
        potentiation: float = 1e-2,
        depression: float = 1e-4,
        triplet_potentiation: float = 1e-2,
        triplet_depression: float = 0.0,
        pre_decay: float = 0.99,
        post_decay: float = 0.99,
        nearest_spike: bool = False,
        weight_dependence: float = 0.0,
    ) -> None:
        super().__init__(
            connections,
            potentiation=potentiation,
            depression=depression,
            triplet_potentiation=triplet_potentiation,
            triplet_depression=triplet_depression,
            pre_decay=pre_decay,
            post_decay=post_decay,
            nearest_spike=nearest_spike,
            weight_dependence=weight_dependence,
        )

    def change(self, synapses: Synapses, options: SimpleNamespace) -> Tensor:
        pre, post = synapses.pre_spikes, synapses.post_spikes
        slow_pre = options.pre_decay * synapses.state.get("slow_pre", torch.zeros_like(pre))
        slow_post = options.post_decay * synapses.state.get("slow_post", torch.zeros_like(post))
        rewarded = (options.potentiation + options.triplet_potentiation * slow_post) * post
        punished = (options.depression + options.triplet_depression * slow_pre) * pre
        nearest = options.nearest_spike
        synapses.state["slow_pre"] = torch.where(pre > 0, 1.0, slow_pre) if nearest else slow_pre + pre
        synapses.state["slow_post"] = torch.where(post > 0, 1.0, slow_post) if nearest else slow_post + post
        up = synapses.correlate(synapses.pre_trace, rewarded)
        down = synapses.correlate(punished, synapses.post_trace)
        to_high, to_low = dependence(synapses, options.weight_dependence)
        return to_high * up - to_low * down
