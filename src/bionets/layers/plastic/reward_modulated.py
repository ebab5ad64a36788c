"""Reward-modulated STDP: pairs of spikes change an eligibility trace, which a reward turns into a weight change."""

from types import SimpleNamespace

import torch
from torch import Tensor

from bionets.layers.plastic.learning_rule import Connections, LearningRule, Synapses


def reward_tensor(reward: float | Tensor, device: torch.device | None = None) -> Tensor:
    """A reward as a tensor; a number in float64, so that networks in double precision do not get it rounded."""
    return torch.as_tensor(reward, dtype=None if isinstance(reward, Tensor) else torch.float64, device=device)


class MSTDPET(LearningRule):
    """Reward-modulated STDP with an eligibility trace e, one for each synapse and sample:

        e ← λ e + a₊ x · post spike − a₋ pre spike · y
        Δw = rate · reward · e          mean over the batch

    with the traces x and y of source and target, λ = ``decay``, a₊ = ``potentiation`` and a₋ = ``depression``. A
    reward given to `Network.forward` acts at the end of its step; a later reward is given to `Network.reinforce`.
    Without a reward, only e changes.

    Source: Florian, "Reinforcement learning through modulation of spike-timing-dependent synaptic plasticity", 2007,
    eqs. 17 to 20.
    """

    state_names = ("eligibility",)

    def __init__(
        self,
        connections: Connections,
        rate: float = 1e-2,
        potentiation: float = 1.0,
        depression: float = 1.0,
        decay: float = 0.95,
    ) -> None:
        super().__init__(connections, rate=rate, potentiation=potentiation, depression=depression, decay=decay)

    def change(self, synapses: Synapses, options: SimpleNamespace) -> Tensor | None:
        pairs = options.potentiation * synapses.correlate_each(synapses.pre_trace, synapses.post_spikes)
        pairs -= options.depression * synapses.correlate_each(synapses.pre_spikes, synapses.post_trace)
        kept = synapses.state.get("eligibility")
        eligibility = pairs if kept is None else options.decay * kept + pairs
        synapses.state["eligibility"] = eligibility
        return None if synapses.reward is None else self.reinforced(eligibility, synapses.reward, options.rate)

    def reinforce(self, reward: Tensor) -> None:
        """Change all weights by a reward, a scalar or ``[B]``, and the current eligibility traces."""
        for connection, options in self:
            eligibility = self.state[connection].get("eligibility")
            if eligibility is not None:
                if reward.numel() not in (1, len(eligibility)):
                    raise ValueError(
                        f"expected one reward, or one for each of {len(eligibility)} samples, got {tuple(reward.shape)}"
                    )
                connection.change(self.reinforced(eligibility, reward.to(eligibility), options.rate))

    @staticmethod
    def reinforced(eligibility: Tensor, reward: Tensor, rate: float) -> Tensor:
        """rate · mean over the batch of reward · e."""
        return rate * (reward.reshape(-1, 1, 1) * eligibility).mean(0)


class MSTDP(MSTDPET):
    """`MSTDPET` without memory (λ = 0): a reward acts only on the pairs of its own step.

    Source: Florian, 2007, eqs. 13 to 16.
    """

    def __init__(
        self, connections: Connections, rate: float = 1e-2, potentiation: float = 1.0, depression: float = 1.0
    ) -> None:
        super().__init__(connections, rate, potentiation, depression, decay=0.0)
