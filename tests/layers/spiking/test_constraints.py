"""Constrained parameters under their earlier names."""

import pytest
import torch

from bionets.layers.spiking import LIB, bound, constraints


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
