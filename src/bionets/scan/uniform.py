"""Uniform random numbers as a function of a seed, a step and an index: the counter-based generator Philox4x32-7.

Counters need no state: threads fill any part in any order, and a stream continues from any step. Source: Salmon
et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011; 7 rounds are the fewest that pass all of TestU01.
"""

import importlib
import importlib.util
import math

import torch
from torch import Tensor

from bionets.scan.cpu.buffers import empty
from bionets.scan.eager import in_transform, outside_transforms

__all__ = ["uniform"]

ROUNDS = 7
LANE = 512  # counters of a tile; each gives four numbers, LANE apart: constant distances, so that LLVM vectorises


def uniform(seed: int, first_step: int, shape: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
    """Random numbers in [0, 1), float32 ``[steps, *]``, multiples of 2⁻²⁴, for the steps from ``first_step`` on.

    A number depends only on the seed (63 bits), on the number of the step and on its index in the step, so it is the
    same on every device.
    """
    if in_transform():  # gradients of torch.func wrap new tensors: none has memory to fill
        with outside_transforms():
            return uniform(seed, first_step, shape, device)
    device, seed = torch.device(device), seed % (1 << 63)
    if device.type == "meta" or not math.prod(shape):
        return torch.empty(shape, device=device)
    on_gpu = device.type == "cuda" and importlib.util.find_spec("triton") is not None
    numbers = torch.empty(shape, device=device) if on_gpu else empty(shape, torch.float32)
    backend = importlib.import_module(f"bionets.scan.{'gpu' if on_gpu else 'cpu'}.uniform")  # with its compiler
    backend.fill(numbers.view(len(numbers), -1), seed, first_step)
    return numbers.to(device)
