"""One line on the model at the start of a run."""

import torch
from rich.console import Console
from torch import nn

from bionets.scan.interface import default_backend


def print_model(console: Console, model: nn.Module, device: torch.device) -> None:
    """The layers of a model with their parameters, the device, and the backend of its scans."""
    layers = [f"{name} ({type(layer).__name__}) {count(layer):,}" for name, layer in model.named_children()]
    scans = default_backend(device.type)
    text = f"{count(model):,} parameters: {', '.join(layers)}; device {device}, {scans} backend of scan"
    console.print(f"    model  {text}", highlight=False, markup=False, soft_wrap=True)


def count(module: nn.Module) -> int:
    """The number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
