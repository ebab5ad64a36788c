"""The digest of a run names what can change its result, and keeps its value where an option was added later."""

from collections.abc import Mapping
from typing import Any

import pytest
from omegaconf import OmegaConf

from bionets.experiment.config.digest import LATER, scientific_digest
from bionets.experiment.config.schemas.registry import MODELS, OPTIMIZERS, TASKS
from bionets.experiment.config.schemas.run import Trainer

SCHEMAS = {"model": MODELS, "task": TASKS, "optimizer": OPTIMIZERS, "trainer": {"trainer": Trainer}}
OPTIONS = [
    (group, key, value)
    for group, defaults in LATER.items()
    for key, default in defaults.items()
    for value in (default if isinstance(default, tuple) else (default,))
]
CONFIG: dict[str, Any] = {
    "model": {"name": "brc", "hidden_size": 4},
    "task": {"name": "copy_first_input", "length": 3},
    "optimizer": {"lr": 0.1},
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "devices": 1, "strategy": "auto"},
    "matmul_precision": "highest",
    "logger": {"wandb": True},
    "seed": 0,
}


@pytest.mark.parametrize(
    ("group", "key", "value", "same"),
    [
        ("model", "hidden_size", 5, False),
        ("task", "length", 4, False),
        ("task", "strategy", "greedy", False),  # an option of an own task
        ("task", "data_dir", "elsewhere", True),
        ("optimizer", "lr", 0.2, False),
        ("trainer", "max_epochs", 3, False),
        ("trainer", "accelerator", "gpu", True),
        ("trainer", "devices", 2, True),
        ("trainer", "strategy", "ddp", True),
        ("logger", "wandb", False, True),
        ("callbacks", "progress", False, True),
        ("callbacks", "patience", None, True),
        ("callbacks", "patience", 5, False),
        ("callbacks", "extra", {}, True),
        ("callbacks", "extra", {"mine": {"_target_": "my_callbacks.Mine"}}, False),
        ("metrics", "f1", {"_target_": "my_metrics.F1"}, False),
    ],
)
def test_the_digest_depends_only_on_settings_that_can_change_the_result(
    group: str, key: str, value: object, same: bool
) -> None:
    changed = {**CONFIG, group: {**CONFIG.get(group, {}), key: value}}
    assert (scientific_digest(changed) == scientific_digest(CONFIG)) is same


def test_the_digest_depends_on_top_level_settings_that_change_the_result() -> None:
    for key, value, same in (
        ("seed", 7, True),
        ("metrics", {}, True),
        ("callbacks", {}, True),
        ("schedule", None, True),
        ("flush_denormals", True, True),
        ("flush_denormals", False, False),
        ("average_weights", 0.9, False),
        ("matmul_precision", "high", False),
    ):
        assert (scientific_digest({**CONFIG, key: value}) == scientific_digest(CONFIG)) is same, key


@pytest.mark.parametrize(("group", "key", "default"), OPTIONS)
def test_an_option_that_was_added_later_is_in_the_digest_unless_it_has_its_default(
    group: str, key: str, default: object
) -> None:
    for value, same in ((default, True), ("another", False)):
        changed = {**CONFIG, group: {**CONFIG[group], key: value}}
        assert (scientific_digest(changed) == scientific_digest(CONFIG)) is same
    assert any(default == found for found in defaults_of(SCHEMAS[group], key))


class OwnTask:
    def __init__(self, channels: int = 3, size: int | None = None) -> None:
        pass


def test_an_option_of_an_own_class_with_another_default_is_in_the_digest() -> None:
    own = {**CONFIG, "task": {"name": "own", "_target_": f"{__name__}.OwnTask"}}

    def digest(**options: object) -> str:
        return scientific_digest({**own, "task": {**own["task"], **options}})

    assert LATER["task"]["channels"] == 2 and LATER["task"]["size"] is None
    assert digest(channels=2) != digest()
    assert digest(size=None) == digest()


def defaults_of(schemas: Mapping[str, type], key: str) -> list[object]:
    """The defaults of an option in all constructors that have it."""
    configs = (OmegaConf.structured(schema) for schema in schemas.values())
    found = (config for config in configs if key in config and not OmegaConf.is_missing(config, key))
    return [OmegaConf.to_container(config)[key] for config in found]  # type: ignore[call-overload, index]
