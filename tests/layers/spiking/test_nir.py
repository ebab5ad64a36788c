"""NIR: an exported and imported network spikes identically; what NIR cannot express is refused by name."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

nir = pytest.importorskip("nir")

from bionets.layers import SequenceDropout, StatefulRecurrent, reset_states, unroll  # noqa: E402
from bionets.layers.spiking import (  # noqa: E402
    ALIF,
    DLIB,
    LI,
    LIB,
    LIT,
    PLIF,
    RLIB,
    SLI,
    SLIB,
    FullyRecurrent,
    SpikingLayer,
    ThresholdBatchNorm2d,
)
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


class Awkward(nn.Module):
    """Names that clash once NIR's dots are gone, and with the methods of torch's containers."""

    def __init__(self) -> None:
        super().__init__()
        self.keys, self.training_ = nn.Linear(3, 4), nn.Linear(4, 4)
        self.a, self.a_0 = nn.Sequential(nn.Linear(4, 4)), LIB(4, threshold=0.2, **HARD)

    def forward(self, x: Tensor) -> Tensor:
        return self.a_0(self.training_(self.a(self.keys(x))))


def conv_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        LIB(4, dim=-3, **HARD),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 2, (3, 3), padding="same"),
        PLIF(2, threshold=0.2, dim=1, **HARD),
        nn.AvgPool2d(2, divisor_override=1),
        nn.Dropout(),
        SequenceDropout(),
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
    "decay 0": (lambda: LIB(6, beta=0.0, learn_beta=False, **HARD), (6,)),
    "decays 0 to 0.9": (lambda: LIB(3, beta=torch.tensor([0.0, 0.5, 0.9]), learn_beta=False, **HARD), (3,)),
    "synaptic decay 0": (lambda: SLIB(6, alpha=0.0, learn_alpha=False, **HARD), (6,)),
    "both decays 0": (
        lambda: SLI(6, alpha=0.0, beta=0.0, learn_alpha=False, learn_beta=False, backend="reference"),
        (6,),
    ),
    "PLIF with decay 0": (lambda: PLIF(6, beta=0.0, learn_beta=False, threshold=0.3, **HARD), (6,)),
    "a decay next to 1": (lambda: LI(6, beta=1 - 1e-7, backend="reference"), (6,)),
    "grouped conv2d": (
        lambda: nn.Sequential(nn.Conv2d(4, 6, 3, groups=2, stride=(2, 1), padding=(1, 0)), LIB(6, dim=-3, **HARD)),
        (4, 6, 6),
    ),
    "conv2d of a kernel that is not square": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, (1, 3), stride=(1, 2), padding=(0, 1)),
            LIB(4, dim=-3, **HARD),
            nn.Conv2d(4, 3, (3, 1), dilation=(1, 2), padding="valid"),
            LIB(3, dim=-3, **HARD),
        ),
        (2, 6, 7),
    ),
    "depthwise conv1d": (
        lambda: nn.Sequential(nn.Conv1d(4, 4, 3, groups=4, padding="same", dilation=2), LIB(4, dim=-2, **HARD)),
        (4, 9),
    ),
    "awkward names": (Awkward, (3,)),
}


@pytest.mark.parametrize("name", MODELS)
def test_an_exported_and_imported_network_spikes_identically(name: str, tmp_path: Path) -> None:
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


def test_export_does_not_change_kept_states() -> None:
    model = LIB(3, **HARD)
    model(torch.ones(2, 3))
    mem = model.mem
    to_nir(model, torch.ones(1, 3))
    assert model.mem is mem and model.training


def test_the_exported_graph_has_the_parameters_of_the_equations() -> None:
    graph = to_nir(nn.Sequential(nn.Linear(2, 3), LIB(3, 0.75, 0.5, **HARD)), torch.zeros(1, 2), dt=1e-3)
    node = graph.nodes["1"]
    assert isinstance(node, nir.LIF) and node.metadata == {"reset": "subtract"} and graph.metadata == {"dt": 1e-3}
    assert node.tau == pytest.approx(4e-3) and node.r == pytest.approx(4) and node.v_threshold == pytest.approx(0.5)
    assert sorted(graph.edges) == [("0", "1"), ("1", "output"), ("input", "0")]


def test_an_imported_foreign_graph_follows_the_equations_of_nir() -> None:
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
        (DLIB(4, **HARD), "NIR cannot express 1, a DLIB: .*traces split by sign"),
        (RLIB(4, **HARD), "a RLIB: .*own output"),
        (LIT(4, **HARD), "a LIT: .*ternary spikes"),
        (ALIF(4), "a ALIF: "),
        (LIB(4), "a LIB with soft or random spikes.*spike_fn='arctan'"),
        (SLIB(4, beta=1.0, learn_beta=False, **HARD), "a SLIB with beta = 1"),
        (LIB(4, beta=torch.tensor([0.0, 1.0, 0.5, 0.5]), learn_beta=False, **HARD), "1, a LIB with beta = 1"),
        (PLIF(4, beta=1.0, learn_beta=False, **HARD), "1, a PLIF with beta = 1"),
        (nn.MaxPool1d(2), "1, a MaxPool1d.*no maximum, only average pooling"),
        (nn.Sequential(nn.ReLU(), nn.BatchNorm1d(4)), r"1\.0, a ReLU"),
        (nn.GRU(4, 4), "1 must return one tensor, not a tuple"),
        (StatefulRecurrent(nn.GRU(4, 4)), r"NIR cannot express 1, a StatefulRecurrent\( dim=-1"),
        (nn.Sequential(LIB(4, **HARD), nn.BatchNorm1d(4)), r"1\.1, a BatchNorm1d.*a convolution or a linear layer"),
    ],
)
def test_layers_that_nir_cannot_express_are_refused_by_name(layer: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_nir(nn.Sequential(nn.Linear(3, 4), layer), torch.zeros(1, 3))


def test_a_kernel_that_zeros_cannot_make_square_is_refused() -> None:
    with pytest.raises(ValueError, match=r"NIR cannot express 0, a Conv2d.*its reader takes kernels for square"):
        to_nir(nn.Sequential(nn.Conv2d(1, 2, (2, 3))), torch.zeros(1, 1, 4, 4))


def test_batch_normalisation_is_folded_into_the_preceding_layer() -> None:
    torch.manual_seed(0)
    norms = ThresholdBatchNorm2d(8), nn.BatchNorm1d(5, affine=False)
    model = nn.Sequential(
        *(nn.Conv2d(2, 8, 3, bias=False), nn.AvgPool2d(2), norms[0], LIB(8, dim=-3, **HARD)),
        *(nn.Flatten(), nn.Linear(32, 5, bias=False), norms[1], LI(5, backend="reference")),
    )
    for norm in norms:
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    norms[0].weight.data.normal_()
    norms[0].bias.data.normal_()
    x = torch.randn(9, 3, 2, 6, 6)
    graph = to_nir(model.eval(), x[0])
    assert sorted(graph.nodes) == ["0", "1", "3", "4", "5", "7", "input", "output"]
    other = from_nir(graph).eval()
    torch.testing.assert_close(unroll(other, x), unroll(model, x), rtol=1e-4, atol=1e-4)


def test_a_spiking_conv_model_with_average_pooling_is_exported() -> None:
    from bionets.models import SpikingConvModel
    from bionets.tasks.spec import TaskSpec

    spec = TaskSpec("image_to_class", input_size=64, output_size=3, image_shape=(1, 8, 8))
    arguments = {"channels": (4, 4), "hidden_size": 6, "layer_arguments": {"spike_fn": "arctan"}}
    model = SpikingConvModel(spec, pool="average", **arguments).eval()
    images = torch.rand(2, 1, 8, 8)
    again = from_nir(to_nir(model.network, images)).eval()
    torch.testing.assert_close(model.readout(unroll(again, model.encode(images))), model(images), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"a MaxPool2d.*model\.pool=average"):
        to_nir(SpikingConvModel(spec, **arguments).network, images)


def test_a_layer_named_output_is_refused() -> None:
    class Ends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.output = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.output(x)

    with pytest.raises(ValueError, match="cannot have the name output"):
        to_nir(Ends(), torch.zeros(1, 3))


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_a_time_constant_of_one_step_is_a_neuron_without_memory(reset: str) -> None:
    tau, one = torch.tensor([1e-3, 5e-3], dtype=torch.float64).numpy(), torch.ones(2).numpy()
    node = nir.LIF(tau=tau, r=one, v_leak=0 * one, v_threshold=one)
    model, x = from_nir(nir.NIRGraph.from_list(node), dt=1e-3, reset=reset), torch.tensor([[[3.0, 6.0]], [[0.5, 6.0]]])
    assert unroll(model, x).tolist() == [[[1.0, 1.0]], [[0.0, 1.0]]]
    assert not any("raw_beta" in name for name, _ in model.named_parameters())
    with pytest.raises(ValueError, match=r"threshold is a|LIF that bionets cannot express with dt=0\.002.*decay is 1"):
        from_nir(nir.NIRGraph.from_list(node), dt=2e-3, reset=reset)


def test_hooks_that_change_inputs_or_outputs_are_refused_and_others_are_not() -> None:
    def network() -> nn.Sequential:
        return nn.Sequential(nn.Linear(3, 4), LIB(4, **HARD), nn.Dropout())

    x, observed = torch.ones(2, 3), network()
    observed[0].register_forward_hook(lambda module, inputs, output: None)
    prune.l1_unstructured(observed[0], "weight", 0.5)  # by a hook that sets the weight
    assert (to_nir(observed, x).nodes["0"].weight == 0).sum() == 6

    for number, called in ((0, "0"), (1, "1"), (2, "2"), (None, "the model")):
        model = network()
        changed = model if number is None else model[number]
        changed.register_forward_hook(lambda module, inputs, output: output + 1)
        with pytest.raises(ValueError, match=f"hook that changes the output of {called}: remove it"):
            to_nir(model, x)
        model = network()
        changed = model if number is None else model[number]
        changed.register_forward_pre_hook(lambda module, inputs: (2 * inputs[0] + 1,))
        with pytest.raises(ValueError, match=f"hook that changes the input of {called}: remove it"):
            to_nir(model, x)


def test_a_forward_that_nir_cannot_express_is_refused() -> None:
    class Product(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * x

    with pytest.raises(ValueError, match=r"NIR cannot express .*mul"):
        to_nir(Product(), torch.zeros(1, 3))


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (nir.Threshold(torch.ones(3).numpy()), "threshold is a Threshold"),
        (nir.LI(*(torch.ones(3).numpy(),) * 3), "v_leak other than 0"),
    ],
)
def test_nodes_that_bionets_cannot_express_are_refused_by_name(node: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_nir(nir.NIRGraph.from_list(node))


def test_batch_normalisation_along_another_axis_than_that_of_the_linear_layer_is_refused() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), LIB(4, **HARD)).eval()
    with pytest.raises(ValueError, match=r"1, a BatchNorm1d.*a linear layer of vectors"):
        to_nir(model, torch.zeros(1, 4, 4))


def test_a_model_with_two_results_is_refused() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> list[Tensor]:
            return [self.layer(x), x]

    with pytest.raises(ValueError, match="the model must return one tensor, not a list"):
        to_nir(Two(), torch.zeros(1, 3))


def neuron(*shape: int) -> object:
    one = torch.ones(shape).numpy()
    return nir.LIF(tau=2 * one, r=one, v_leak=0 * one, v_threshold=one)


def graph_of(nodes: dict[str, object], *edges: tuple[str, str]) -> object:
    ends = {"input": nir.Input(torch.tensor([3]).numpy()), "output": nir.Output(torch.tensor([3]).numpy())}
    return nir.NIRGraph({**ends, "a": neuron(3), **nodes}, [("input", "a"), ("a", "output"), *edges])


def test_two_linear_nodes_from_a_neuron_to_itself_add_up() -> None:
    weights = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(0))
    nodes = {name: nir.Linear(weight.numpy()) for name, weight in zip("bc", weights, strict=True)}
    model = from_nir(graph_of(nodes, ("a", "b"), ("b", "a"), ("a", "c"), ("c", "a")))
    (weight,) = (value for name, value in model.named_parameters() if name.endswith("weight"))
    torch.testing.assert_close(weight, weights.sum(0))


def test_invalid_graphs_and_time_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="a leads to input, which takes no input"):
        from_nir(graph_of({}, ("a", "input")))
    with pytest.raises(ValueError, match="lif has single numbers as parameters"):
        from_nir(nir.NIRGraph.from_list(neuron()))
    for dt in (0.0, -1e-3, math.inf, math.nan):
        with pytest.raises(ValueError, match="dt must be above 0"):
            to_nir(LI(3), torch.zeros(1, 3), dt=dt)
        with pytest.raises(ValueError, match="dt must be above 0"):
            from_nir(nir.NIRGraph.from_list(neuron(3)), dt=dt)


@pytest.mark.parametrize("spike_fn", ["sigmoid4x", "step"])
def test_soft_and_unknown_spike_functions_are_refused_at_import(spike_fn: str) -> None:
    """With a soft one, the spikes of the loaded network were random."""
    with pytest.raises(ValueError, match=f"^spike_fn must be hard: choose one of sigmoid, .* got {spike_fn}$"):
        from_nir(nir.NIRGraph.from_list(neuron(3)), spike_fn=spike_fn)


def test_the_path_of_a_graph_is_refused() -> None:
    with pytest.raises(TypeError, match=r"from_nir needs a graph, such as nir\.read\(path\), got a str"):
        from_nir("network.nir")  # type: ignore[arg-type]
