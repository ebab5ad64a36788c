"""Values of a config are checked against the annotations of the arguments that receive them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bionets.annotations import has_type, parameters_of, require_types

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@pytest.mark.parametrize(
    ("annotation", "right", "wrong"),
    [
        (int, [0, -3], ["five", 2.5, True, None, [1]]),
        (float, [0.5, 2], ["1", True, None]),
        (bool, [True], [1, "true"]),
        (str, ["a"], [3, None]),
        (Path, ["a/b"], [3]),
        (int | None, [3, None], [0.5]),
        (float | Tensor, [1.0, [0.5, 1.0]], ["five"]),
        (Literal["a", 2], ["a", 2], ["b", 3]),
        (list[float], [[], [1, 2.0]], [1, "12", [1, "2"]]),
        (tuple[int, ...], [[1, 2]], [[0.5]]),
        (Sequence[str], [["a"]], ["a", [1]]),
        (Mapping[str, int], [{"a": 1}], [{"a": "b"}, [1]]),
        (dict, [{"a": "b"}], [[1], "a"]),
        (Any, [1, None, "a"], []),
        (Callable[[float], float], ["tanh"], []),
    ],
)
def test_values_are_accepted_or_rejected_by_their_annotation(
    annotation: Any, right: list[Any], wrong: list[Any]
) -> None:
    assert all(has_type(value, annotation) for value in right)
    assert not any(has_type(value, annotation) for value in wrong)


@given(VALUES)
def test_a_union_accepts_values_of_any_of_its_types(value: Any) -> None:
    for one, other in [(int, str), (list[int], None), (dict[str, float], bool)]:
        assert has_type(value, one | other) == (has_type(value, one) or has_type(value, other))
    assert has_type(value, type(value)) and has_type(value, Any)


class Base:
    def __init__(self, gain: float = 1.0) -> None: ...


class Derived(Base):
    def __init__(self, size: int, names: Sequence[str] = (), steps: int = None, **options) -> None:  # type: ignore[no-untyped-def, assignment]  # noqa: RUF013
        super().__init__(**options)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 3, "gain": 2, "names": ["a"], "steps": None}, ""),
        ({"size": "3"}, "Derived: size must be int, got '3'"),
        ({"gain": "loud"}, "Derived: gain must be float, got 'loud'"),
        ({"names": "a"}, r"Derived: names must be Sequence\[str\], got 'a'"),
    ],
)
def test_arguments_are_checked_by_the_annotations_of_a_class_and_its_bases(
    values: dict[str, Any], message: str
) -> None:
    if message:
        with pytest.raises(ValueError, match=f"^{message}$"):
            require_types("Derived: ", Derived, values)
    else:
        require_types("Derived: ", Derived, values)


class Mode(StrEnum):
    FAST = "fast"


class Place(NamedTuple):
    x: float


class Odd(Base):
    """Annotations that are not types, and a base whose arguments are not those of this class."""

    def __init__(self, gain: "how loud it is", size: "torch.nn.NoSuch", level: float = "auto") -> None: ...  # type: ignore  # noqa: F722, F821, UP037


def test_annotations_that_are_not_config_types_are_not_checked() -> None:
    assert has_type("fast", Mode) and has_type("fast", Mode | None)
    assert has_type({"x": 1.0}, Place) and has_type({"a": 1}, Counter) and has_type(3, range)
    require_types("Odd: ", Odd, {"gain": "loud", "size": [1, 2]})


def test_parameters_are_the_named_arguments_in_order() -> None:
    assert list(parameters_of(Derived)) == ["size", "names", "steps", "gain"]
    require_types("Derived: ", Derived, {"options": "one of **options"})


def test_a_default_is_accepted_as_a_value_too() -> None:
    default = "".join(["au", "to"])  # another object
    require_types("Level: ", Level, {"level": default})
    with pytest.raises(ValueError, match="level must be float"):
        require_types("Level: ", Level, {"level": "loud"})


class Level:
    def __init__(self, level: float = "auto") -> None: ...  # type: ignore[assignment]
