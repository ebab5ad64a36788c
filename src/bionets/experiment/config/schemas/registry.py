"""The schemas of models, tasks, optimizers and schedules, each derived from its constructor. The classes in the modules
of `bionets.models` and `bionets.tasks`, and those of `torch.optim` and `torch.optim.lr_scheduler` need no entry here.
"""

import inspect
import re
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import torch
from omegaconf import II, MISSING
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from bionets import models, tasks
from bionets.experiment.config.schemas.derive import schema_of, schema_of_arguments
from bionets.tasks.augmentation import augment
from bionets.tasks.image_files import IMAGE_FILES

FILLED_IN = ("spec", "optimizer")  # arguments of a model that are set by the run
EVERY_STEP = ("OneCycleLR", "CyclicLR")  # schedules that count training steps; others count epochs
NOT_FOR_DENSE = ("Optimizer", "SparseAdam")
TAKE_OBJECTS = ("_LRScheduler", "LRScheduler", "LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler")


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def concrete_classes(package: ModuleType, base: type) -> dict[str, type]:
    """The public subclasses of ``base`` in the modules of a package by name, without ``abstract`` base classes."""
    modules = [import_module(f"{package.__name__}.{each.name}") for each in iter_modules(package.__path__)]
    members = [each for module in modules for _, each in inspect.getmembers(module, inspect.isclass)]
    derived = [each for each in members if issubclass(each, base) and each is not base]
    found = {each.__name__: each for each in derived if not vars(each).get("abstract", each.__name__.startswith("_"))}
    return dict(sorted(found.items()))


def model_schemas() -> dict[str, type]:
    schemas = {
        snake_case(name.removesuffix("Model")): schema_of(model, FILLED_IN, name=(str, MISSING))
        for name, model in concrete_classes(models, models.Model).items()
    }
    recurrent = schema_of(models.RecurrentModel, (*FILLED_IN, "chrono_steps"), name=(str, MISSING))
    initialised = schema_of(models.RecurrentModel, FILLED_IN, name=(str, MISSING), initialisation=(str, MISSING))
    for name in ("recurrent", "gru", "lstm", "rnn"):
        schemas[name] = recurrent
    for name in ("brc", "nbrc", "peephole_lstm"):
        schemas[name] = initialised
    return schemas


def task_schemas() -> dict[str, type]:
    schemas = {snake_case(name): task_schema(task) for name, task in concrete_classes(tasks, tasks.Task).items()}
    for family, names in (
        ("images", (*IMAGE_FILES, "smnist", "psmnist", "scifar10")),
        ("event_recordings", ("n_mnist", "n_caltech101", "n_cars")),
        ("control", ("cart_pole",)),
        ("custom_data", ("custom",)),
    ):
        schemas |= dict.fromkeys(names, schemas[family])
    return schemas


def task_schema(task: type) -> type:
    """The schema of a task. The seed and the data folder refer to other keys of the config, ``augmentation`` has the
    arguments of `augment`, and the class names are left out, because they depend on the data.
    """
    arguments = inspect.signature(task).parameters
    filled: dict[str, tuple[Any, Any]] = {
        "name": (str, MISSING),
        "seed": (int, II("seed")),
        "data_dir": (str, II("paths.data_dir")),
        "augmentation": (augmentation := schema_of_arguments(augment, ("images", "random")), augmentation),
    }
    chosen = {key: value for key, value in filled.items() if key in (*arguments, "name")}
    return schema_of(task, [key for key in arguments if key == "class_names"], False, **chosen)


def optimizer_schemas() -> dict[str, type]:
    """Every optimizer of PyTorch by its class name. ``Muon``, which is for matrices only, is `MuonWithAdamW`."""
    found = inspect.getmembers(torch.optim, inspect.isclass)
    chosen = {name: each for name, each in found if issubclass(each, Optimizer) and name not in NOT_FOR_DENSE}
    chosen["Muon"] = models.MuonWithAdamW
    return {name: schema_of(each, ("params",), partial=True) for name, each in chosen.items()}


def schedule_schemas() -> dict[str, type]:
    """The cosine schedule with warm-up, and every schedule of PyTorch with numeric arguments, by its class name."""
    found = inspect.getmembers(lr_scheduler, inspect.isclass)
    known = [each for name, each in found if issubclass(each, LRScheduler) and name not in TAKE_OBJECTS]
    schemas = {each.__name__: torch_schedule(each) for each in known}
    return {**schemas, "cosine": schema_of(models.cosine_schedule, ("optimizer", "steps"), partial=True)}


def torch_schedule(schedule: type) -> type:
    """The schema of a schedule of PyTorch, with additional options.

    Args:
        interval: step or epoch, after which the learning rate changes.
        monitor: the value that ReduceLROnPlateau monitors after each validation; None for that of the task.
        mode: min or max, whichever is better; None for that of the task.
    """
    fields: dict[str, tuple[Any, Any]] = {"interval": (str, "step" if schedule.__name__ in EVERY_STEP else "epoch")}
    if schedule is lr_scheduler.ReduceLROnPlateau:
        fields |= {"monitor": (str | None, None), "mode": (str | None, None)}
    leave_out = {"optimizer", "last_epoch", "scale_fn"} & {*inspect.signature(schedule).parameters}
    made = schema_of(schedule, tuple(leave_out), partial=True, **fields)
    made.__doc__ = torch_schedule.__doc__
    return made


MODELS = model_schemas()
TASKS = task_schemas()
OPTIMIZERS = optimizer_schemas()
SCHEDULES = schedule_schemas()
