"""Batch normalisation that scales the input of neurons to their threshold."""

from typing import Any

from torch import nn


class _ThresholdBatchNorm:
    """Sets the initial gains of the batch normalisation that is the other base class."""

    weight: nn.Parameter

    def __init__(self, num_features: int, threshold: float = 1.0, alpha: float = 1.0, **arguments: Any) -> None:
        self.gain = alpha * threshold  # read by reset_parameters within the next line
        super().__init__(num_features, **arguments)  # type: ignore[call-arg]

    def reset_parameters(self) -> None:
        """Gains α·V_th and biases 0."""
        super().reset_parameters()  # type: ignore[misc]
        if self.weight is not None:
            nn.init.constant_(self.weight, self.gain)


class ThresholdBatchNorm1d(_ThresholdBatchNorm, nn.BatchNorm1d):
    """Threshold-dependent batch normalisation (tdBN): y = γ·(x − mean)/√(var + ε) + β, and γ starts at α·V_th.

    Use it between the weights and the neurons. In `bionets.layers.unroll`, mean and variance of each feature are over
    all steps of all samples, as in the source; step by step, they are over the samples of one step.

    Args:
        num_features: as in `torch.nn.BatchNorm1d`.
        threshold: V_th of the neurons that follow.
        alpha: α; 1/√2 if two such branches are added.
        arguments: other arguments of `torch.nn.BatchNorm1d`.

    Source: Zheng, Wu, Deng, Hu and Li, "Going deeper with directly-trained larger spiking neural networks", AAAI 2021.
    """


class ThresholdBatchNorm2d(_ThresholdBatchNorm, nn.BatchNorm2d):
    """`ThresholdBatchNorm1d` for the channels of images ``[B, C, H, W]``."""
