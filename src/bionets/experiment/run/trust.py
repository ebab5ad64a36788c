"""The classes and functions that the config of a run folder may name.

A folder may come from somebody else, so its ``config.yaml`` is data. Only classes of bionets, optimizers and schedules
of PyTorch, and layers of `torch.nn` are built; any other name is refused before it is imported, unless it is in a
module that the user trusts with ``trust=`` on the command line.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from types import FunctionType
from typing import Any

import torch
from torch import nn

import bionets.models
from bionets.experiment.console import printable_line
from bionets.experiment.errors import UserError
from bionets.experiment.nested import nested_values
from bionets.experiment.run.instantiate import OWN_KEYS, nested_targets
from bionets.models import Model
from bionets.tasks import Task
from bionets.tasks.own_task import CUSTOM
from bionets.tasks.read_own import is_file

PACKAGES: dict[str, tuple[str, type]] = {
    "layer": ("bionets.layers", nn.Module),
    "task": ("bionets.tasks", Task),
    "model": ("bionets.models", Model),
}
SECTIONS = ("model", "task", "optimizer", "schedule")
PLAIN = ("name", "data_dir")  # keys whose value is never imported
COLUMNS = ("inputs", "targets", "sequences", "sort_by", "lengths", "class_names")  # of CustomData, never imported
MODULE = re.compile(r"[^\W\d]\w*[.:]")  # as in package.module.Class, or Gymnasium's module:Name-v0


def require_trusted(config: Mapping[str, Any], place: object, trust: Sequence[str] = ()) -> None:
    """Raise UserError if a config names code that is neither registered here nor in one of the modules ``trust``.

    Args:
        config: the config from a run folder.
        place: the file, for the message.
        trust: names of modules or packages; their content may be imported and called.

    Raises:
        UserError: a name is not trusted; the message contains the option that would trust it.
    """
    for key, name in _untrusted(config, place, trust):
        what = f"{printable_line(key, 100)}={printable_line(name, 100)}"
        raise UserError(
            f"{place}: {what} is code that bionets does not know, and a folder may come from somebody else: "
            f"if you trust it, add trust={_module_of(name)}"
        )


def modules_to_trust(config: Mapping[str, Any]) -> list[str]:
    """The modules that `require_trusted` refuses for a config, if none is trusted."""
    return list(dict.fromkeys(_module_of(name) for _, name in _untrusted(config, "config", ())))


def _untrusted(config: Mapping[str, Any], place: object, trust: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The dotted key and the value of every name that is not trusted."""
    for section in SECTIONS:
        node = config.get(section)
        if node is None and section not in ("model", "task"):
            continue
        if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
            raise UserError(f"{place}: {section}._target_ is missing: restore the file, or train again")
        target = node["_target_"]
        if not (registered(section, target) or is_trusted(target, trust)):
            yield f"{section}._target_", target
        for key in nested_targets(node):
            raise UserError(
                f"{place}: {section}.{printable_line(key, 100)} is refused: a value names no class or function to call"
            )
        left_out = (*OWN_KEYS, *PLAIN, *(COLUMNS if target == CUSTOM else ()))
        for key, text in _texts({key: value for key, value in node.items() if key not in left_out}, section):
            if (key == "task.data" and is_file(text)) or (key.startswith("task.arguments.") and "/" in text):
                continue  # a path, which is never imported
            if MODULE.search(text) and not (registered("layer", text) or is_trusted(text, trust)):
                yield key, text
    for path in config.get("metrics") or ():
        if not is_trusted(str(path), trust):
            yield "metrics", str(path)


def registered(section: str, path: str) -> bool:
    """Whether a dotted path names a class of bionets or PyTorch that belongs to this section of a config."""
    module, _, name = path.rpartition(".")
    if section in ("optimizer", "schedule") and module in ("torch.optim", "torch.optim.lr_scheduler"):
        kind = torch.optim.Optimizer if module == "torch.optim" else torch.optim.lr_scheduler.LRScheduler
        found = getattr(torch.optim if module == "torch.optim" else torch.optim.lr_scheduler, name, None)
        return isinstance(found, type) and issubclass(found, kind)
    if section == "layer" and module == "torch.nn":
        found = getattr(nn, name, None)
        return isinstance(found, type) and issubclass(found, nn.Module)
    if section in PACKAGES:
        package, base = PACKAGES[section]
        return f"{module}.".startswith(f"{package}.") and _is_subclass(module, name, base)
    found = getattr(bionets.models, name, None)
    if found is None or module not in ("bionets.models", getattr(found, "__module__", None)):
        return False
    return isinstance(found, FunctionType) or (isinstance(found, type) and issubclass(found, torch.optim.Optimizer))


def _is_subclass(module: str, name: str, base: type) -> bool:
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return base is nn.Module  # there is nothing to call: the model raises the error
    return isinstance(found, type) and issubclass(found, base)


def is_trusted(path: str, trust: Sequence[str]) -> bool:
    """Whether a path is in one of the modules that the user trusts."""
    path = path.replace(":", ".")
    return any(path == module or path.startswith(f"{module}.") for module in trust)


def as_modules(trust: Any) -> tuple[str, ...]:
    """The names in ``trust=``, which is None, the name of a module, or a list of names. Raises UserError."""
    names = [] if trust is None else [trust] if isinstance(trust, str) else list(trust)
    for name in names:
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise UserError(f"trust={name} is not a module's name, as in trust=my_cells or trust=[my_cells,my_tasks]")
    return tuple(names)


def _module_of(name: str) -> str:
    return printable_line(name.replace(":", ".").partition(".")[0], 60)


def _texts(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Every string within a node, keys of mappings included, with its dotted key."""
    for key, value in nested_values(node, path):
        for text in value if isinstance(value, Mapping) else [value]:
            if isinstance(text, str):
                yield key, text
