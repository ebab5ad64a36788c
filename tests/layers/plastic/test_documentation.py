"""The code blocks in docs/plastic.md run, and have the results stated there."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from bionets.scan.warn_once import warn_once

PAGE = Path(__file__).parents[3] / "docs" / "plastic.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def run(holds: str) -> dict[str, Any]:
    """The names that the block which holds these words defines."""
    (block,) = (block for block in BLOCKS if holds in block)
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(block, names)
    return names


def test_the_network_of_diehl_and_cook_learns_in_one_call() -> None:
    names = run("LateralInhibition")
    assert names["network"].backend == "numba"
    assert names["spikes"]["excitatory"].shape == (350, 1, 100)
    assert names["counts"].sum() > 0
    assert names["network"].neurons["excitatory"].adaptation.max() > 0
    assert not torch.allclose(names["learnt"].weight.sum(0), torch.tensor(78.4), atol=1e-4)


def test_the_documented_groups_of_connections_have_their_options() -> None:
    names = run("rule = MSTDPET(")
    assert [(options.rate, options.decay) for _, options in names["rule"]] == [(0.1, 0.9), (0.01, 0.9)]


def test_the_documented_user_rule_learns_the_spiking_inputs() -> None:
    warn_once.cache_clear()  # another test may have been warned
    with pytest.warns(UserWarning, match="it learns by Instar"):
        names = run("class Instar")
    weight = names["learnt"].weight
    assert (weight[0] < 0.05).all() and (weight[-1] > 0.8).all()
    assert (weight[4:].mean(0) > weight[:4].mean(0) + 0.3).all()
