"""Which of the two ways computes a presentation: step by step in PyTorch, or one kernel that follows spikes."""

import functools
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bionets.layers.plastic import reference

if TYPE_CHECKING:
    from bionets.layers.plastic.network import Network

Run = Callable[["Network", dict[str, Tensor], Tensor | None], dict[str, Tensor]]


def choose(network: "Network", backend: str, device: torch.device) -> tuple[str, Run]:
    """The name of the backend and its function.

    Raises:
        ValueError: no backend has this name, or "numba" was asked for and cannot compute this network.
    """
    if backend == "reference":
        return backend, reference.run
    if backend not in ("auto", "numba"):
        raise ValueError(f"unknown backend {backend!r}; choose auto, reference or numba")
    if backend == "auto" and device.type != "cpu":
        return "reference", reference.run
    from bionets.layers.plastic.events import run, why_not  # only here: it brings Numba

    reason = why_not(network, device)
    if reason is None:
        return "numba", run
    if backend == "numba":
        raise ValueError(f"backend 'numba' cannot compute this network: {reason}")
    _warn_once(f"the network runs step by step on the slow reference backend: {reason}")
    return "reference", reference.run


@functools.cache
def _warn_once(message: str) -> None:
    warnings.warn(message, stacklevel=4)
