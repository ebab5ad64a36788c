"""What the config of `task=custom` stands for, and what a run keeps of its data."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from bionets.import_path import import_object

from .custom import CustomData
from .custom_events import CustomEvents, own_recordings
from .read_own import is_file
from .task import Task

CUSTOM = "bionets.tasks.CustomData"
OPTIONS = ("data", "val_share", "test_share", "split_seed", "batch_size", "epochs", "stop_below", "seed", "class_names")
"""Options that are passed to another task than `CustomData` if its constructor has a parameter of this name."""


def classes_by_target(task: Task) -> Mapping[str, int | Sequence[str]]:
    """The ``class_names`` with which other data use the class numbers of this task, see `CustomData`; empty for tasks
    that are not read from a user's own files."""
    return task.classes_by_target if isinstance(task, CustomData | CustomEvents) else {}


def columns_of(task: Task) -> Sequence[str]:
    """The columns of a user's CSV that are the inputs of a task, in their order; empty for other data."""
    return task.columns if isinstance(task, CustomData) else ()


def own_task(node: Mapping[str, Any]) -> dict[str, Any] | None:
    """The config node of the task that ``data`` in a node of `CustomData` stands for: a `Task` given by import path, or
    `CustomEvents` for a folder of recordings. None if ``data`` is for `CustomData` itself.

    Such a task gets ``arguments``, and those of `OPTIONS` that are parameters of its constructor.

    Raises:
        ValueError: the node sets ``target_kind``, which such a task does not have.
    """
    data = str(node["data"])
    kind = class_of(data)
    if kind is None:
        return None
    if node.get("target_kind") is not None:
        raise ValueError(f"task.data={data} has targets of its own: leave out task.target_kind")
    given = dict(node.get("arguments") or {})
    chosen = {name: node[name] for name in options_of(kind) if name in node}
    return {"_target_": f"{kind.__module__}.{kind.__qualname__}", "name": node.get("name"), **chosen, **given}


def class_of(data: str) -> type[Task] | None:
    """The class of the task that ``data`` stands for; None for `CustomData`."""
    kind: Any = None
    if not is_file(data):
        with suppress(ValueError):  # reported later as data that cannot be read
            kind = import_object(data)
    elif Path(data).is_dir() and own_recordings(Path(data)):
        kind = CustomEvents
    return kind if isinstance(kind, type) and issubclass(kind, Task) else None


def options_of(kind: type[Task]) -> list[str]:
    """The `OPTIONS` that a task takes."""
    names = signature(kind).parameters
    takes_any = any(each.kind is Parameter.VAR_KEYWORD for each in names.values())
    return [name for name in OPTIONS if name in names or (takes_any and name in ("batch_size", "epochs", "seed"))]


def without_effect(node: Mapping[str, Any]) -> list[str]:
    """The options in a node of `CustomData` that differ from their defaults, but have no effect with its ``data``."""
    data, parameters = str(node["data"]), signature(CustomData).parameters
    kind = class_of(data)
    if kind is not None:
        ignored = set(parameters) - {"data", "arguments", "seed", "class_names", *options_of(kind)}
    elif is_file(data):
        ignored = {"inputs", "sequences", "lengths", "arguments"} if Path(data).is_dir() else {"arguments"}
    else:
        ignored = {"inputs", "sequences", "lengths"}
    return [
        name
        for name, parameter in parameters.items()
        if name in ignored and name in node and (node[name] or None) != (parameter.default or None)
    ]
