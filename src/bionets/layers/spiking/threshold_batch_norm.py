"""Batch normalisation that fits what drives a neuron to its threshold."""

from typing import Any

from torch import nn


class _ThresholdBatchNorm:
    """Sets the gains of the batch normalisation beside which it is a base."""

    weight: nn.Parameter

    def __init__(self, num_features: int, threshold: float = 1.0, alpha: float = 1.0, **arguments: Any) -> None:
        self.gain = alpha * threshold  # reset_parameters reads it within the next line
        super().__init__(num_features, **arguments)  # type: ignore[call-arg]

    def reset_parameters(self) -> None:
        """Gains α·V_th and biases 0."""
        super().reset_parameters()  # type: ignore[misc]
        if self.weight is not None:
            nn.init.constant_(self.weight, self.gain)


class ThresholdBatchNorm1d(_ThresholdBatchNorm, nn.BatchNorm1d):
    """Threshold-dependent batch normalisation (tdBN): y = γ·(x − mean)/√(var + ε) + β, and γ starts at α·V_th.

    Put it between the weights and the neurons. In `bionets.layers.unroll` mean and variance are those of all steps of
    all samples, for each feature, as the source has it; called step by step, of one step.

    Args:
        num_features: as in `torch.nn.BatchNorm1d`.
        threshold: V_th of the neurons that follow.
        alpha: α; 1/√2 where two such branches are added.
        arguments: others of `torch.nn.BatchNorm1d`.

    Source: Zheng, Wu, Deng, Hu and Li, "Going deeper with directly-trained larger spiking neural networks", AAAI 2021.
    """


class ThresholdBatchNorm2d(_ThresholdBatchNorm, nn.BatchNorm2d):
    """`ThresholdBatchNorm1d` for images ``[B, C, H, W]``, for each channel; see there."""
