"""Layers in half precision, whose states and decays are finer than it is: beside the same weights in float64."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bionets.layers import (
    LMU,
    LRU,
    CoRNN,
    RecurrentStigmergicMemory,
    StatefulRecurrent,
    StigmergicMemory,
    StigmergicPerceptron,
    UnICORNN,
    reset_states,
    unroll,
)
from bionets.layers.spiking import LI, LIB, SLI, FullyRecurrent, freeze

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "LMU": lambda: StatefulRecurrent(LMU(4, 16)),
    "LRU": lambda: StatefulRecurrent(LRU(4, 16, initialisation="slow")),
    "CoRNN": lambda: StatefulRecurrent(CoRNN(4, 16)),
    "UnICORNN": lambda: StatefulRecurrent(UnICORNN(4, 16)),
    "StigmergicMemory": lambda: StigmergicMemory(4, 8, hidden_layers=1, hidden_size=6),
    "RecurrentStigmergicMemory": lambda: RecurrentStigmergicMemory(4, 8, hidden_layers=1, hidden_size=6),
    "StigmergicPerceptron": lambda: StigmergicPerceptron(4, 8, stigmergic_weights=True),
    "LI": lambda: LI(4, beta=0.998),
    "SLI": lambda: SLI(4, beta=0.998, alpha=0.99),
    "FullyRecurrent": lambda: FullyRecurrent(LIB(4, spike_fn="sigmoid4x", quant_fn="identity")),
}


def step_by_step(layer: nn.Module, x: Tensor) -> Tensor:
    return torch.stack([layer(step) for step in x])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", LAYERS)
def test_long_sequences_are_close_to_float64(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    layer = LAYERS[name]().to(dtype)
    x = (0.1 * torch.randn(300, 2, 4)).to(dtype)
    with torch.no_grad():
        expected = unroll(copy.deepcopy(layer).double(), x.double())
        unrolled = unroll(layer, x)
        assert unrolled.dtype == dtype
        off = (unrolled.double() - expected).abs().max() / expected.abs().max()
        assert off < 3 * torch.finfo(dtype).eps
        if not isinstance(layer, StatefulRecurrent):  # whose states have the dtype of the weights, as in torch
            reset_states(layer)
            torch.testing.assert_close(step_by_step(layer, x), unrolled)


@pytest.mark.parametrize("initialisation", ["ring", "slow"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_initial_parameters_of_an_lru_are_finite(initialisation: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = LRU(4, 4096, initialisation=initialisation, dtype=dtype)
    assert all(bool(parameter.isfinite().all()) for parameter in layer.parameters())


@pytest.mark.parametrize("frozen", [False, True])
def test_a_decay_close_to_one_is_not_rounded_to_one(frozen: bool) -> None:
    layer = LI(4, beta=0.999)
    if frozen:
        freeze(layer)
    layer.bfloat16()
    torch.testing.assert_close(layer.beta, torch.full((4,), 0.999), rtol=0, atol=1e-4)
