"""The costs of positions: proximity within a layer, transport between layers, wiring of recurrent connections."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from bionets.layers.precision import at_least_float32
from bionets.layers.spatial.spatial_layers import spatial_layers

Norm = Literal["l1", "l2"]
POWERS = {"l1": 1, "l2": 2}
EPSILON = 1e-8  # under the square root, so that neurons at one position have a gradient; 0 in half precision
PAIRS_AT_ONCE = 30_000  # in one block of rows: fits in a cache, and is too small for torch to use more threads


class SpatialCosts(NamedTuple):
    """Both costs of a model, without weights."""

    proximity: Tensor
    transport: Tensor


def proximity_cost(positions: Tensor) -> Tensor:
    """The proximity cost of one layer: the mean over all pairs i, j, self-pairs included, of exp(−‖p_i − p_j‖).

    ‖·‖ is sqrt(sum of squares + 1e-8). The memory is proportional to the number of neurons, not of pairs.

    Args:
        positions: ``[N, dim]``.

    Raises:
        ValueError: another shape, or no position.
    """
    _check_positions(positions)
    return _Proximity.apply(at_least_float32(positions))


def transport_cost(
    positions: Tensor, previous_positions: Tensor, weight: Tensor, norm: Norm = "l2", groups: int = 1
) -> Tensor:
    """The transport cost between two layers: the mean over all weights of ‖p_i − q_j‖·|w_ij|ⁿ.

    ‖·‖ is sqrt(sum of squares + 1e-8). A channel has one position, which all weights of a kernel share, and all pixels
    of the channel that are flattened between a convolution and a linear layer. In addition to the weights, the memory
    is proportional to the number of neurons, not of pairs.

    Args:
        positions: ``[out, dim]``.
        previous_positions: positions of the previous layer, ``[in, dim]``.
        weight: ``[out, in]``, ``[out, in · pixels]`` (channel by channel, as in `torch.flatten`), or the weight of a
            convolution, ``[out, in / groups, ...]``.
        norm: ``l1`` for n = 1, ``l2`` for n = 2.
        groups: groups of a convolution; each group of neurons is connected to its own group of the previous layer.

    Raises:
        ValueError: the norm is unknown, there is no neuron, or shapes do not match.
    """
    _check_positions(positions, previous_positions)
    if norm not in POWERS:
        raise ValueError(f"norm={norm} is unknown: choose {' or '.join(POWERS)}")
    if len(weight) != len(positions):
        raise ValueError(f"{len(positions)} positions do not fit a weight of shape {tuple(weight.shape)}")
    if groups < 1 or len(positions) % groups or len(previous_positions) % groups:
        raise ValueError(f"{groups} groups do not divide {len(previous_positions)} and {len(positions)} neurons")
    positions, previous_positions, weight = map(at_least_float32, (positions, previous_positions, weight))
    costs = [
        _Transport.apply(own, previous, connections(rows, len(previous)), POWERS[norm])
        for own, previous, rows in zip(
            positions.chunk(groups), previous_positions.chunk(groups), weight.chunk(groups), strict=True
        )
    ]
    return sum(costs[1:], costs[0]) / weight.numel()


def mean_costs(model: nn.Module, norm: Norm = "l2", where: Sequence[int] | None = None) -> SpatialCosts:
    """Both costs of a model, without weights: the mean `proximity_cost` over its spatial layers, and the mean
    `transport_cost` over the spatial layers that follow another spatial layer.

    Args:
        model: any module; its spatial layers must be registered in the order in which the data pass them.
        norm: norm of the weights, ``l1`` or ``l2``.
        where: indices of the spatial layers to which the costs apply, from 0; None for all. The layer before one of
            these layers need not be one of them.

    Raises:
        ValueError: the model has no spatial layers, ``where`` is out of range, or successive layers do not match.
    """
    layers = spatial_layers(model)
    if not layers:
        raise ValueError(f"{type(model).__name__} has no spatial layers: build it from SpatialLinear and SpatialConv2d")
    chosen = range(len(layers)) if where is None else check_where(where, len(layers))
    nothing = layers[0].positions.new_zeros(())
    proximity = [proximity_cost(layers[i].positions) for i in chosen]
    transport = [
        transport_cost(
            layers[i].positions, layers[i - 1].positions, layers[i].weight, norm, getattr(layers[i], "groups", 1)
        )
        for i in chosen
        if i > 0
    ]
    return SpatialCosts(*(torch.stack(costs).mean() if costs else nothing for costs in (proximity, transport)))


def spatial_cost(
    model: nn.Module, proximity: float, transport: float, norm: Norm = "l2", where: Sequence[int] | None = None
) -> Tensor:
    """proximity · (mean proximity cost) + transport · (mean transport cost), to be added to a loss; see
    `mean_costs`."""
    costs = mean_costs(model, norm, where)
    return proximity * costs.proximity + transport * costs.transport


def check_where(where: Sequence[int], layers: int) -> Sequence[int]:
    """Return ``where`` if it holds distinct indices of the ``layers`` layers; otherwise raise ValueError."""
    beyond = [index for index in where if not 0 <= index < layers]
    if beyond:
        raise ValueError(f"where={list(where)} names layer {beyond[0]}, but the spatial layers are 0 to {layers - 1}")
    if len(set(where)) < len(where):
        raise ValueError(f"where={list(where)} names a layer twice")
    return where


def connections(weight: Tensor, previous: int) -> Tensor:
    """Reshape a weight to ``[out, previous, k]``: k connections from each neuron of the previous layer.

    Raises:
        ValueError: the previous layer cannot have this number of neurons.
    """
    columns = weight.shape[1]
    if columns != previous and (weight.dim() > 2 or columns % previous):
        raise ValueError(f"a weight of shape {tuple(weight.shape)} does not follow a layer of {previous} neurons")
    return weight.reshape(len(weight), previous, -1)


def communicability(weight: Tensor) -> Tensor:
    """The weighted communicability of pairs of units, `[H, H]`: exp(S^(−1/2) |W| S^(−1/2)) with a diagonal of zeros.

    S is the diagonal matrix of the strengths of the units, which are the sums of their outgoing |weights| (at least
    1e-8). The matrix exponential sums over all paths between two units; longer paths have less weight.

    Args:
        weight: `[H, H]`, from column to row.

    Source: Crofts and Higham, "A weighted communicability measure applied to complex brain networks", 2009.
    """
    strength = weight.abs().sum(0).clamp(min=EPSILON).rsqrt()
    paths = torch.linalg.matrix_exp(strength.unsqueeze(1) * weight.abs() * strength)
    return paths - torch.diag_embed(paths.diagonal())


def wiring_cost(weight: Tensor, positions: Tensor) -> Tensor:
    """The wiring cost of a recurrent weight: Σ_ij |w_ij|·‖p_i − p_j‖·C_ij with the `communicability` C.

    ‖·‖ is sqrt(sum of squares + 1e-8). The cost shortens strong connections. It weakens most the connections between
    distant units with a high communicability.

    Args:
        weight: `[H, H]`, or `[G·H, H]` with a block of rows for each gate, of which the mean |weight| is used.
        positions: `[H, dim]`.

    Raises:
        ValueError: shapes do not match.

    Source: Achterberg, Akarca, Strouse, Duncan and Astle, "Spatially embedded recurrent neural networks reveal
    widespread links between structural and functional neuroscience findings", Nature Machine Intelligence 2023.
    """
    _check_positions(positions)
    positions = at_least_float32(positions)
    strengths = mean_strengths(at_least_float32(weight), positions)
    return (strengths * distances(positions) * communicability(strengths)).sum()


def mean_strengths(weight: Tensor, positions: Tensor) -> Tensor:
    """The mean |weight| over gates, `[H, H]`."""
    units = len(positions)
    if weight.dim() != 2 or weight.size(1) != units or weight.size(0) % units:
        raise ValueError(f"{units} positions do not fit a recurrent weight of shape {tuple(weight.shape)}")
    return weight.abs().unflatten(0, (-1, units)).mean(0)


def distances(positions: Tensor) -> Tensor:
    """The distances `[H, H]` between positions `[H, dim]`, in float32 also for half precision; never 0, so that neurons
    at one position have a gradient."""
    positions = at_least_float32(positions)
    return (positions.unsqueeze(1) - positions).square().sum(2).add(EPSILON).sqrt()


class _Proximity(Function):
    """Σ_j exp(−d_ij). The forward pass also computes twice its derivative, for the backward pass."""

    @staticmethod
    def forward(ctx: Any, positions: Tensor) -> Tensor:
        total, gradient = positions.new_zeros(()), torch.empty_like(positions)
        for rows in _blocks(len(positions), len(positions)):
            differences, distances = _pairs(positions[rows], positions)
            closeness = torch.exp(-distances)
            total += closeness.sum()
            closeness /= distances
            for dim, difference in enumerate(differences):
                torch.sum(difference.mul_(closeness), 1, out=gradient[rows, dim])
        pairs = len(positions) ** 2
        ctx.save_for_backward(gradient.mul_(-2 / pairs))
        return total / pairs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        (gradient,) = ctx.saved_tensors
        return upstream * gradient


class _Transport(Function):
    """Σ_ij d_ij Σ_k |w_ijk|ⁿ. The backward pass recomputes the distances, which are as many as the weights."""

    @staticmethod
    def forward(ctx: Any, positions: Tensor, previous: Tensor, weight: Tensor, power: int) -> Tensor:
        ctx.save_for_backward(positions, previous, weight)
        ctx.power = power
        total = positions.new_zeros(())
        for rows in _blocks(len(positions), len(previous)):
            _, distances = _pairs(positions[rows], previous)
            total += distances.mul_(_strength(weight[rows], power)).sum()
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        positions, previous, weight = ctx.saved_tensors
        to_positions, to_previous = torch.empty_like(positions), torch.zeros_like(previous)
        to_weight = torch.empty_like(weight)
        for rows in _blocks(len(positions), len(previous)):
            differences, distances = _pairs(positions[rows], previous)
            slope = weight[rows].sign() if ctx.power == 1 else 2 * weight[rows]
            torch.mul(slope, distances.unsqueeze(2), out=to_weight[rows])
            pull = _strength(weight[rows], ctx.power) / distances
            for dim, difference in enumerate(differences):
                difference *= pull
                torch.sum(difference, 1, out=to_positions[rows, dim])
                to_previous[:, dim] -= difference.sum(0)
        return upstream * to_positions, upstream * to_previous, to_weight.mul_(upstream), None


def _pairs(rows: Tensor, columns: Tensor) -> tuple[list[Tensor], Tensor]:
    """The differences between all rows and all columns in each coordinate, and sqrt(sum of squares + 1e-8)."""
    differences = [x.unsqueeze(1) - y for x, y in zip(rows.unbind(1), columns.unbind(1), strict=True)]
    squares = torch.full_like(differences[0], EPSILON)
    for difference in differences:
        squares.addcmul_(difference, difference)
    return differences, squares.sqrt_()


def _strength(weight: Tensor, power: int) -> Tensor:
    """Σ_k |w|ⁿ, from ``[out, in, k]`` to ``[out, in]``."""
    strength = weight.abs() if power == 1 else weight.square()
    return strength.squeeze(2) if weight.shape[2] == 1 else strength.sum(2)


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of rows whose pairs with all columns fit in a cache."""
    size = max(1, PAIRS_AT_ONCE // columns)
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def _check_positions(*positions: Tensor) -> None:
    shaped = all(each.dim() == 2 and each.numel() for each in positions)
    if not shaped or len({each.shape[1] for each in positions}) != 1:
        shapes = " and ".join(str(tuple(each.shape)) for each in positions)
        raise ValueError(f"positions must be [neurons, dim], not empty, with one dim for all, got {shapes}")
