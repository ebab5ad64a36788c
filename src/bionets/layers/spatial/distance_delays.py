"""Delays computed from the positions of neurons: distance divided by velocity."""

import torch
from torch import Tensor, nn

from bionets.layers.checks import positive_int
from bionets.layers.delays import Delays
from bionets.layers.spatial.spatial_costs import EPSILON, distances
from bionets.layers.spatial.spatial_recurrent import grid_positions


class DistanceDelays(Delays):
    """Delays of the connections between neurons with positions, d_ij = 1 + ‖p_i − p_j‖ / velocity steps.

    ‖·‖ is sqrt(sum of squares + 1e-8) − 1e-4, which is 0 for a neuron and itself and has a gradient there.

    They are passed to a layer instead of learned delays; the gradient of the delays then trains the positions::

        FullyRecurrent(LIB(64), max_delay=20, delays=DistanceDelays(64, 20, velocity=0.5))

    A neuron receives its own spike after one step. Delays are at most ``longest`` steps.

    Args:
        num_neurons: number of neurons N.
        longest: the longest delay, in steps.
        velocity: the distance that a spike travels in one step.
        dim: number of dimensions of the positions.
        learn_positions: whether the positions are drawn from N(0, 1) and learned; False fixes them to `grid_positions`.
        sigma, interpolation: as in `Delays`.

    Attributes:
        positions: ``[N, dim]``.

    Raises:
        ValueError: the velocity is not positive.
    """

    positions: Tensor
    rounded: Tensor
    no_weight_decay = ("positions",)

    def __init__(
        self,
        num_neurons: int,
        longest: int,
        velocity: float = 1.0,
        *,
        dim: int = 3,
        learn_positions: bool = True,
        sigma: float = 0.0,
        interpolation: str = "linear",
    ) -> None:
        shape = (positive_int("num_neurons", num_neurons),) * 2
        super().__init__(shape, 1, longest, delays=1.0, learn=False, sigma=sigma, interpolation=interpolation)
        if not velocity > 0:
            raise ValueError(f"velocity must be above 0, got {velocity}")
        self.velocity = velocity
        if learn_positions:
            self.positions = nn.Parameter(torch.randn(num_neurons, positive_int("dim", dim)))
        else:
            self.register_buffer("positions", grid_positions(num_neurons, dim))
        self.register_buffer("rounded", torch.tensor(False))

    def values(self) -> Tensor:
        """The delays from column to row, ``[N, N]``, in steps; after `round_delays`, the rounded delays."""
        distance = distances(self.positions) - EPSILON**0.5
        delays = (1 + distance / self.velocity).to(self.delays.dtype)
        return torch.where(self.rounded, self.delays, delays)

    def round_values(self) -> None:
        super().round_values()
        self.rounded.fill_(True)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, velocity={self.velocity:g}"
