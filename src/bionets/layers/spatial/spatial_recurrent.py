"""Recurrent layers whose units have positions, and the cost of their connections."""

import math
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from bionets.layers.recurrent.recurrence import positive_int
from bionets.layers.spatial.spatial_costs import EPSILON, proximity_cost


def communicability(weight: Tensor) -> Tensor:
    """The weighted communicability of every two units, `[H, H]`: exp(S^(−1/2) |W| S^(−1/2)) with a diagonal of zeros.

    S is diagonal and holds the strength of each unit, the sum of its outgoing |weights|. The matrix exponential counts
    the paths between two units, the longer the less.

    Args:
        weight: `[H, H]`, from column to row.

    Source: Crofts and Higham, "A weighted communicability measure applied to complex brain networks", 2009.
    """
    strength = weight.abs().sum(0).clamp(min=EPSILON).rsqrt()
    paths = torch.linalg.matrix_exp(strength.unsqueeze(1) * weight.abs() * strength)
    return paths - torch.diag_embed(paths.diagonal())


def wiring_cost(weight: Tensor, positions: Tensor) -> Tensor:
    """The wiring cost of a recurrent weight: Σ_ij |w_ij|·‖p_i − p_j‖·C_ij with the `communicability` C.

    It shortens strong connections, and weakens most those between distant units that are well connected anyway.

    Args:
        weight: `[H, H]`, or `[G·H, H]` with a block of rows for each gate; of these, the mean |weight| counts.
        positions: `[H, dim]`.

    Raises:
        ValueError: shapes that do not fit.

    Source: Achterberg, Akarca, Strouse, Duncan and Astle, "Spatially embedded recurrent neural networks reveal
    widespread links between structural and functional neuroscience findings", Nature Machine Intelligence 2023.
    """
    strengths = _strengths(weight, positions)
    return (strengths * distances(positions) * communicability(strengths)).sum()


def grid_positions(units: int, dim: int = 3) -> Tensor:
    """Places of a regular grid with unit spacing, `[units, dim]`: 100 units in three dimensions fill 5 × 5 × 4."""
    sides = [math.ceil(positive_int("units", units) ** (1 / positive_int("dim", dim)))] * dim
    for axis in reversed(range(dim)):
        others = math.prod(sides) // sides[axis]
        sides[axis] = min(sides[axis], math.ceil(units / others))
    return torch.tensor(list(product(*map(range, sides)))[:units], dtype=torch.get_default_dtype())


class SpatialRecurrent(nn.Module):
    """A recurrent layer whose units have positions, so that its connections have lengths.

    It computes what the layer does. `wiring_cost` and `proximity_cost` are to be added to a loss, with weights::

        rnn = SpatialRecurrent(nn.RNN(28, 100))
        output, h_n = rnn(x)
        loss = task_loss + 1e-3 * rnn.wiring_cost()

    Args:
        layer: a layer with the interface of `torch.nn.GRU` and matrices of recurrent weights: `nn.RNN`, `nn.GRU`,
            `NBRC`, ...
        dim: in how many dimensions the units lie.
        learn_positions: False leaves them on `grid_positions`; True draws them from N(0, 1) and learns them. The
            wiring cost alone would then draw all units to one place: add the proximity cost.

    Attributes:
        positions: `[num_layers · directions, H, dim]`, in the order of the layer's states.

    Raises:
        ValueError: a layer without recurrent matrices, such as `BRC`, whose units are connected to themselves alone.
    """

    positions: Tensor
    no_weight_decay = ("positions",)

    def __init__(self, layer: nn.Module, dim: int = 3, learn_positions: bool = False) -> None:
        super().__init__()
        self.layer = layer
        if not getattr(layer, "weight_hh_l0", torch.empty(0)).dim() == 2:
            raise ValueError(f"{type(layer).__name__} has no matrix of recurrent weights, so its units need no places")
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
        """The recurrent weights of each layer and direction, `[G·H, H]` each; of several matrices, one on another."""
        found = []
        for index in range(int(self.layer.num_layers)):  # type: ignore[arg-type]
            for direction in ("", "_reverse") if getattr(self.layer, "bidirectional", False) else ("",):
                suffix = f"_l{index}{direction}"
                named = {name: value for name, value in self.layer.named_parameters() if name.endswith(suffix)}
                matrices: list[Tensor] = [
                    value for name, value in named.items() if value.dim() == 2 and not name.startswith("weight_ih")
                ]
                found.append(torch.cat(matrices))
        return found

    def wiring_cost(self) -> Tensor:
        """The mean over layers of `wiring_cost`."""
        pairs = zip(self.recurrent_weights(), self.positions, strict=True)
        return torch.stack([wiring_cost(*pair) for pair in pairs]).mean()

    def proximity_cost(self) -> Tensor:
        """The mean over layers of `proximity_cost`, that of units which lie close to each other."""
        return torch.stack([proximity_cost(positions) for positions in self.positions]).mean()

    def mean_connection_length(self) -> Tensor:
        """The mean over layers of Σ|w_ij|·‖p_i − p_j‖ / Σ|w_ij|, i ≠ j: where a mean |weight| goes."""
        lengths = []
        for weight, positions in zip(self.recurrent_weights(), self.positions, strict=True):
            strengths = _strengths(weight, positions).fill_diagonal_(0)
            lengths.append((strengths * distances(positions)).sum() / strengths.sum())
        return torch.stack(lengths).mean()


def _strengths(weight: Tensor, positions: Tensor) -> Tensor:
    """The mean |weight| over gates, `[H, H]`."""
    units = len(positions)
    if weight.dim() != 2 or weight.size(1) != units or weight.size(0) % units:
        raise ValueError(f"{units} positions do not fit a recurrent weight of shape {tuple(weight.shape)}")
    return weight.abs().unflatten(0, (-1, units)).mean(0)


def distances(positions: Tensor) -> Tensor:
    """Between every two positions `[H, dim]`, `[H, H]`; never 0, so that neurons in one place have a gradient."""
    return (positions.unsqueeze(1) - positions).square().sum(2).add(EPSILON).sqrt()
