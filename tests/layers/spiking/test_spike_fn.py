"""Spike functions and quantisers that are modules: their parameters are the layer's, and the step is compiled."""

import copy
import pickle
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bionets.layers import reset_states, unroll
from bionets.layers.spiking import ALIF, LIB, LIT, PLIF, FullyRecurrent


class Slope(nn.Module):
    """σ(slope·v + offset), with slopes of one's own to learn."""

    def __init__(self, neurons: int | None = None) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.linspace(1, 3, neurons) if neurons else torch.tensor(2.0))
        self.register_buffer("offset", torch.tensor([0.1]))

    def forward(self, v: Tensor) -> Tensor:
        return torch.sigmoid(self.slope * v + self.offset)


class Blur(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.width = nn.Parameter(torch.tensor(0.5))

    def forward(self, p: Tensor, noise: Tensor) -> Tensor:
        return p + self.width * noise


IDENTITY = {"quant_fn": "identity"}
LAYERS: dict[str, tuple[Callable[[str], nn.Module], tuple[int, ...]]] = {
    "one slope": (lambda backend: LIB(4, spike_fn=Slope(), backend=backend, **IDENTITY), (4,)),
    "a slope for each neuron": (lambda backend: LIT(4, spike_fn=Slope(4), backend=backend), (4,)),
    "recurrent": (
        lambda backend: FullyRecurrent(PLIF(4, spike_fn=Slope(4), backend=backend, **IDENTITY)),
        (4,),
    ),
    "pooled images": (
        lambda backend: nn.Sequential(ALIF(4, dim=-3, spike_fn=Slope(4), backend=backend, **IDENTITY), nn.MaxPool2d(2)),
        (4, 2, 2),
    ),
    "a quantiser": (lambda backend: LIB(4, quant_fn=Blur(), backend=backend), (4,)),
}


def run(layer: nn.Module, x: Tensor, whole: bool) -> list[Tensor]:
    torch.manual_seed(1)
    reset_states(layer)
    y = unroll(layer, x) if whole else torch.stack([layer(step) for step in x])
    return [y, *torch.autograd.grad(y.square().sum(), tuple(layer.parameters()))]


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("name", LAYERS)
def test_a_spike_function_module_is_compiled_and_learned(name: str) -> None:
    make, shape = LAYERS[name]
    x, results = torch.randn(5, 2, *shape, generator=torch.Generator().manual_seed(0)), []
    for backend in ("auto", "reference"):
        torch.manual_seed(0)
        layer = make(backend)
        results += [run(layer, x, whole) for whole in (True, False)]
    for other in results[1:]:
        torch.testing.assert_close(results[0], other)
    assert sum("_fn." in parameter for parameter, _ in layer.named_parameters()) == 1
    assert all(gradient.any() for gradient in results[0][1:])


def test_copies_of_a_layer_have_their_own_spike_function() -> None:
    layer, x = LIB(4, spike_fn=Slope(), **IDENTITY), torch.randn(5, 2, 4)
    expected = run(layer, x, whole=True)
    assert "spike_fn.slope" in layer.state_dict() and "spike_fn.offset" in layer.state_dict()
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(run(copied, x, whole=True), expected)
        copied.spike_fn.slope.data += 1
        assert not torch.equal(run(copied, x, whole=True)[0], expected[0])
        torch.testing.assert_close(run(layer, x, whole=True), expected)
        fresh = LIB(4, spike_fn=Slope(), **IDENTITY)
        fresh.load_state_dict(copied.state_dict())
        torch.testing.assert_close(run(fresh, x, whole=True), run(copied, x, whole=True))
    assert run(layer.double(), x.double(), whole=True)[0].dtype == torch.float64


def test_a_spike_function_that_cannot_be_compiled_warns_once_and_runs_on_the_reference() -> None:
    class Centred(nn.Module):
        def forward(self, v: Tensor) -> Tensor:
            return torch.sigmoid(v - v.mean(-1, keepdim=True))

    layer, x = LIB(4, spike_fn=Centred(), **IDENTITY), torch.randn(5, 2, 4)
    with pytest.warns(UserWarning, match="slow reference backend"):
        first = run(layer, x, whole=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        torch.testing.assert_close(run(layer, x, whole=True), first)
        torch.testing.assert_close(run(layer, x, whole=False), first)


def test_a_parameter_of_a_spike_function_with_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"LIB: spike_fn\.slope must have one entry or num_neurons=4.*\(3,\)"):
        LIB(4, spike_fn=Slope(3), **IDENTITY)(torch.rand(2, 4))
