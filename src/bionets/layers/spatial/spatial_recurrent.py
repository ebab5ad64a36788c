"""Recurrent layers whose units have positions."""

import math
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from bionets.layers.checks import positive_int
from bionets.layers.computed_parameters import parameters_by_name
from bionets.layers.spatial.spatial_costs import distances, mean_strengths, proximity_cost, wiring_cost


def grid_positions(units: int, dim: int = 3) -> Tensor:
    """Positions on a regular grid with unit spacing, `[units, dim]`: 100 units in three dimensions fill 5 × 5 × 4."""
    side = round(positive_int("units", units) ** (1 / positive_int("dim", dim)))
    sides = [side + (side**dim < units)] * dim
    for axis in reversed(range(dim)):
        others = math.prod(sides) // sides[axis]
        sides[axis] = min(sides[axis], math.ceil(units / others))
    return torch.tensor(list(product(*map(range, sides)))[:units], dtype=torch.get_default_dtype())


class SpatialRecurrent(nn.Module):
    """A recurrent layer whose units have positions, so that its connections have lengths.

    The output is that of the layer. Add `wiring_cost` and `proximity_cost`, with weights, to the loss::

        rnn = SpatialRecurrent(nn.RNN(28, 100))
        output, h_n = rnn(x)
        loss = task_loss + 1e-3 * rnn.wiring_cost()

    Args:
        layer: a layer with the interface of `torch.nn.GRU` and matrices of recurrent weights: `nn.RNN`, `nn.GRU`,
            `NBRC`, ...
        dim: number of dimensions of the positions.
        learn_positions: whether the positions are drawn from N(0, 1) and learned; False fixes them to `grid_positions`.
            With learned positions, also use the proximity cost; otherwise the wiring cost moves all units to one place.

    Attributes:
        positions: `[num_layers · directions, H, dim]`, in the order of the layer's states.

    Raises:
        ValueError: the layer has no recurrent matrices, such as `BRC`, whose units are connected only to themselves, or
            has ``proj_size``; or dim is below 1.
    """

    positions: Tensor
    no_weight_decay = ("positions",)

    def __init__(self, layer: nn.Module, dim: int = 3, learn_positions: bool = False) -> None:
        super().__init__()
        self.layer = layer
        if not getattr(layer, "weight_hh_l0", torch.empty(0)).dim() == 2:
            raise ValueError(f"{type(layer).__name__} has no recurrent weight matrix, so its units need no positions")
        if getattr(layer, "proj_size", 0):
            raise ValueError(
                f"{type(layer).__name__} with proj_size has recurrent weights that are not between its units"
            )
        positive_int("dim", dim)
        hidden, weights = int(layer.hidden_size), self.recurrent_weights()  # type: ignore[arg-type]
        if learn_positions:
            self.positions = nn.Parameter(torch.randn(len(weights), hidden, dim).to(weights[0]))
        else:
            positions = grid_positions(hidden, dim).to(weights[0]).expand(len(weights), -1, -1).clone()
            self.register_buffer("positions", positions)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the layer."""
        return self.layer(*args, **kwargs)

    def recurrent_weights(self) -> list[Tensor]:
        """The recurrent weights of each layer and direction, each `[G·H, H]`; several matrices are stacked."""
        found = []
        named = list(parameters_by_name(self.layer))
        for index in range(int(self.layer.num_layers)):  # type: ignore[arg-type]
            for direction in ("", "_reverse") if getattr(self.layer, "bidirectional", False) else ("",):
                suffix = f"_l{index}{direction}"
                # the connections from the input, and from the memory of an LMU, do not begin at units
                own = [
                    weight
                    for name, weight in named
                    if name.endswith(suffix) and weight.dim() == 2 and not name.startswith(("weight_ih", "weight_mh"))
                ]
                found.append(torch.cat(own))
        return found

    def wiring_cost(self) -> Tensor:
        """The mean `wiring_cost` over layers."""
        pairs = zip(self.recurrent_weights(), self.positions, strict=True)
        return torch.stack([wiring_cost(*pair) for pair in pairs]).mean()

    def proximity_cost(self) -> Tensor:
        """The mean `proximity_cost` over layers."""
        return torch.stack([proximity_cost(positions) for positions in self.positions]).mean()

    def mean_connection_length(self) -> Tensor:
        """The mean over layers of Σ|w_ij|·‖p_i − p_j‖ / Σ|w_ij|, i ≠ j: the mean length weighted by strength."""
        lengths = []
        for weight, positions in zip(self.recurrent_weights(), self.positions, strict=True):
            strengths = mean_strengths(weight, positions).fill_diagonal_(0)
            lengths.append((strengths * distances(positions)).sum() / strengths.sum())
        return torch.stack(lengths).mean()


def without_positions(layer: nn.Module) -> nn.Module:
    """The layer within a `SpatialRecurrent`, which has the options of `torch.nn.GRU` as attributes; another layer
    itself."""
    return layer.layer if isinstance(layer, SpatialRecurrent) else layer
