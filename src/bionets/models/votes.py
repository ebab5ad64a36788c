"""Classification by neurons that have learnt without labels, from their responses to labelled training samples."""

import torch
from torch import Tensor, nn

from bionets.models.checks import require_one_of

VOTES = ("proportion", "assigned")
SMALLEST_PROPORTION = 1e-3  # the proportion of a class for which a neuron never fired


class Votes(nn.Module):
    """The response of each neuron to each class, and the class scores of a sample.

    ``assigned``: every neuron belongs to the class for which it fires most; the score of a class is the mean count of
    its neurons (Diehl and Cook, 2015). ``proportion``: every neuron votes for each class c in the proportion p_c of its
    mean counts for the classes, and the score of c is Σ counts·log p_c.

    The observed counts are saved with the model.
    """

    spikes: Tensor
    samples: Tensor

    def __init__(self, neurons: int, classes: int, vote: str = "proportion") -> None:
        super().__init__()
        require_one_of(VOTES, vote=vote)
        self.vote = vote
        self.register_buffer("spikes", torch.zeros(classes, neurons))
        self.register_buffer("samples", torch.zeros(classes))

    def forget(self, keep: float = 0.0) -> None:
        """Scale the observed counts by ``keep``."""
        self.spikes *= keep
        self.samples *= keep

    def observe(self, counts: Tensor, labels: Tensor) -> None:
        """Add the spike counts ``[B, neurons]`` of samples with these labels ``[B]``."""
        self.spikes.index_add_(0, labels, counts.to(self.spikes))
        self.samples += torch.bincount(labels, minlength=len(self.samples))

    @property
    def means(self) -> Tensor:
        """The mean count of each neuron for each class, ``[classes, neurons]``."""
        samples = self.samples.clamp(min=torch.finfo(self.samples.dtype).tiny)  # less than 1 after `forget`
        return self.spikes / samples.unsqueeze(1)

    @property
    def assigned(self) -> Tensor:
        """The class for which each neuron fires most, ``[neurons]``; −1 for a neuron without observed spikes."""
        highest, label = self.means.max(0)
        return torch.where(highest > 0, label, -1)

    def forward(self, counts: Tensor) -> Tensor:
        """The scores ``[B, classes]`` for spike counts ``[B, neurons]``."""
        counts = counts.to(self.spikes)
        if self.vote == "assigned":
            members = (self.assigned == torch.arange(len(self.samples), device=counts.device).unsqueeze(1)).to(counts)
            return counts @ members.T / members.sum(1).clamp(min=1)
        means = self.means
        proportions = means / means.sum(0).clamp(min=torch.finfo(means.dtype).tiny)
        return counts @ (proportions + SMALLEST_PROPORTION).log().T
