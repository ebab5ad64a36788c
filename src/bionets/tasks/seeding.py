"""Random numbers that depend on what is drawn, never on what was drawn before."""

import hashlib

import torch
from torch import Tensor


def split_generator(name: str, seed: int) -> torch.Generator:
    """The generator of a random split: the same in every run, unless another ``seed`` of the split is given."""
    return generator(name, seed) if seed else generator(name)


def stratified_split(labels: Tensor, val_share: float, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """The rows for training and those for validation, each in ascending order: a share of each class, rounded, is for
    validation, but never the last sample of a class.

    Raises:
        ValueError: a share that leaves no sample for one of the two.
    """
    if not 0 < val_share < 1:
        raise ValueError(f"task.val_share must lie between 0 and 1, got {val_share}")
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

    A run that is resumed at an epoch therefore draws the numbers that it would have drawn without the interruption.
    The key is hashed because ``manual_seed`` keeps only the low 32 bits of its seed: neighbouring keys give
    unrelated streams.
    """
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))
