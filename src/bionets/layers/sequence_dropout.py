"""Dropout with one mask for all steps of a sequence."""

from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from bionets.layers.lengths import valid_steps, zero_past_end
from bionets.layers.stateful import StatefulModule, States
from bionets.scan.arguments import check_lengths, check_reset


class SequenceDropout(StatefulModule):
    """Dropout with the same mask at every step: y[t] = x[t]·m with m ~ Bernoulli(1 − p) / (1 − p).

    The state ``mask`` is drawn from torch's generator at the first call after `reset_states`, and has the shape of the
    input of one step ``[B, ...]``; each sequence has its own mask. In evaluation mode, the layer is the identity.

    Args:
        p: the probability of an entry to be zeroed.

    Raises:
        ValueError: p is not between 0 and 1.

    Source: Gal and Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks",
    NeurIPS 2016, for the inputs and outputs of a layer.
    """

    state_names = ("mask",)
    mask: Tensor | None

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if isinstance(p, bool) or not 0 <= p <= 1:
            raise ValueError(f"p must lie between 0 and 1, got {p}")
        self.p = p

    def state_shapes(self, input_shape: torch.Size) -> tuple[tuple[int, ...], ...]:
        """The shape of one step's input."""
        return (tuple(input_shape),)

    def initial_states(self, x: Tensor) -> States:
        """A new mask for each sequence of x ``[T, B, ...]``; in evaluation mode, ones."""
        return (functional.dropout(x.new_ones(x.shape[1:]), self.p, self.training),)

    def train(self, mode: bool = True) -> Self:
        """Set the mode. Training that continues from a state of evaluation draws a new mask."""
        if mode and not self.training:
            self.mask = None
        return super().train(mode)

    def over_time(
        self,
        x: Tensor,
        states: States | None = None,
        *,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
        backend: str = "auto",
    ) -> tuple[Tensor, States]:
        """x ``[T, B, ...]`` times the mask in training mode, with a new mask after a reset. See `StatefulModule`."""
        if lengths is not None:
            lengths = check_lengths(lengths, x.shape, x.device)
            x = zero_past_end(x, lengths)
        if reset is not None:
            reset = check_reset(reset, x.shape, x.device)
        (mask,) = self.checked_states(x, states)
        over_time = mask
        if reset is not None and self.training:
            if lengths is not None:
                reset = reset & valid_steps(lengths, len(x))
            masks = []
            for fresh in reset.view(*reset.shape, *(1,) * (mask.dim() - 1)):
                mask = torch.where(fresh, self.initial_states(x)[0], mask) if fresh.any() else mask
                masks.append(mask)
            over_time = torch.stack(masks) if masks else mask
        return (x * over_time if self.training else x), (mask,)

    def extra_repr(self) -> str:
        return f"p={self.p}"
