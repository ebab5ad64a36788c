"""Learning rate schedules."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def cosine_schedule(optimizer: Optimizer, steps: int, warmup: float = 0.0, final: float = 0.0) -> LambdaLR:
    """From 0 up to the optimizer's rate in a straight line over the first share ``warmup`` of all ``steps``, then down
    to the share ``final`` of it along half a cosine.

    Args:
        optimizer: whose learning rate changes.
        steps: of the whole training.
        warmup: share of the steps in which the rate rises.
        final: share of the rate that is left at the end.

    Raises:
        ValueError: a share that does not lie between 0 and 1.
    """
    for name, share in (("warmup", warmup), ("final", final)):
        if not 0 <= share <= 1:
            raise ValueError(f"schedule.{name} must lie between 0 and 1, got {share}")
    rising = warmup * steps

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        progress = min(1.0, (step - rising) / max(1.0, steps - rising))
        return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2

    return LambdaLR(optimizer, factor)
