"""Delays that follow from the positions of neurons: distance over velocity."""

import torch
from torch import Tensor, nn

from bionets.layers.checks import positive_int
from bionets.layers.delays import Delays
from bionets.layers.spatial.spatial_costs import EPSILON, distances
from bionets.layers.spatial.spatial_recurrent import grid_positions


class DistanceDelays(Delays):
    """Delays of the connections between neurons that have positions, d_ij = 1 + ‖p_i − p_j‖ / velocity steps.

    They are given to a layer in place of learned numbers, which trains the positions by the gradient of the delays::

        FullyRecurrent(LIB(64), max_delay=20, delays=DistanceDelays(64, 20, velocity=0.5))

    A neuron receives its own spike after one step. Distances that would take longer than ``longest`` steps
    count as ``longest``.

    Args:
        num_neurons: N.
        longest: the longest delay, in steps.
        velocity: the distance that a spike travels in a step.
        dim: in how many dimensions the neurons lie.
        learn_positions: False leaves them on `grid_positions`; True draws them from N(0, 1) and learns them.
        sigma, interpolation: as in `Delays`.

    Attributes:
        positions: ``[N, dim]``.

    Raises:
        ValueError: a velocity that is not above 0.
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
        """``[N, N]``, in steps, from column to row; those of `round_delays` once it was called."""
        distance = distances(self.positions) - EPSILON**0.5
        return torch.where(self.rounded, self.delays, 1 + distance / self.velocity)

    def round_values(self) -> None:
        super().round_values()
        self.rounded.fill_(True)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, velocity={self.velocity:g}"
