"""Conversion of decays to half-lives and time constants in steps, for numbers and tensors."""

import math
from typing import TypeVar

import torch
from torch import Tensor

Number = TypeVar("Number", float, Tensor)


def decay_from_half_life(half_life: Number) -> Number:
    """2^(−1/n): the decay after which half of a trace is left in n steps. Raises ValueError unless n > 0."""
    _check("half_life", half_life, half_life > 0, "greater than 0")
    return 2 ** (-1 / half_life)


def half_life_from_decay(decay: Number) -> Number:
    """−1 / log₂ decay: the steps after which half of a trace is left. Raises ValueError unless 0 < decay < 1."""
    _check("decay", decay, (decay > 0) & (decay < 1), "above 0 and below 1")
    return -1 / (torch.log2(decay) if isinstance(decay, Tensor) else math.log2(decay))


def decay_from_time_steps(time_steps: Number) -> Number:
    """1 − 1/n: the decay of an average over about n steps (a time constant of n steps, by Euler's method).

    Raises ValueError unless n >= 1.
    """
    _check("time_steps", time_steps, time_steps >= 1, "at least 1")
    return 1 - 1 / time_steps


def time_steps_from_decay(decay: Number) -> Number:
    """1 / (1 − decay): the number of steps over which a trace averages. Raises ValueError unless 0 <= decay < 1."""
    _check("decay", decay, (decay >= 0) & (decay < 1), "at least 0 and below 1")
    return 1 / (1 - decay)


def _check(name: str, value: float | Tensor, valid: bool | Tensor, words: str) -> None:
    if not (bool(valid.all()) if isinstance(valid, Tensor) else valid):
        raise ValueError(f"{name} must be {words}, got {value}")
