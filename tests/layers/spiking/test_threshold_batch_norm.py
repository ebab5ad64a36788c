"""Threshold-dependent batch normalisation scales the input of neurons by their threshold."""

import torch
from torch import nn

from bionets.layers import unroll
from bionets.layers.spiking import LIB, ThresholdBatchNorm1d, ThresholdBatchNorm2d


def test_the_output_is_normalised_over_batch_and_time_and_scaled_by_the_threshold() -> None:
    x = 7 + 3 * torch.randn(20, 10, 4, dtype=torch.float64)
    y = unroll(ThresholdBatchNorm1d(4, threshold=0.5, alpha=0.8).double(), x)
    normalised = (x - x.mean((0, 1))) / (x.var((0, 1), correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(y, 0.4 * normalised)


def test_images_are_normalised_by_channel() -> None:
    x = torch.randn(6, 3, 5, 5) * torch.tensor([1.0, 10.0, 100.0]).view(3, 1, 1)
    y = ThresholdBatchNorm2d(3, threshold=2.0, eps=1e-12)(x)
    torch.testing.assert_close(y.std((0, 2, 3), correction=0), torch.full((3,), 2.0))


def test_threshold_batch_norm_has_the_state_dict_and_output_of_batch_norm() -> None:
    norm = ThresholdBatchNorm1d(3, threshold=0.3)
    plain = nn.BatchNorm1d(3)
    plain.load_state_dict(norm.state_dict())
    x = torch.randn(9, 3)
    assert torch.equal(norm(x), plain(x))
    assert ThresholdBatchNorm1d(3, affine=False).weight is None


def test_the_gradient_of_neurons_reaches_the_normalisation() -> None:
    model = nn.Sequential(nn.Linear(3, 6), ThresholdBatchNorm1d(6), LIB(6, spike_fn="arctan"))
    unroll(model, torch.randn(8, 5, 3)).sum().backward()
    assert model[1].weight.grad is not None
