"""What a run says of its task and its model when it starts, a line of each."""

import torch
from rich.console import Console
from torch import nn

from bionets.scan.interface import default_backend
from bionets.tasks import Task, TaskSpec


def print_task(console: Console, task: Task) -> None:
    """What goes in and what comes out, and the sizes of the sets."""
    sizes = f"{task.train_size:,} for training, {task.val_size:,} for validation, {task.test_size:,} for test"
    console.print(f"    task   {describe(task.spec)}; {sizes}", highlight=False, markup=False, soft_wrap=True)


def describe(spec: TaskSpec) -> str:
    """A spec in words."""
    numbers = f"{spec.output_size} number{'s' * (spec.output_size != 1)}"
    steps = f"{spec.steps} steps of " if spec.steps else ""
    x = f"sequences of {steps}{spec.input_size} number{'s' * (spec.input_size != 1)}"
    if spec.image_shape is not None:
        x = f"images of {' × '.join(map(str, spec.image_shape))}"
    return {
        "sequence_to_value": f"{x} -> {numbers} at the end",
        "sequence_to_sequence": f"{x} -> {numbers} at every step",
        "sequence_to_class": f"{x} -> {spec.output_size} classes",
        "image_to_class": f"{x} -> {spec.output_size} classes",
        "control": f"episodes, {spec.input_size} numbers observed -> {spec.output_size} actions",
    }[spec.kind]


def print_model(console: Console, model: nn.Module, device: torch.device) -> None:
    """The layers of a model with their parameters, the device, and the backend of its scans."""
    layers = [f"{name} ({type(layer).__name__}) {count(layer):,}" for name, layer in model.named_children()]
    scans = default_backend(device.type)
    text = f"{count(model):,} parameters: {', '.join(layers)}; device {device}, {scans} backend of scan"
    console.print(f"    model  {text}", highlight=False, markup=False, soft_wrap=True)


def count(module: nn.Module) -> int:
    """The number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
