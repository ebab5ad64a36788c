"""Constraints on the values of options beyond their types, checked before anything is built or written."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bionets.experiment.errors import UserError
from bionets.experiment.nested import nested_values

MOST_SEEDS = 128  # of one batched model; each seed has its own data, activations and two checkpoints


@dataclass(frozen=True)
class Check:
    """A constraint: the words after "must be" in the error message, the test, and whether null is valid too."""

    words: str
    holds: Callable[[Any], bool]
    or_null: bool = True


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def at_least(least: float) -> Check:
    return Check(f"at least {least}", lambda value: is_number(value) and value >= least)


def between(least: float, most: float) -> Check:
    return Check(f"between {least} and {most}", lambda value: is_number(value) and least <= value <= most)


def is_batches(value: Any) -> bool:
    return is_number(value) and (0 < value <= 1 if isinstance(value, float) else value >= 1)


def is_list_of_words(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(word, str) and word for word in value)


ABOVE_0 = Check("above 0", lambda value: is_number(value) and value > 0)
BATCHES = Check("a whole number of batches above 0, or a share of them up to 1.0", is_batches)
FINITE = Check("a finite number", is_number)
WORDS = Check("a list of at least one word", is_list_of_words)
PROFILERS = ("simple", "advanced", "pytorch")  # those of Lightning, except the one for TPUs
PATH = Check("a path that does not begin with ~, which only a shell replaces", lambda value: not value.startswith("~"))
WORD_OR_WORDS = Check(
    "a config key, or a list of at least one",
    lambda value: bool(value) and is_list_of_words([value]) if isinstance(value, str) else is_list_of_words(value),
    or_null=False,
)

CHECKS: dict[str, dict[str, Check]] = {
    "train": {
        "name": Check("one word at least", bool),
        "seeds": between(1, MOST_SEEDS),
        "trainer.num_nodes": at_least(1),
        "trainer.max_epochs": at_least(1),
        "trainer.min_epochs": at_least(0),
        "trainer.max_steps": Check("-1 for no limit, or above 0", lambda value: value == -1 or value > 0),
        "trainer.min_steps": at_least(0),
        "trainer.limit_train_batches": BATCHES,
        "trainer.limit_val_batches": BATCHES,
        "trainer.limit_test_batches": BATCHES,
        "trainer.overfit_batches": at_least(0),
        "trainer.check_val_every_n_epoch": at_least(1),
        "trainer.log_every_n_steps": at_least(1),
        "trainer.accumulate_grad_batches": at_least(1),
        "trainer.tbptt": at_least(1),
        "trainer.gradient_clip_val": ABOVE_0,
        "trainer.gradient_clip_algorithm": Check("norm or value", lambda value: value in ("norm", "value")),
        "trainer.deterministic": Check("true, false or warn", lambda value: value in (True, False, "warn")),
        "trainer.profiler": Check(", ".join(PROFILERS), lambda value: value in PROFILERS),
        "callbacks.patience": at_least(1),
        "optimizer.lr": FINITE,
        "optimizer.weight_decay": FINITE,
        "paths.output_dir": PATH,
        "paths.data_dir": PATH,
    },
    "evaluate": {"run": Check("the folder of a run", bool), "data_dir": PATH},
    "compare": {"by": WORD_OR_WORDS, "output_dir": PATH, "leaderboard": Check("the name of a file", bool)},
    "analyse": {"seed": between(0, 2**32 - 1), "steps": WORDS, "methods": WORDS, "by": WORDS},
}
"""Constraints by command and key. Null is valid, unless the constraint says otherwise."""


def refuse_values(command: str, config: DictConfig) -> None:
    """Raise UserError for the first invalid value, or for a key that was added or deleted."""
    refuse_other_keys(config)
    for key, check in CHECKS.get(command, {}).items():
        value = OmegaConf.select(config, key, throw_on_missing=False)
        if OmegaConf.is_config(value):
            value = OmegaConf.to_container(value, resolve=True)
        if not (value is None and check.or_null) and not check.holds(value):
            raise UserError(f"{key} must be {check.words}, got {value!r}")
    if command == "train":
        refuse_empty_ranges(config.trainer)
        for key, value in nested_values(OmegaConf.to_container(config, resolve=False)):
            if isinstance(value, float) and math.isnan(value):
                raise UserError(f"{key} must be a number, got nan")


def refuse_other_keys(config: DictConfig, path: str = "") -> None:
    """Raise UserError for a key that was added with ``+`` and is not in a schema, or that was deleted with ``~``."""
    schema = OmegaConf.get_type(config)
    # Not `fields(schema)`: it finds none in a schema that a launcher pickled by value with cloudpickle 2.
    known = schema.__dataclass_fields__.keys() if is_dataclass(schema) else config.keys()
    for key in known:
        if key not in config:
            raise UserError(f"{path}{key!s} cannot be left out: give it a value, as in {path}{key!s}=...")
    for key in config:
        if key not in known:
            raise UserError(f"nothing uses the key {path}{key!s}: leave it out, or add it to its schema")
        if not OmegaConf.is_missing(config, key) and isinstance(node := config._get_node(key), DictConfig):
            refuse_other_keys(node, f"{path}{key!s}.")


def refuse_empty_ranges(trainer: Mapping[str, Any] | DictConfig) -> None:
    """Raise UserError if the minimum of epochs or steps is above the maximum."""
    for unit in ("epochs", "steps"):
        least, most = trainer[f"min_{unit}"], trainer[f"max_{unit}"]
        if least is not None and most not in (None, -1) and least > most:
            raise UserError(f"trainer.min_{unit}={least} is above trainer.max_{unit}={most}")
