"""Boolean functions of noisy bits, encoded as spikes."""

import torch
from torch import Generator, Tensor

from .bases import Classification
from .checks import require_at_least, require_one_of
from .spec import TaskSpec
from .task import Data

FUNCTIONS = {"and": torch.logical_and, "or": torch.logical_or, "xor": torch.logical_xor}
BITS, CLASSES, STEPS_PER_SECOND = 2, 2, 1000


class Boolean(Classification):
    """Compute ``function`` (``and``, ``or``, ``xor``) of two bits, each encoded by a population of Poisson neurons.

    x is ``[steps, B, 4 * population]``, spikes in steps of 1 ms: ``population`` neurons for the first bit, the same
    number for its complement, and likewise for the second bit. The encoded value of a bit b is b + N(0, ``noise``²),
    clamped to [0, 1]. The firing rate of its neurons is a linear function of this value, from ``low_rate`` to
    ``high_rate``. The target ``[B]`` is the class 0 or 1.

    The four pairs of bits take turns: they are equally frequent in a set whose size is a multiple of 4. The loss is the
    cross-entropy of the scores.

    Args:
        function: ``and``, ``or`` or ``xor``.
        steps: number of time steps of 1 ms.
        population: number of neurons for each bit, and for its complement.
        low_rate: firing rate for 0, in spikes per second.
        high_rate: firing rate for 1, in spikes per second.
        noise: standard deviation of the noise added to a bit.
        others: see `Task`.
    """

    stored_batch_dims = (0, 0)

    def __init__(
        self,
        function: str = "xor",
        steps: int = 100,
        population: int = 10,
        low_rate: float = 5.0,
        high_rate: float = 100.0,
        noise: float = 0.1,
        train_size: int = 2_000,
        val_size: int = 400,
        test_size: int = 1_000,
        batch_size: int = 1,
        epochs: int = 5,
        seed: int = 0,
    ) -> None:
        require_one_of(FUNCTIONS, function=function)
        require_at_least(1, steps=steps, population=population)
        if not 0 <= low_rate < high_rate <= STEPS_PER_SECOND:
            raise ValueError(
                f"task.low_rate must be below task.high_rate, both from 0 to {STEPS_PER_SECOND} spikes a second, "
                f"got {low_rate} and {high_rate}"
            )
        if not noise >= 0:  # also NaN, with which no neuron would spike
            raise ValueError(f"task.noise must be at least 0, got {noise}")
        super().__init__(train_size, val_size, test_size, batch_size, epochs, seed=seed)
        self.function = FUNCTIONS[function]
        self.steps = steps
        self.population = population
        self.low_rate = low_rate
        self.high_rate = high_rate
        self.noise = noise
        self.spec = TaskSpec("sequence_to_class", 2 * BITS * population, CLASSES, steps=steps, spikes=True)

    def draw(self, split: str, size: int, generator: Generator) -> Data:
        """The noisy bits ``[size, 2]``, and the class of the noiseless bits."""
        pairs = torch.arange(size) % 2**BITS
        bits = torch.stack([pairs // 2, pairs % 2], dim=1)
        noisy = (bits + self.noise * torch.randn(size, BITS, generator=generator)).clamp(0, 1)
        return noisy, self.function(bits[:, 0], bits[:, 1]).long()

    def encode(self, x: Tensor, random: Generator) -> Tensor:
        """The spike trains of noisy bits ``[B, 2]``."""
        levels = torch.stack([x, 1 - x], dim=2).flatten(1).repeat_interleave(self.population, dim=1)
        chance = (self.low_rate + (self.high_rate - self.low_rate) * levels) / STEPS_PER_SECOND
        return (torch.rand(self.steps, *chance.shape, generator=random) < chance).float()
