"""Random numbers for stochastic spikes, a function of the seed, the time step and the position, so that one pass,
chunks and single steps use the same numbers."""

import torch
from torch import Tensor

from bionets.scan.eager import is_batched
from bionets.scan.uniform import uniform


def new_stream(generator: torch.Generator | None = None) -> Tensor:
    """The start of a new stream: its seed, drawn from torch's generator, and the number of steps drawn so far."""
    seed = torch.randint(2**63 - 1, (), dtype=torch.int64, generator=generator)
    return torch.stack([seed, torch.zeros_like(seed)])


def draw_noise(stream: Tensor, time: int, shape: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """The next ``time`` steps of a stream, uniform in [0, 1), float32 ``[time, *shape]``, and the stream after them.

    Raises:
        RuntimeError: torch.vmap batches the stream.
    """
    if is_batched(stream):
        raise RuntimeError("torch.vmap draws random spikes only with randomness='same', one stream for all its calls")
    seed, first = stream.tolist()
    return uniform(seed, first, (time, *shape), device), torch.tensor([seed, first + time])
