"""Learning rate schedules."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def cosine_schedule(optimizer: Optimizer, steps: int, warmup: float = 0.0, final: float = 0.0) -> LambdaLR:
    """Increase the learning rate linearly from 0 to that of the optimizer over the first share ``warmup`` of all
    ``steps``, then decrease it along half a cosine to the share ``final`` of this rate.

    Args:
        optimizer: the optimizer whose learning rate changes.
        steps: number of training steps.
        warmup: share of the steps in which the learning rate increases.
        final: learning rate at the end, as a share of that of the optimizer.

    Raises:
        ValueError: a share is not between 0 and 1.
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
