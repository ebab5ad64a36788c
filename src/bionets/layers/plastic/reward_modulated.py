"""Reward-modulated STDP: pairs of spikes leave an eligibility trace, and a reward changes the weights by it."""

from types import SimpleNamespace

from torch import Tensor

from bionets.layers.plastic.learning_rule import Connections, LearningRule, Synapses


class MSTDPET(LearningRule):
    """Reward-modulated STDP with an eligibility trace e, one for each synapse and sample:

        e ← λ e + a₊ x · post spike − a₋ pre spike · y
        Δw = rate · reward · e          mean over the batch

    with the traces x and y of source and target. A reward given with a step (`Network.forward`) acts at its end; one
    that is known only later is given to `Network.reinforce`. Without reward nothing changes but e.

    Source: Florian, "Reinforcement learning through modulation of spike-timing-dependent synaptic plasticity", 2007,
    eqs. 17 to 20.
    """

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
        """Change all weights by a reward, scalar or ``[B]``, for what the synapses saw up to now."""
        for connection, options in self:
            eligibility = self.state[connection].get("eligibility")
            if eligibility is not None:
                connection.change(self.reinforced(eligibility, reward.to(eligibility), options.rate))

    @staticmethod
    def reinforced(eligibility: Tensor, reward: Tensor, rate: float) -> Tensor:
        """rate · mean over the batch of reward · e."""
        return rate * (reward.reshape(-1, 1, 1) * eligibility).mean(0)


class MSTDP(MSTDPET):
    """`MSTDPET` without memory: a reward acts on the pairs of its own step only (λ = 0).

    Source: Florian, 2007, eqs. 13 to 16.
    """

    def __init__(
        self, connections: Connections, rate: float = 1e-2, potentiation: float = 1.0, depression: float = 1.0
    ) -> None:
        super().__init__(connections, rate, potentiation, depression, decay=0.0)
