"""Initial values of recurrent weights, gate block by gate block.

A stacked matrix `[G·H, I]` holds one block per gate. Schemes that read a matrix's shape (Xavier, orthogonal) are
applied to each block on its own: the stack's fan-out would be G times too large, and its blocks not orthogonal.
"""

from collections.abc import Mapping

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
        # The QR decomposition behind it has no half-precision form.
        block.copy_(nn.init.orthogonal_(torch.empty_like(block, dtype=torch.promote_types(block.dtype, torch.float32))))


def chrono_bias_(bias: Tensor, steps: int | None) -> None:
    """Fill `bias` with log u, u ~ U(1, steps − 1): a gate σ(bias) then forgets over 1 to `steps` time steps (Tallec &
    Ollivier 2018).

    Raises ValueError unless `steps`, the longest dependency in time steps, is at least 2.
    """
    if steps is None or steps < 2:
        raise ValueError(
            f"initialisation='chrono' needs chrono_steps >= 2, the longest dependency in time steps; got {steps}"
        )
    with torch.no_grad():
        bias.uniform_(1, steps - 1).log_()


def linear_uniform(parameters: Mapping[str, Tensor], _: int | None) -> None:
    """Fill each matrix from U(−1/√n, 1/√n), n being its number of columns, and the bias from U(−1/√I, 1/√I), as
    `torch.nn.Linear` does."""
    for name, parameter in parameters.items():
        if parameter.dim() == 2 or name == "bias":
            fan_in = parameter.size(1) if parameter.dim() == 2 else parameters["weight_ih"].size(1)
            nn.init.uniform_(parameter, -(fan_in**-0.5), fan_in**-0.5)
