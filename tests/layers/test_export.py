"""torch.export and torch.jit.trace: the programs run without bionets. torch.compile of whole networks."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bionets.layers import (
    BRC,
    NBRC,
    RecurrentStigmergicMemory,
    SequenceDropout,
    StigmergicPerceptron,
    get_states,
    reset_states,
    unroll,
)
from bionets.layers.single_step import StatefulStep
from bionets.layers.spiking import LI, LIB, PLIF, FullyRecurrent

LOAD = """
import sys, torch
for file in sys.argv[1:]:
    x, expected = torch.load(file + ".numbers")
    torch.testing.assert_close(torch.export.load(file).module()(x), expected)
assert "bionets" not in sys.modules
print(len(sys.argv) - 1, "loaded")
"""


class OverTime(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        reset_states(self.net)
        return unroll(self.net, x)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "brc": lambda: BRC(3, 4),
    "nbrc": lambda: NBRC(3, 4, num_layers=2, bidirectional=True),
    "spiking": lambda: OverTime(
        nn.Sequential(nn.Linear(3, 4), FullyRecurrent(PLIF(4)), LIB(4, quant_fn="round"), nn.Linear(4, 2), LI(2))
    ),
    "stigmergic": lambda: OverTime(RecurrentStigmergicMemory(3, 4, hidden_layers=1)),
}


@pytest.mark.slow
def test_a_saved_program_loads_in_a_new_process(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 2, 3)
    for name, make in MODELS.items():
        model = make().eval().requires_grad_(False)
        torch.export.save(torch.export.export(model, (x,)), tmp_path / f"{name}.pt2")
        torch.save((x, model(x)), tmp_path / f"{name}.pt2.numbers")
    files = [str(tmp_path / f"{name}.pt2") for name in MODELS]
    found = subprocess.run([sys.executable, "-c", LOAD, *files], capture_output=True, text=True, check=False)
    assert found.stdout.strip() == "4 loaded", found.stderr[-2000:]


@pytest.mark.parametrize("name", MODELS)
def test_a_traced_model_takes_other_batches(name: str) -> None:
    """The former ONNX exporter and the graphs of TensorBoard are traced so, too."""
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    with warnings.catch_warnings(action="ignore"):
        traced = torch.jit.trace(model, (torch.randn(5, 2, 3),), check_trace=False)
    x = torch.randn(5, 4, 3)
    torch.testing.assert_close(traced(x), model(x))


def test_random_spikes_are_refused_by_name() -> None:
    for exporter in (torch.export.export, torch.jit.trace):
        refused = pytest.raises(RuntimeError, match=r"LIB: random spikes cannot be exported.*arctan.*round")
        with warnings.catch_warnings(action="ignore"), refused:
            exporter(OverTime(LIB(3)), (torch.rand(4, 2, 3),))


def test_torch_compile_of_random_spikes_draws_the_same_spikes() -> None:
    torch.compiler.reset()
    model = OverTime(nn.Sequential(nn.Linear(3, 4), LIB(4)))
    compiled, x = torch.compile(model, backend="aot_eager"), torch.randn(5, 2, 3)
    for seed in range(2):
        torch.manual_seed(seed)
        expected = model(x)
        torch.manual_seed(seed)
        assert torch.equal(compiled(x), expected)


@pytest.mark.parametrize("stigmergic_weights", [False, True])
def test_an_exported_step_accepts_the_states_that_it_returns(stigmergic_weights: bool) -> None:
    """Its example states are those of `initial_states`, which may be views of a parameter."""
    torch.manual_seed(0)
    layer, x = StigmergicPerceptron(3, 4, stigmergic_weights).eval(), torch.randn(5, 2, 3)
    step = StatefulStep(layer, x[0])
    states = step.initial_states(x[0])
    program = torch.export.export(step, (x[0], *states)).module()
    found = []
    for each in x:
        y, *states = program(each, *states)
        found.append(y)
    torch.testing.assert_close(torch.stack(found), unroll(layer, x))


def test_a_stateful_step_does_not_change_its_network() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), SequenceDropout(), LIB(4, spike_fn="arctan"))
    x = torch.randn(5, 3)
    network(x)
    kept = get_states(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    StatefulStep(network, x)
    assert network.training and all(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert get_states(network).keys() == kept.keys()
    assert all(torch.equal(state, kept[name]) for name, state in get_states(network).items())
