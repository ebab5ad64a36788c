"""Learned delays: their weights for each number of steps, their annealing, and their rounding."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from bionets.layers.checks import positive_int
from bionets.layers.find_modules import find_modules
from bionets.layers.precision import at_least_float32

INTERPOLATIONS = ("linear", "gaussian")


class Delays(nn.Module):
    """Delays of neurons or of synapses, as a weight for each number of steps.

    A delay p between ``shortest`` and ``longest`` steps need not be an integer. Step d has the weight

        linear:    w_d ∝ max(0, 1 − |d − p| / (1 + σ))
        gaussian:  w_d ∝ exp(−(d − p)² / (2σ²))

    normalised to Σ_d w_d = 1. With σ = 0, only the two steps next to p have a weight (``gaussian``: only the nearest
    step, or the two nearest in equal parts). With a larger σ, the gradient of p depends on more steps. `anneal_delays`
    decreases σ during training, and `round_delays` rounds the delays to integers afterwards. A delay outside its range
    is clamped to the range, and its gradient passes through.

    Args:
        shape: shape of the delays: ``(N,)`` for one delay per neuron, ``(N, I)`` for one delay per synapse.
        shortest, longest: range of the delays, in steps.
        delays: a number, or a tensor of that shape; None: drawn from the uniform distribution over the range.
        learn: whether the delays are a parameter.
        sigma: the width σ, in steps, before it is annealed.
        interpolation: ``linear`` or ``gaussian``.

    Attributes:
        delays: the delays, in steps (``P`` in DCLS). sigma: the current width (``SIG`` in DCLS).

    Source: Hammouamri et al., "Learning delays in spiking neural networks using dilated convolutions with learnable
    spacings", ICLR 2024 (arXiv 2306.17670), for synapses between layers; recurrent delays of neurons as in DelRec
    (arXiv 2509.24852).
    """

    sigma: Tensor
    delays: Tensor
    no_weight_decay = ("delays",)

    def __init__(
        self,
        shape: tuple[int, ...],
        shortest: int,
        longest: int,
        *,
        delays: float | Tensor | None = None,
        learn: bool = True,
        sigma: float = 0.0,
        interpolation: str = "linear",
    ) -> None:
        super().__init__()
        if interpolation not in INTERPOLATIONS:
            raise ValueError(f"interpolation={interpolation!r} is unknown: choose {' or '.join(INTERPOLATIONS)}")
        if not 0 <= sigma < math.inf:
            raise ValueError(f"sigma must be at least 0 steps and finite, got {sigma}")
        self.shortest, self.longest = shortest, positive_int("max_delay", longest)
        self.interpolation = interpolation
        self.widest = float(sigma)
        if delays is None:
            values = torch.empty(shape).uniform_(shortest, longest)
        else:
            values = torch.as_tensor(delays, dtype=torch.get_default_dtype()).detach()
        if values.dim() and tuple(values.shape) != shape:
            raise ValueError(f"delays must be a number or a tensor of shape {shape}, got shape {tuple(values.shape)}")
        if not values.is_meta and not bool(((values >= shortest) & (values <= longest)).all()):
            raise ValueError(f"delays must lie between {shortest} and {longest} steps")
        values = values.expand(shape).clone()
        if learn:
            self.delays = nn.Parameter(values)
        else:
            self.register_buffer("delays", values)
        self.register_buffer("sigma", torch.tensor(float(sigma)))

    def values(self) -> Tensor:
        """The delays, in steps."""
        return self.delays

    def round_values(self) -> None:
        """Round the delays to integers, with σ = 0."""
        with torch.no_grad():
            self.delays.copy_(self.values().clamp(self.shortest, self.longest).round())
        self.sigma.zero_()

    def forward(self) -> Tensor:
        """The weights w, ``[longest − shortest + 1, *shape]``, from the shortest delay to the longest."""
        own = self.values()
        values = at_least_float32(own)  # in bfloat16, steps from 256 on would coincide
        kept = values + (values.clamp(self.shortest, self.longest) - values).detach()
        steps = torch.arange(self.shortest, self.longest + 1, device=kept.device, dtype=kept.dtype)
        distance = steps.view(-1, *(1,) * kept.dim()) - kept
        if self.interpolation == "gaussian":
            sigma = at_least_float32(self.sigma)
            return torch.softmax(-0.5 * (distance / sigma.clamp(min=1e-3)).square(), 0).to(own.dtype)
        height = 1 - distance.abs() / (1 + self.sigma)
        # At the boundary of the support, half of the gradient passes: an integer delay has one such step on each side,
        # and the slope is the mean of both. At the ends of the range there is only one side.
        inside = (kept > self.shortest) & (kept < self.longest)
        weights = torch.where(inside, (height + height.abs()) / 2, torch.where(height < 0, 0, height))
        return (weights / weights.sum(0)).to(own.dtype)

    def extra_repr(self) -> str:
        sigma = "" if self.sigma.is_meta else f" sigma={self.sigma.item():g},"
        return f"{self.shortest} to {self.longest} steps,{sigma} {self.interpolation}"


def anneal_delays(model: Any, share: float) -> None:
    """Narrow all `Delays` of a model: σ is its initial value times 1 − ``share``; share goes from 0 to 1 in
    training.

    Raises:
        ValueError: share is not between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be between 0 and 1, got {share}")
    for _, delays in find_modules(model, Delays):
        delays.sigma.fill_(delays.widest * (1 - share))


def round_delays(model: Any) -> None:
    """Round all `Delays` of a model to integers, with σ = 0."""
    for _, delays in find_modules(model, Delays):
        delays.round_values()
