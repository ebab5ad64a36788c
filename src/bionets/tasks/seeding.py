"""Random generators that depend only on a key, not on the numbers drawn before."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def split_generator(name: str, seed: int) -> torch.Generator:
    """The generator of a random split; it is the same in every run with the same ``seed`` of the split."""
    return generator(name, seed) if seed else generator(name)


def stratified_split(labels: Tensor, val_share: float, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """The rows for training and the rows for validation, each in ascending order. The rounded share of each class is
    for validation; at least one sample of each class remains for training.

    Raises:
        ValueError: the share leaves no sample for training or validation.
    """
    if not 0 < val_share < 1:
        raise ValueError(f"task.val_share must be above 0 and below 1, got {val_share}")
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        (rows,) = torch.where(labels == label)
        size = min(round(val_share * len(rows)), len(rows) - 1)
        chosen[rows[torch.randperm(len(rows), generator=random)[:size]]] = True
    if not bool(chosen.any()):
        raise ValueError(f"task.val_share={val_share} of {len(labels)} samples leaves none for validation")
    return torch.where(~chosen)[0], torch.where(chosen)[0]


def generator(*key: int | str) -> torch.Generator:
    """A CPU generator whose stream is a pure function of ``key``, for instance ``generator(seed, "train", epoch)``.

    A run that is resumed at an epoch therefore draws the same numbers as an uninterrupted run. The key is hashed
    because ``manual_seed`` keeps only the low 32 bits of its seed: neighbouring keys give unrelated streams.
    """
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))


@contextmanager
def drawing_float32() -> Iterator[None]:
    """Random numbers drawn within this context are those of float32, as in training; with a default dtype of float64,
    the same generator draws others."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
