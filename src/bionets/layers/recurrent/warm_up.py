"""Warm-up of recurrent layers: training before the task, to maximise the number of reachable stable states."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from bionets.layers.recurrent.recurrence import as_tuple
from bionets.layers.spatial.spatial_recurrent import without_positions


def variability_amongst_attractors(states: Tensor, tolerance: float = 1e-4, *, differentiable: bool = False) -> Tensor:
    """The variability amongst attractors (VAA): 1/n Σ_i 1 / Σ_j C_ij, with C_ij = 1 if ‖s_i − s_j‖ < tolerance, else 0.

    For converged states, it is the number of different stable states divided by n: from 1/n if all states are equal to
    1 if all are different.

    Args:
        states: `[n, N]`.
        tolerance: distance below which two states count as equal.
        differentiable: whether to compute VAA*, whose gradient does not vanish: C_ij = min(1, tolerance / d_ij) with
            the distance d_ij of tanh(s_i) and tanh(s_j).

    Source: Lambrechts, De Geeter, Vecoven, Ernst and Drion, "Warming up recurrent neural networks to maximise reachable
    multistability greatly improves learning", Neural Networks 2023.
    """
    if not differentiable:
        equal = torch.cdist(states, states, compute_mode="donot_use_mm_for_euclid_dist") < tolerance
        return (1 / equal.sum(1, dtype=torch.float64)).mean().to(states)
    bounded = torch.tanh(states)
    squares = (bounded.unsqueeze(1) - bounded).square().sum(2)
    # The minimum keeps the gradient of the root finite if two states are equal.
    same = tolerance / squares.clamp(min=tolerance**2).sqrt()
    return (1 / same.sum(1)).mean()


def warm_up(
    layer: nn.Module,
    batches: Iterable[Tensor],
    steps: int = 100,
    lr: float = 1e-2,
    target: float = 0.95,
    tolerance: float = 1e-4,
    longest: int = 200,
    increment: int = 10,
    sequences: int = 32,
    generator: Generator | None = None,
) -> list[float]:
    """Train the weights of a recurrent layer in place, until its VAA* is about `target`.

    In each training step, every sequence of a batch is run to a random time. From the states at this time, the layer
    continues with a constant input u ~ N(0, 1) for a random time of at most `longest` steps, so that the states
    converge. Then Adam takes a step on Σ_k (VAA*_k − target)² over the layers k of the stack. For VAA*_k, the other
    layers start from the same states in all sequences. Layer k then has the same input in all sequences, so that only
    its own stable states can differ. (In the original, each layer has its own random input.)

    Args:
        layer: a layer with the interface of `torch.nn.GRU`, in one direction: `nn.GRU`, `nn.LSTM`, `NBRC`, ...
        batches: batches of inputs `[T, B, I]` (`[B, T, I]` with `batch_first`), repeated if necessary.
        steps: number of optimizer steps.
        lr: learning rate of Adam.
        target: the VAA* to be reached.
        tolerance: see `variability_amongst_attractors`.
        longest, increment: the time in step number s is drawn from 1 to min(longest, 1 + increment·s).
        sequences: maximum number of sequences used of each batch.
        generator: generator of the random times and inputs.

    Returns:
        The mean VAA* over layers at each step.

    Raises:
        ValueError: a bidirectional layer, a layer without trainable parameters, no batch, or a batch that is empty or
            not of three dimensions.

    Source: as `variability_amongst_attractors`. The published values are the defaults.
    """
    layer = without_positions(layer)
    if getattr(layer, "bidirectional", False):
        raise ValueError("a bidirectional layer has no time step: warm up layers of one direction")
    parameters = [each for each in layer.parameters() if each.requires_grad]
    if not parameters:
        raise ValueError("the layer has no parameters that can be trained (requires_grad), so it cannot be warmed up")
    optimizer = torch.optim.Adam(parameters, lr=lr)
    reached = []
    with _as_one_function(layer):
        for step, x in enumerate(islice(cycle(batches), steps)):
            if x.dim() != 3 or not x.numel():
                raise ValueError(
                    f"batches must be a list of tensors [T, B, I], got one of shape {list(x.shape)}; none may be empty"
                )
            x = (x.transpose(0, 1) if getattr(layer, "batch_first", False) else x)[:, :sequences].to(parameters[0])
            settling = int(torch.randint(1, min(longest, 1 + increment * step) + 1, (), generator=generator))
            values = _score(layer, x, settling, tolerance, generator)
            optimizer.zero_grad()
            (values - target).square().sum().backward()
            optimizer.step()
            reached.append(float(values.detach().mean()))
    optimizer.zero_grad()
    if not reached and steps:
        raise ValueError("there is no batch to warm up on")
    return reached


def _score(layer: nn.Module, x: Tensor, settling: int, tolerance: float, generator: Generator | None) -> Tensor:
    """VAA* of each layer of the stack, `[num_layers]`."""
    batch = x.size(1)
    times = torch.randint(1, len(x) + 1, (batch,), generator=generator)
    u = torch.randn(x.size(2), generator=generator).to(x).expand(settling, batch, -1)
    first = getattr(layer, "batch_first", False)
    packed = pack_padded_sequence(x, times, enforce_sorted=False)
    _, reached = layer(packed)
    states = as_tuple(reached)
    values = []
    for k in range(states[0].size(0)):
        starts = tuple(state[:, :1].expand_as(state).clone() for state in states)
        for start, state in zip(starts, states, strict=True):
            start[k] = state[k]
        given = starts if isinstance(reached, tuple) else starts[0]
        _, settled = layer(u.transpose(0, 1) if first else u, given)
        own = torch.cat([end[k] for end in as_tuple(settled)], -1)
        values.append(variability_amongst_attractors(own, tolerance, differentiable=True))
    return torch.stack(values)


@contextmanager
def _as_one_function(layer: nn.Module) -> Iterator[None]:
    """Disable dropout, and set training mode, which cuDNN requires for gradients."""
    training, dropout = layer.training, getattr(layer, "dropout", 0.0)
    layer.train()
    if dropout:
        layer.dropout = 0.0  # type: ignore[assignment]
    try:
        yield
    finally:
        layer.train(training)
        if dropout:
            layer.dropout = dropout  # type: ignore[assignment]
