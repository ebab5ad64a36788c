"""The summary at the start of a run: its task, and its model with layers, shapes, parameters and device."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from bionets.annotations import parameters_of
from bionets.experiment.config.resolve import RunConfig
from bionets.experiment.console import print_line
from bionets.import_path import import_object
from bionets.models import Model
from bionets.scan.interface import default_backend
from bionets.tasks import Task, TaskSpec
from bionets.tasks.own_task import CUSTOM, without_effect

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
MOST_ROWS, WIDEST = 12, 60


def print_task(task: Task) -> None:
    """Print the inputs, the outputs and the sizes of the sets of a task."""
    sizes = f"{task.train_size:,} for training, {task.val_size:,} for validation, {task.test_size:,} for test"
    print_line(f"    task   {spec_in_words(task.spec)}; {sizes}")


def print_notes(task: Task, run: RunConfig) -> None:
    """Print the notes of a task, and on options that have no effect with the other options, if there are any."""
    for note in task.notes:
        print_line(f"note: {note}")
    print_unused_options(run.values, run.overrides)


def print_unused_options(config: Mapping[str, Any], overrides: Sequence[str] = ()) -> None:
    """Print a note on options that have no effect with the other options, if there are any."""
    trainer, node = config["trainer"], config["task"]
    words = [word for word in overrides if word.lstrip("+~").startswith(("optimizer", "schedule"))]
    if words and not import_object(config["model"]["_target_"]).uses_optimizer:
        print_line(f"note: no effect with model={config['model']['name']}, which has no optimizer: {', '.join(words)}")
    if trainer["gradient_clip_algorithm"] is not None and trainer["gradient_clip_val"] is None:
        print_line("note: no effect without trainer.gradient_clip_val: trainer.gradient_clip_algorithm")
    for part in ("model", "task"):
        for option, needed in import_object(config[part]["_target_"]).needed_options:
            if is_given(option, config[part]) and lacks(needed, config[part]):
                print_line(f"note: no effect without {part}.{needed}: {part}.{option}")
    if node["_target_"] == CUSTOM and (unused := without_effect(node)):
        names = ", ".join(f"task.{name}" for name in unused)
        print_line(f"note: no effect with task.data={node['data']}: {names}")


def is_given(option: str, node: Mapping[str, Any]) -> bool:
    """Whether an option has another value than the default of its constructor, and not null."""
    value = node.get(option)
    return value is not None and value != parameters_of(import_object(node["_target_"]))[option].default


def lacks(needed: str, node: Mapping[str, Any]) -> bool:
    """Whether an option does not have the value that another option needs: ``name=value``, or ``name`` for any value
    but 0, null and ``none``."""
    name, _, wanted = needed.partition("=")
    return str(node[name]) != wanted if wanted else node[name] in (None, 0, "none")


def spec_in_words(spec: TaskSpec) -> str:
    """The inputs and outputs of a spec in words."""
    numbers = f"{spec.output_size} number{'s' * (spec.output_size != 1)}"
    steps = f"{spec.steps} steps of " if spec.steps else ""
    x = f"sequences of {steps}{spec.input_size} number{'s' * (spec.input_size != 1)}"
    if spec.image_shape is not None:
        x = f"images of {' × '.join(map(str, spec.image_shape))}"
    return {
        "sequence_to_value": f"{x} -> {numbers} at the end",
        "sequence_to_sequence": f"{x} -> {f'{spec.output_size} classes' if spec.classes else numbers} at every step"
        + ", of which some have no label" * spec.unlabelled,
        "sequence_to_class": f"{x} -> {spec.output_size} classes",
        "image_to_class": f"{x} -> {spec.output_size} classes",
        "image_to_value": f"{x} -> {numbers}",
        "control": f"episodes, {spec.input_size} numbers observed -> {spec.output_size} actions",
    }[spec.kind]


def print_model(model: Model, device: torch.device) -> None:
    """Print the number of parameters, the shapes of input and prediction, the device and the backend of scans, and a
    line for each layer with its sizes and parameters.
    """
    x, y = shapes_of(model.spec)
    scans = default_backend(device.type)
    lines = [f"    model  {count(model):,} parameters, {x} -> {y}; device {device}, {scans} backend of scan"]
    rows = list(rows_of(model))
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for name, layer, parameters in rows[:MOST_ROWS]:
        lines.append(f"           {name:<{widths[0]}}  {layer:<{widths[1]}}  {parameters:>{widths[2]}}")
    if len(rows) > MOST_ROWS:
        lines.append(f"           and {len(rows) - MOST_ROWS} more layers")
    for line in lines:
        print_line(line)


def rows_of(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Name, layer and number of parameters of each child; a container is replaced by its children."""
    for name, child in module.named_children():
        if isinstance(child, CONTAINERS):
            yield from rows_of(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", described(child), f"{count(child):,}"


def described(layer: nn.Module) -> str:
    """A layer with its sizes, on one line."""
    sizes = layer.extra_repr().split("\n")[0]
    text = f"{type(layer).__name__}({sizes})"
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def shapes_of(spec: TaskSpec) -> tuple[str, str]:
    """The shapes of a batch and of its prediction: T steps, B samples."""
    if spec.kind == "control":
        return "[B]", "[B]"
    if spec.image_shape is not None:
        return f"[B, {', '.join(map(str, spec.image_shape))}]", f"[B, {spec.output_size}]"
    steps = "T" if spec.steps is None else spec.steps
    output = f"[B, {spec.output_size}]" if spec.last_step_only else f"[{steps}, B, {spec.output_size}]"
    return f"[{steps}, B, {spec.input_size}]", output


def count(module: nn.Module) -> int:
    """The number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
