"""Groups of neurons and the connections between them, run over time."""

from collections.abc import Mapping

from torch import Tensor

from bionets.layers.folding import refuse_sequence_layer
from bionets.layers.plastic.graph import Graph
from bionets.layers.plastic.simulate import simulate


class Network(Graph):
    """Groups of neurons with arbitrary connections and learning rules, without gradients.

    Groups are computed in the order in which they were added. A connection from an earlier group transmits the spikes
    of the same step; a connection from the same or a later group (recurrence, feedback) transmits the spikes of the
    previous step. The currents of all connections to a group are summed. Learning rules act at the end of each step,
    only in training mode.

    The network of Diehl and Cook (2015), which learns digits without labels::

        network = Network()
        network.add("pixels", Input(784, trace=LinearDynamics(0.95), nearest_spike=True))
        network.add("excitatory", AdaptiveLIF(
            400, LinearDynamics(0.99), LinearDynamics(1 - 1e-7, scale=0.05), homeostasis=True,
            rest=-65.0, reset=-60.0, threshold=-52.0, refractory=5,
            trace=LinearDynamics(0.95), nearest_spike=True,
        ))
        network.add("inhibitory", LIF(400, LinearDynamics(0.9), rest=-60.0, reset=-45.0, threshold=-40.0, refractory=2))
        weight = 0.3 * torch.rand(784, 400)
        learnt = network.connect("pixels", "excitatory", Linear(784, 400, weight=weight, norm=78.4))
        network.connect("excitatory", "inhibitory", OneToOne(400, 22.5))
        network.connect("inhibitory", "excitatory", LateralInhibition(400, -17.5))
        network.add_rule(PairSTDP([learnt], potentiation=1e-2, depression=1e-4))

        for image in images:  # each [784], between 0 and 1
            network.reset()
            network.normalise()
            spikes = network(torch.rand(350, 1, 784) < 0.128 * image)  # one presentation of 350 steps
            counts = spikes["excitatory"].sum(0)  # [1, 400]

    The attribute ``backend`` is the backend of the last presentation: "reference" (step by step in PyTorch: any
    network, any device), "numba" (one event-driven kernel on the CPU) or "triton" (kernels on a GPU).
    """

    backend: str | None = None

    def forward(
        self,
        x: Tensor | Mapping[str, Tensor] | None = None,
        reward: float | Tensor | None = None,
        *,
        currents: Mapping[str, Tensor] | None = None,
        backend: str = "auto",
    ) -> dict[str, Tensor]:
        """Run all steps of x from the stored states, with learning in training mode.

        Args:
            x: spikes ``[T, B, *shape]`` of the only `Input`, or a mapping from the names of the inputs to their spikes;
                bool (fastest), or 0 and 1. None for a network without an `Input`.
            reward: reward for reward-modulated rules: a number, or a tensor that can be broadcast to ``[T, B]``.
            currents: external currents ``[T, B, *shape]`` by the names of groups, added to those of their connections.
            backend: "reference", "numba", "triton", or "auto", which is "numba" on the CPU and "triton" on a GPU for
                the networks that they support (see `bionets.layers.plastic.events.tables` and `.gpu.supported`), and
                otherwise "reference"; it warns once if "numba" is not possible.

        Returns:
            The spikes of every group that is not an input, bool ``[T, B, *shape]``.

        Raises:
            ValueError: x does not fit, the stored states belong to a batch of another size, or the chosen backend
                cannot compute this network.
        """
        refuse_sequence_layer(self)
        self.backend, spikes = simulate(self, x, reward, backend, currents)
        return spikes
