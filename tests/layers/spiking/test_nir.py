"""NIR: what is written, loaded and read back spikes identically; what NIR cannot say is refused by name."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

nir = pytest.importorskip("nir")

from bionets.layers import reset_states, unroll  # noqa: E402
from bionets.layers.spiking import ALIF, DLIB, LI, LIB, LIT, PLIF, RLIB, SLI, SLIB, FullyRecurrent, SpikingLayer  # noqa: E402
from bionets.layers.spiking.nir import from_nir, to_nir  # noqa: E402

HARD = {"spike_fn": "arctan", "backend": "reference"}


def drawn(model: nn.Module) -> nn.Module:
    """With a value of its own for each neuron."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, SpikingLayer):
            for parameter in module.parameters():
                parameter.data += 0.3 * torch.randn(parameter.shape)
    return model


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6, bias=False)
        self.spikes = nn.ModuleList([LIB(6, **HARD), SLIB(6, **HARD)])

    def forward(self, x: Tensor) -> Tensor:
        y = self.spikes[0](self.first(x) + x)
        return self.spikes[1](self.second(y) + x) + y


def conv_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        LIB(4, dim=-3, **HARD),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 2, (3, 3), padding="same"),
        PLIF(2, threshold=0.2, dim=1, **HARD),
        nn.AvgPool2d(2, divisor_override=1),
        nn.Dropout(),
        nn.Flatten(),
        nn.Linear(8, 5),
        SLIB(5, threshold=0.3, **HARD),
        LI(5, backend="reference"),
    )


MODELS = {
    **{kind.__name__: (lambda kind=kind: kind(6, **HARD), (6,)) for kind in (LIB, SLIB, PLIF)},
    "LI": (lambda: LI(6, backend="reference"), (6,)),
    "SLI": (lambda: SLI(6, backend="reference"), (6,)),
    "integrate and fire": (lambda: LIB(6, 1.0, learn_beta=False, **HARD), (6,)),
    "integrator": (lambda: LI(6, 1.0, learn_beta=False, backend="reference"), (6,)),
    "round": (lambda: LIB(6, quant_fn="round", backend="reference"), (6,)),
    "fully recurrent": (lambda: nn.Sequential(nn.Linear(6, 4), FullyRecurrent(PLIF(4, threshold=0.2, **HARD))), (6,)),
    "conv1d": (lambda: nn.Sequential(nn.Conv1d(3, 4, 3, stride=2), LIB(4, dim=-2, **HARD)), (3, 9)),
    "conv2d": (conv_net, (2, 8, 8)),
    "skip": (Skip, (6,)),
}


@pytest.mark.parametrize("name", MODELS)
def test_read_back_it_spikes_identically(name: str, tmp_path: Path) -> None:
    make, shape = MODELS[name]
    torch.manual_seed(0)
    model = drawn(make()).eval()
    x = 2 * torch.randn(12, 3, *shape)
    expected = unroll(model, x)
    assert expected.any()
    nir.write(tmp_path / "net.nir", to_nir(model, x[0], dt=1e-3))
    other = from_nir(nir.read(tmp_path / "net.nir")).eval()
    for module in other.modules():
        if isinstance(module, SpikingLayer):
            module.backend = "reference"
    assert torch.equal(unroll(other, x), expected)
    again = from_nir(to_nir(other, x[0])).eval()
    reset_states(again)
    assert torch.equal(unroll(again, x), expected)


def test_export_leaves_the_kept_states_alone() -> None:
    model = LIB(3, **HARD)
    model(torch.ones(2, 3))
    mem = model.mem
    to_nir(model, torch.ones(1, 3))
    assert model.mem is mem and model.training


def test_the_graph_says_what_the_equations_mean() -> None:
    graph = to_nir(nn.Sequential(nn.Linear(2, 3), LIB(3, 0.75, 0.5, **HARD)), torch.zeros(1, 2), dt=1e-3)
    node = graph.nodes["1"]
    assert isinstance(node, nir.LIF) and node.metadata == {"reset": "subtract"} and graph.metadata == {"dt": 1e-3}
    assert node.tau == pytest.approx(4e-3) and node.r == pytest.approx(4) and node.v_threshold == pytest.approx(0.5)
    assert sorted(graph.edges) == [("0", "1"), ("1", "output"), ("input", "0")]


def test_a_foreign_graph_means_what_nir_says() -> None:
    """v' = v + dt/τ·(−v + R·I), a spike where v > θ, then v = 0; every neuron of an image with its own τ."""
    tau = torch.tensor([[[2.0, 4.0], [5.0, 8.0]]]).numpy()
    one = tau * 0 + 1
    node = nir.LIF(tau=tau, r=3 * one, v_leak=0 * one, v_threshold=one)
    x = torch.rand(20, 1, 1, 2, 2)
    found = unroll(from_nir(nir.NIRGraph.from_list(node), dt=0.5), x)
    v, expected = torch.zeros(1, 1, 2, 2), []
    for now in x:
        v = v + 0.5 / torch.tensor(tau) * (3 * now - v)
        expected.append((v > 1).float())
        v = v * (1 - expected[-1])
    assert torch.equal(found, torch.stack(expected)) and found.any()
    other = unroll(from_nir(nir.NIRGraph.from_list(node), dt=0.5, reset="subtract"), x)
    assert not torch.equal(other, found)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (DLIB(4, **HARD), "NIR cannot say 1, a DLIB: .*traces split by sign"),
        (RLIB(4, **HARD), "a RLIB: .*own output"),
        (LIT(4, **HARD), "a LIT: .*ternary spikes"),
        (ALIF(4), "a ALIF: "),
        (LIB(4), "a LIB with soft or random spikes.*spike_fn='arctan'"),
        (SLIB(4, beta=1.0, learn_beta=False, **HARD), "a SLIB with beta = 1"),
        (nn.MaxPool1d(2), "1, a MaxPool1d"),
    ],
)
def test_what_nir_cannot_say_is_named(layer: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_nir(nn.Sequential(nn.Linear(3, 4), layer), torch.zeros(1, 3))


def test_a_forward_that_nir_cannot_say_is_named() -> None:
    class Product(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * x

    with pytest.raises(ValueError, match=r"NIR cannot say .*mul"):
        to_nir(Product(), torch.zeros(1, 3))


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (nir.Threshold(torch.ones(3).numpy()), "threshold is a Threshold"),
        (nir.LI(*(torch.ones(3).numpy(),) * 3), "v_leak other than 0"),
    ],
)
def test_what_bionets_cannot_say_is_named(node: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_nir(nir.NIRGraph.from_list(node))
