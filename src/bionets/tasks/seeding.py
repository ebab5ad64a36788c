"""Random numbers that depend on what is drawn, never on what was drawn before."""

import hashlib

import torch


def split_generator(name: str, seed: int) -> torch.Generator:
    """What draws a random split: the same for every run, unless another ``seed`` of the split is asked for."""
    return generator(name, seed) if seed else generator(name)


def generator(*key: int | str) -> torch.Generator:
    """A CPU generator whose stream is a pure function of ``key``, for instance ``generator(seed, "train", epoch)``.

    A run that is resumed at an epoch therefore draws the numbers that it would have drawn without the interruption.
    The key is hashed because ``manual_seed`` keeps only the low 32 bits of its seed: neighbouring keys give
    unrelated streams.
    """
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))
