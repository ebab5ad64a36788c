"""Initial values of recurrent weights, for each block of a gate.

A stacked matrix `[G·H, I]` holds one block per gate. Schemes that depend on the shape of a matrix (Xavier, orthogonal)
are applied to each block separately: for the whole matrix, the fan-out would be G times too large, and the blocks would
not be orthogonal.
"""

import math
from collections.abc import Mapping
from numbers import Real

import torch
from torch import Tensor, nn


def xavier_blocks_(weight: Tensor, gates: int) -> None:
    """Fill each of the `gates` blocks of rows from U(−l, l), l = sqrt(6 / (fan_in + fan_out)) of the block (Glorot &
    Bengio 2010, eq. 16)."""
    for block in weight.detach().chunk(gates):
        nn.init.xavier_uniform_(block)


def orthogonal_blocks_(weight: Tensor, gates: int) -> None:
    """Make each of the `gates` square blocks of rows a random orthogonal matrix (Saxe et al. 2014)."""
    for block in weight.detach().chunk(gates):
        # The QR decomposition in orthogonal_ does not support half precision.
        block.copy_(nn.init.orthogonal_(torch.empty_like(block, dtype=torch.promote_types(block.dtype, torch.float32))))


def chrono_bias_(bias: Tensor, steps: int | None) -> None:
    """Fill `bias` with log u, u ~ U(1, steps − 1): the time constants of a gate σ(bias) are then 1 to `steps` time
    steps (Tallec & Ollivier 2018).

    Raises ValueError unless `steps`, the longest dependency in time steps, is a finite number of at least 2.
    """
    if not isinstance(steps, Real) or not 2 <= steps < math.inf:
        raise ValueError(
            f"initialisation='chrono' needs chrono_steps >= 2, the longest dependency in time steps; got {steps!r}"
        )
    with torch.no_grad():
        bias.uniform_(1, steps - 1).log_()


def hidden_uniform(parameters: Mapping[str, Tensor], _: int | None) -> None:
    """Fill all parameters from U(−1/√H, 1/√H), as in `torch.nn.GRU` and `torch.nn.LSTM`."""
    limit = 1 / math.sqrt(parameters["weight_hh"].size(1))
    for parameter in parameters.values():
        nn.init.uniform_(parameter, -limit, limit)


def linear_uniform(parameters: Mapping[str, Tensor], _: int | None) -> None:
    """Fill each matrix with n columns from U(−1/√n, 1/√n), and the bias from U(−1/√I, 1/√I), as in
    `torch.nn.Linear`."""
    for name, parameter in parameters.items():
        if parameter.dim() == 2 or name == "bias":
            fan_in = parameter.size(1) if parameter.dim() == 2 else parameters["weight_ih"].size(1)
            nn.init.uniform_(parameter, -(fan_in**-0.5), fan_in**-0.5)
