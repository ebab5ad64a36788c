"""Actor-critic parts of reward-modulated learning: place cells and a critic."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Bounds = Sequence[tuple[float, float]]


class PlaceCells(nn.Module):
    """Place cells on a grid over the observations, with ``cells`` cells along each dimension between the bounds:

        φ_i(s) ∝ exp(−½ Σ_k ((s_k − c_ik) / σ_k)²),   Σ_i φ_i = 1

    where σ_k is ``width`` times the distance between neighbours along dimension k. Maps ``[B, D]`` to ``[B, size]``.
    """

    centres: Tensor
    sigma: Tensor

    def __init__(self, bounds: Bounds, cells: Sequence[int], width: float = 0.6) -> None:
        super().__init__()
        if len(cells) != len(bounds) or min(cells) < 2:
            raise ValueError(f"model.place_cells must be 2 or more along each of {len(bounds)} dimensions, got {cells}")
        if not width > 0:
            raise ValueError(f"model.place_width must be above 0, got {width}")
        if not torch.tensor(list(bounds)).diff().isfinite().all():
            raise ValueError(
                f"task.bounds must be finite, got {list(bounds)}: choose the usual range of each observation"
            )
        axes = [torch.linspace(low, high, count) for (low, high), count in zip(bounds, cells, strict=True)]
        self.register_buffer("centres", torch.cartesian_prod(*axes).view(-1, len(axes)))
        self.register_buffer("sigma", torch.stack([width * (axis[1] - axis[0]) for axis in axes]))

    @property
    def size(self) -> int:
        return len(self.centres)

    def forward(self, observations: Tensor) -> Tensor:
        distance = ((observations.unsqueeze(1) - self.centres) / self.sigma).square().sum(2)
        return torch.softmax(-distance / 2, dim=1)


class Critic(nn.Module):
    """V(s) = Σ w_i φ_i(s), learnt by TD(λ) with eligibility traces:

        δ = (1 − γ) r + γ V(s') − V(s),   e ← γ λ e + φ(s),   w ← w + rate·δ·e        mean over the batch

    where V(s') is 0 if the episode ended at s'. With the factor 1 − γ, V has the scale of a reward. The initial value
    of w is ``initial_value``.

    Source: Sutton, "Learning to predict by the methods of temporal differences", 1988.
    """

    weight: Tensor

    def __init__(self, cells: int, rate: float, discount: float, decay: float, initial_value: float) -> None:
        super().__init__()
        if not (0 <= discount < 1 and 0 <= decay <= 1):
            raise ValueError(
                "model.discount must be at least 0 and below 1, and model.critic_decay from 0 to 1, "
                f"got {discount} and {decay}"
            )
        self.rate, self.discount, self.decay = rate, discount, decay
        self.register_buffer("weight", torch.full((cells,), float(initial_value)))
        self.eligibility: Tensor | None = None

    def reset(self) -> None:
        """Begin new episodes."""
        self.eligibility = None

    def forward(self, cells: Tensor) -> Tensor:
        """V for the activity of place cells ``[B, cells]``."""
        return cells @ self.weight

    def error(self, before: Tensor, reward: Tensor, after: Tensor, ended: Tensor) -> Tensor:
        """The temporal-difference error δ, ``[B]``."""
        future = torch.where(ended, 0.0, self(after))
        return (1 - self.discount) * reward + self.discount * future - self(before)

    def learn(self, before: Tensor, error: Tensor) -> None:
        """Update V with one step of every episode."""
        kept = 0.0 if self.eligibility is None else self.discount * self.decay * self.eligibility
        self.eligibility = kept + before
        self.weight += self.rate * (error.unsqueeze(1) * self.eligibility).mean(0)
