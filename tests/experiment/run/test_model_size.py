"""The largest model with at most a given number of parameters."""

from typing import Any

import pytest
import torch

from bionets.experiment.run.instantiate import instantiate_node
from bionets.experiment.run.model_size import largest
from bionets.tasks import TaskSpec

SPEC = TaskSpec("sequence_to_sequence", 3, 2)
RECURRENT = "bionets.models.RecurrentModel"
LAYERS = ("BRC", "NBRC", "LEM", "LRU", "LMU", "MinGRU", "SRC", "CoRNN", "UnICORNN")
NODES: dict[str, dict[str, Any]] = {
    **{name: {"_target_": RECURRENT, "layer": f"bionets.layers.{name}"} for name in LAYERS},
    "gru": {"_target_": RECURRENT, "layer": "torch.nn.GRU", "num_layers": 2},
    "spiking": {"_target_": "bionets.models.SpikingRecurrentModel"},
}


def count(node: dict[str, Any], size: int) -> int:
    model = instantiate_node({**node, "hidden_size": size}, spec=SPEC, optimizer=None)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", NODES)
@pytest.mark.parametrize("most", [200, 1000])
def test_the_largest_size_fits_and_one_more_unit_does_not(name: str, most: int) -> None:
    state = torch.random.get_rng_state()
    size = largest(most, NODES[name], SPEC)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert count(NODES[name], size) <= most < count(NODES[name], size + 1)


def test_a_model_may_have_exactly_as_many_parameters_as_the_limit() -> None:
    for size in (1, 2, 3, 8, 9):
        assert largest(count(NODES["gru"], size), NODES["gru"], SPEC) == size


def test_the_largest_size_is_zero_if_one_unit_does_not_fit() -> None:
    assert largest(3, NODES["gru"], SPEC) == 0
