"""Noise for stochastic steps, which take it as an input."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bionets.scan.eager import is_eager


def uniform(
    shape: Sequence[int], *, device: torch.device | str = "cpu", generator: torch.Generator | None = None
) -> Tensor:
    """Float32 numbers uniform in [0, 1), as `torch.rand` gives them; on the CPU many times faster, on all threads.

    A seed is drawn from torch's generator, or from `generator`: so `torch.manual_seed` fixes the noise. The numbers
    differ from those of `torch.rand`; on the CPU they do not depend on the number of threads.
    """
    if torch.device(device).type != "cpu" or not is_eager(()):
        return torch.rand(*shape, device=device, generator=generator)
    from bionets.scan.buffers import empty
    from bionets.scan.numba_compile import helper
    from bionets.scan.numba_random import CHUNK
    from bionets.scan.threads import run_parts, split

    count = math.prod(shape)
    chunks = -(-count // CHUNK)
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    numbers = empty((chunks * CHUNK,), torch.float32)
    fill, address = helper("uniform", 32, 4), numbers.data_ptr()
    run_parts(lambda first, last: fill(address, first, last, seed), split(chunks, 1) if count > SMALL else [0, chunks])
    return numbers[:count].view(*shape)


SMALL = 1 << 14  # numbers below which a second thread does not pay
