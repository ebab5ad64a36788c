"""A spiking network as the bytes of a NIR file, with a check against the network."""

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from bionets.layers import reset_states, unroll
from bionets.layers.single_step import StatefulStep
from bionets.layers.spiking import SpikingLayer


def nir_content(step: nn.Module, example: Tensor, sequence: Tensor) -> tuple[bytes, Tensor, Tensor]:
    """The content of a NIR file; the outputs of the network read back from it for the inputs `sequence` `[T, B, ...]`;
    and the outputs of the original network.

    Args:
        step: one time step of a model, a result of `Model.single_step`.
        example: the input of one step, `[B, ...]`.

    Raises:
        ValueError: the network has no spiking neurons, or NIR cannot express it.
    """
    import nir

    from bionets.layers.spiking.nir import from_nir, to_nir

    if not isinstance(step, StatefulStep) or not any(isinstance(each, SpikingLayer) for each in step.modules()):
        raise ValueError("NIR holds networks of spiking neurons only")
    network = step.network
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.nir"
        nir.write(path, to_nir(network, example))
        content, read = path.read_bytes(), from_nir(nir.read(path)).eval()
    reset_states(network)
    with torch.no_grad():
        return content, unroll(read, sequence), unroll(network, sequence)
