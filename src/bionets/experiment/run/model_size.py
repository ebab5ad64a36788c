"""Choice of the size of a model by its number of parameters."""

from bisect import bisect_right
from dataclasses import replace
from typing import Any

import torch

from bionets.experiment.config.resolve import RunConfig
from bionets.experiment.errors import UserError
from bionets.experiment.run.instantiate import instantiate_node, naming_options
from bionets.tasks import TaskSpec

KEY = "hidden_size"


def with_size(run: RunConfig, spec: TaskSpec) -> RunConfig:
    """The config with the largest ``model.hidden_size`` for which the model has at most ``parameters`` parameters;
    unchanged if ``parameters`` is None.

    Raises:
        UserError: the model has no ``hidden_size``, both are given, or a single unit has more parameters.
    """
    most, model = run.values.get("parameters"), run.values["model"]
    if most is None:
        return run
    if KEY not in model:
        raise UserError(f"parameters={most} chooses model.{KEY}, which model={model['name']} does not have")
    if any(word.lstrip("+").startswith(f"model.{KEY}=") for word in run.overrides):
        raise UserError(f"parameters={most} chooses model.{KEY}: give one of the two")
    with naming_options("model", model):
        size = largest(most, model, spec)
    if size == 0:
        raise UserError(f"parameters={most} is too few: model={model['name']} has more with model.{KEY}=1")
    return replace(run, values={**run.values, "model": {**model, KEY: size}})


def largest(most: int, model: dict[str, Any], spec: TaskSpec) -> int:
    """The largest size with at most ``most`` parameters, which must grow with the size; 0 if a size of 1 has more."""

    def parameters(size: int) -> int:
        built = instantiate_node({**model, KEY: size}, spec=spec, optimizer=None)
        return sum(parameter.numel() for parameter in built.parameters())

    with torch.random.fork_rng(devices=[]):  # the search does not change the random numbers of the run
        too_large = 1
        while parameters(too_large) <= most:
            too_large *= 2
        return bisect_right(range(too_large), most, lo=too_large // 2 + 1, key=parameters) - 1
