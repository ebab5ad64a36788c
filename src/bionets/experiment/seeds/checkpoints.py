"""Checkpoints of stacked models: one for each seed, in the format of a run of that seed alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Timer
from torch import Tensor

from bionets.experiment.run.averaging import AVERAGE, TRAINING_WEIGHTS
from bionets.experiment.run.checkpoints import REQUEUE, AtomicCheckpointIO, read_checkpoint
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.seeds.per_seed import PerSeedCallback

State = dict[str, Any]

WEIGHTS = ("state_dict", TRAINING_WEIGHTS, AVERAGE)
SHARED = Timer.__qualname__  # the callback of trainer.max_time, whose state each run has too


class PerSeedCheckpoint(AtomicCheckpointIO):
    """Writes only the part of the seed in whose folder the checkpoint is stored; reads the checkpoints of one name in
    all folders, and stacks them.
    """

    def __init__(self, folders: Sequence[RunFolder]) -> None:
        super().__init__()
        self.folders = list(folders)

    def save_checkpoint(self, checkpoint: State, path: Any, storage_options: Any = None) -> None:
        if Path(path).name.startswith(REQUEUE):
            return
        places = [folder.checkpoints.resolve() for folder in self.folders]
        super().save_checkpoint(
            select_seed(checkpoint, places.index(Path(path).resolve().parent)), path, storage_options
        )

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> State:
        name, place = Path(path).name, map_location or "cpu"
        files = [folder.checkpoints / name for folder in self.folders]
        found = [read_checkpoint(file, place) if file.exists() else None for file in files]
        latest = max((each for each in found if each is not None), key=lambda each: each["epoch"])
        # A seed that failed in its first epoch has none. It is no longer trained, so its values do not matter.
        return stack_seeds([each if each is not None else {**latest, "callbacks": {}} for each in found])


def select_seed(checkpoint: State, number: int) -> State:
    """The checkpoint of one of S stacked models, from their common checkpoint."""
    return {
        **checkpoint,
        **{
            key: {name: value[number].clone() for name, value in checkpoint[key].items()}
            for key in WEIGHTS
            if key in checkpoint
        },
        "optimizer_states": [
            _join(lambda values: values[0][number].clone(), [state]) for state in checkpoint["optimizer_states"]
        ],
        "callbacks": {
            **checkpoint["callbacks"][PerSeedCallback.__name__]["seeds"][number],
            **shared_state(checkpoint),
        },
    }


def stack_seeds(checkpoints: list[State]) -> State:
    """The common checkpoint of S stacked models, from one for each. Checkpoints before the latest epoch are those of
    seeds that ended early.
    """
    first = max(checkpoints, key=lambda each: each["epoch"])
    latest = [each is first for each in checkpoints].index(True)
    states = zip(*(each["optimizer_states"] for each in checkpoints), strict=True)
    return {
        **first,
        **{
            key: {name: torch.stack([each[key][name] for each in checkpoints]) for name in first[key]}
            for key in WEIGHTS
            if key in first
        },
        "optimizer_states": [_join(torch.stack, list(each), latest) for each in states],
        "callbacks": {
            PerSeedCallback.__name__: {"seeds": [each["callbacks"] for each in checkpoints]},
            **shared_state(first),
        },
    }


def shared_state(checkpoint: State) -> State:
    return {key: state for key, state in checkpoint["callbacks"].items() if key == SHARED}


def _join(join: Callable[[list[Tensor]], Tensor], optimizers: list[State], latest: int = 0) -> State:
    """Join the states of optimizers: all tensors except ``step``, which is the same for all parameters."""

    def joined(parameter: int, name: str, value: Any) -> Any:
        if name == "step" or not isinstance(value, Tensor):
            return value
        return join([optimizer["state"][parameter][name] for optimizer in optimizers])

    first = optimizers[latest]
    state = {
        parameter: {name: joined(parameter, name, value) for name, value in values.items()}
        for parameter, values in first["state"].items()
    }
    return {**first, "state": state}
