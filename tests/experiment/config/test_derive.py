"""Schemas are derived from the signatures of constructors."""

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, ValidationError

from bionets.annotations import parameters_of
from bionets.experiment.config.option_values import refuse_other_keys
from bionets.experiment.config.schemas.derive import schema_of
from bionets.experiment.config.schemas.registry import MODELS, OPTIMIZERS, SCHEDULES, TASKS
from bionets.experiment.errors import UserError


class Example:
    def __init__(
        self,
        given: object,
        size: int,
        sizes: Sequence[int] = (1, 2),
        kind: Literal["a", "b"] = "a",
        rate: float | None = None,
        folder: str | Path = "data",
        arguments: Mapping[str, Any] | None = None,
        pairs: Sequence[tuple[float, float]] = ((0.0, 1.0),),
    ) -> None: ...


def config() -> Any:
    return OmegaConf.structured(schema_of(Example, ("given",)))


def test_defaults_are_those_of_the_constructor() -> None:
    made = config()
    assert made.sizes == [1, 2] and made.kind == "a" and made.rate is None and made.folder == "data"
    assert made.arguments == {} and made.pairs == [[0.0, 1.0]] and made._target_.endswith(".Example")
    with pytest.raises(MissingMandatoryValue):
        _ = made.size


@pytest.mark.parametrize(
    ("key", "wrong"),
    [("size", "a"), ("sizes", ["a"]), ("sizes", 3), ("rate", "a"), ("arguments", 3), ("pairs", [["a"]])],
)
def test_a_wrong_type_is_refused(key: str, wrong: Any) -> None:
    with pytest.raises(ValidationError):
        config()[key] = wrong


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ConfigKeyError):
        config()["sise"] = 1


@pytest.mark.parametrize("schemas", [MODELS, TASKS, OPTIMIZERS, SCHEDULES])
def test_every_key_of_a_schema_is_an_argument_of_its_constructor(schemas: dict[str, type]) -> None:
    """Each schema is a config of OmegaConf; its keys are arguments of its constructor or keys of bionets."""
    from hydra.utils import get_object

    ours = {"_target_", "_partial_", "name", "interval", "monitor"}
    for schema in schemas.values():
        made = OmegaConf.structured(schema)
        assert {*map(str, made)} - ours <= parameters_of(get_object(made._target_)).keys()


class Base:
    def __init__(self, network: object, rate: float = 0.1, sizes: Sequence[int] = (1, 2)) -> None: ...


class Derived(Base):
    def __init__(self, depth: int, rate: float = 0.5, **others: Any) -> None: ...


def test_arguments_passed_on_to_a_base_class_are_options() -> None:
    made = OmegaConf.structured(schema_of(Derived))
    assert OmegaConf.is_missing(made, "depth") and "network" not in made  # which the class itself gives its base
    assert made.rate == 0.5 and made.sizes == [1, 2]
    with pytest.raises(ValidationError):
        made.sizes = ["a"]


def test_the_keys_of_a_config_pickled_by_value_are_known() -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    given = config()
    given.size = 2
    copy = pickle.loads(cloudpickle.dumps(given))
    refuse_other_keys(copy)
    with open_dict(copy):
        copy.planted = 1
    with pytest.raises(UserError, match="planted"):
        refuse_other_keys(copy)
