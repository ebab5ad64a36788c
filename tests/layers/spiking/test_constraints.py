"""Constrained parameters under their earlier names."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from bionets.layers.spiking import LIB, LITS, RLIB, AdEx, bound, constraints


def test_earlier_names_are_deprecated() -> None:
    layer = LIB(3)
    with pytest.warns(DeprecationWarning, match=r"now called layer\.constraints"):
        assert layer.bounds == layer.constraints == {"beta": "decay", "threshold": "threshold"}
    with pytest.warns(DeprecationWarning, match="now called constraint="):
        layer.add_parameter("share", 0.25, bound="decay")
    torch.testing.assert_close(layer.share, torch.full((3,), 0.25))
    with pytest.warns(DeprecationWarning, match=r"constraints\.ConstrainedParameters"):
        assert bound.BoundParameters is constraints.ConstrainedParameters
    with pytest.raises(AttributeError, match="nothing"):
        bound.nothing  # noqa: B018


def test_an_unknown_constraint_is_refused() -> None:
    with pytest.raises(ValueError, match="constraint must be one of decay, threshold or None, got 'share'"):
        LIB(3).add_parameter("share", 0.25, "share")


def test_a_value_set_in_double_precision_keeps_its_precision() -> None:
    layer = LIB(3).double()
    layer.beta = beta = torch.tensor([0.1, 0.95, 0.999], dtype=torch.float64)
    layer.threshold = 0.3
    torch.testing.assert_close(layer.beta, beta, rtol=1e-15, atol=0)
    torch.testing.assert_close(layer.threshold, torch.full_like(beta, 0.3), rtol=1e-15, atol=0)


def test_assigning_a_parameter_sets_the_values_in_place() -> None:
    layer = LIB(3)
    raw = layer.raw_beta
    layer.beta = nn.Parameter(torch.full((3,), 0.25))
    assert layer.raw_beta is raw and layer.beta.tolist() == [0.25] * 3
    assert [name for name, _ in layer.named_parameters()] == ["raw_beta", "raw_threshold"]


@pytest.mark.parametrize(
    "value",
    [None, "fast", ["fast", 0.5, 0.5], {}, {"uniform": [0.9, 0.1]}, {"normal": [0.5, -1.0]}, {"uniform": ["a", 1.0]}],
)
def test_invalid_values_of_a_parameter_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="LIB: beta must be a number, a tensor"):
        LIB(3, beta=value)


def test_the_invalid_one_of_several_values_is_named() -> None:
    with pytest.raises(ValueError, match=r"beta must be between 0 and 1.*, got 1\.5$"):
        LIB(3, beta=torch.tensor([0.5, 1.5, 0.5]))


@pytest.mark.parametrize("value", [math.nan, torch.tensor([0.0, math.nan])])
@pytest.mark.parametrize(("kind", "name"), [(LIB, "bias"), (RLIB, "rec_weight"), (LITS, "neg_scale"), (AdEx, "reset")])
def test_nan_is_refused_as_a_value_without_constraint(kind: Any, name: str, value: Any) -> None:
    """It made all outputs NaN, or no spikes."""
    with pytest.raises(ValueError, match=f"{kind.__name__}: {name} must be a number, got nan"):
        kind(2, **{name: value, f"{name}_rank": 1})
    layer = kind(2, **{name: 0.5})
    with pytest.raises(ValueError, match=f"{kind.__name__}: {name} must be a number, got nan"):
        setattr(layer, name, math.nan)
