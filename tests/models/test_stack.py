"""A stack of different layers is the same as the modules that its entries describe, one after the other."""

import pytest
import torch
from lightning import Trainer
from torch import Tensor, nn

from bionets.layers import (
    BRC,
    Delay,
    DelayedLinear,
    Delays,
    SequenceDropout,
    StatefulRecurrent,
    reset_states,
    unroll,
)
from bionets.layers.spiking import LIB, FullyRecurrent, ThresholdBatchNorm1d
from bionets.models import StackModel
from bionets.models.stack import Residual
from bionets.tasks import TaskSpec
from bionets.tasks.copy_first_input import CopyFirstInput

LAST = TaskSpec("sequence_to_value", input_size=3, output_size=2)
EVERY = TaskSpec("sequence_to_sequence", input_size=3, output_size=2)
MIXED = [
    {"layer": "BRC", "size": 5, "initialisation": "bistable"},
    {"layer": "LIB", "size": 6, "recurrent": True, "norm": "threshold_batch", "threshold": 0.5},
    {"layer": "LIB", "norm": "threshold_batch"},
    {"layer": "GRU", "size": 6, "norm": "layer", "residual": True},
    {"layer": "Linear", "size": 4, "norm": "batch", "dropout": 0.5},
    {"layer": "ReLU"},
]


class Doubled(nn.Module):
    """A module of a user's own, for one step."""

    def __init__(self, size_in: int, size: int, factor: float = 2.0) -> None:
        super().__init__()
        self.linear, self.factor = nn.Linear(size_in, size), factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * self.linear(x)


class OverTheBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


def test_different_kinds_of_layers_are_trained_in_one_stack() -> None:
    torch.manual_seed(0)
    model, x = StackModel(EVERY, MIXED), torch.randn(7, 4, 3)
    assert model(x).shape == (7, 4, 2)
    model(x).square().sum().backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not without
    kinds = {type(module) for module in model.modules()}
    assert {StatefulRecurrent, FullyRecurrent, SequenceDropout, ThresholdBatchNorm1d, nn.LayerNorm} <= kinds


@pytest.mark.parametrize("training", [False, True])
def test_a_stack_equals_the_modules_that_its_entries_describe(training: bool) -> None:
    neurons = LIB(6, threshold=0.5, spike_fn="arctan")
    network = nn.Sequential(
        StatefulRecurrent(BRC(3, 5, initialisation="bistable")),
        nn.Sequential(nn.Linear(5, 6), ThresholdBatchNorm1d(6, threshold=0.5), FullyRecurrent(neurons)),
        nn.Sequential(nn.Linear(6, 6), ThresholdBatchNorm1d(6), LIB(6, spike_fn="arctan")),
        Residual(nn.Sequential(nn.LayerNorm(6), StatefulRecurrent(nn.GRU(6, 6)))),
        nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 4), SequenceDropout(0.5)),
        nn.ReLU(),
    ).train(training)
    model, x = StackModel(EVERY, MIXED).train(training), torch.randn(7, 4, 3)
    for block in (1, 2):  # initial weights that follow from the threshold
        assert torch.equal(model.network[block][1].weight, network[block][1].weight)
    network.load_state_dict(model.network.state_dict())
    torch.manual_seed(1)
    expected = unroll(network, x)
    torch.manual_seed(1)
    torch.testing.assert_close(model(x), model.readout(expected))


def test_a_residual_adds_the_input() -> None:
    entries = [{"layer": "LIB", "size": 3, "residual": True}]
    model, x = StackModel(EVERY, entries), torch.randn(7, 4, 3)
    prediction = model(x)
    reset_states(model)
    torch.testing.assert_close(prediction, model.readout(x + unroll(model.network[0].block, x)))


def test_single_steps_of_a_stack_equal_one_pass() -> None:
    model, x = StackModel(EVERY, MIXED).eval(), torch.randn(7, 4, 3)
    step = model.single_step(x[0])
    states, outputs = step.initial_states(x[0]), []
    for each in x:
        output, *states = step(each, *states)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs), model(x), atol=1e-5, rtol=1e-5)


def test_normalisations_and_activations_are_built_from_their_own_arguments() -> None:
    entries = [{"layer": "LayerNorm", "normalized_shape": 3}, {"layer": "ELU", "alpha": 0.5, "inplace": True}]
    model, x = StackModel(EVERY, entries), torch.randn(7, 4, 3)
    expected = nn.functional.elu(nn.functional.layer_norm(x, (3,)), 0.5)
    torch.testing.assert_close(model(x), model.readout(expected))


def test_user_layers_receive_their_arguments() -> None:
    entries = [{"layer": f"{__name__}.Doubled", "size": 5, "factor": 3.0}, {"layer": "StigmergicMemory", "size": 4}]
    model = StackModel(LAST, entries)
    assert type(model.network[0]).__name__ == "Doubled" and model.network[0].factor == 3.0
    assert model(torch.randn(7, 4, 3)).shape == (4, 2)


def test_delay_layers_take_the_options_of_their_delays() -> None:
    options = {"delays": 1.5, "learn": False, "sigma": 0.5, "interpolation": "gaussian"}
    entries = [
        {"layer": "Delay", "num_features": 3, "max_delay": 4},
        {"layer": "DelayedLinear", "size": 2, "max_delay": 4},
    ]
    model = StackModel(LAST, [{**entry, **options} for entry in entries])
    for layer, shape in zip(model.network, [(3,), (2, 3)], strict=True):
        assert isinstance(layer, Delay | DelayedLinear)
        assert torch.equal(layer.delays(), Delays(shape, 0, 4, **options)())  # type: ignore[arg-type]
        assert not list(layer.delays.parameters())


def test_delays_of_a_stack_are_annealed_over_the_epochs() -> None:
    task = CopyFirstInput(length=6, train_size=20, val_size=5, test_size=5, batch_size=10)
    layers = [{"layer": "DelayedLinear", "size": 4, "max_delay": 3, "sigma": 2.0}]
    model = StackModel(task.spec, layers, optimizer=torch.optim.Adam)
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    Trainer(max_epochs=2, reload_dataloaders_every_n_epochs=1, **options).fit(model, datamodule=task)
    (layer,) = model.network
    assert isinstance(layer, DelayedLinear) and layer.delays.sigma == 0


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"size": 4}, r"layers\[0\] has no layer"),
        ({"layer": "BRC", "size": 0}, r"layers\[0\].size must be a whole number"),
        ({"layer": "Nothing", "size": 4}, r"layers\[0\].layer=Nothing is not a layer"),
        ({"layer": "torch.relu", "size": 4}, "is not a layer"),
        ({"layer": "my_module.Missing", "size": 4}, "cannot be imported"),
        ({"layer": "BRC", "size": 4, "betta": 1}, r"layers\[0\]: BRC has no argument betta"),
        ({"layer": "BRC", "size": 4, "recurrent": True}, "recurrent is for spiking neurons"),
        ({"layer": "BRC", "size": 4, "residual": True}, "of size 3, to the output, of size 4"),
        ({"layer": "BRC", "size": 4, "bidirectional": True}, "bidirectional"),
        ({"layer": "BRC", "size": 4, "batch_first": True}, "would change the shapes"),
        ({"layer": "LIB", "size": 4, "norm": "bach"}, "norm=bach is unknown"),
        ({"layer": "BRC", "size": 4, "dropout": 2}, "dropout must lie between 0 and 1"),
        ({"layer": "ReLU", "size": 4}, "ReLU"),
        ({"layer": "Linear", "size": 3, "bias": False, "dropout": "x"}, "dropout must lie"),
        ({"layer": "Conv2d", "size": 4, "kernel_size": 3}, r"takes no input \[B, 3\]"),
        ({"layer": "BRC"}, r"layers\[0\]: BRC needs a size"),
        ({"layer": "Linear", "size": 3, "dropout": True}, "dropout must lie between 0 and 1"),
        ({"layer": "Linear", "size": 3, "residual": "no"}, r"layers\[0\].residual must be true or false, got 'no'"),
        ({"layer": "LIB", "size": 3, "recurrent": "off"}, "recurrent must be true or false"),
        ({"layer": "Delay", "size": 3, "max_delay": 4}, "Delay takes no size"),
        ({"layer": "Delay", "max_delay": 4}, "missing 1 required positional argument: 'num_features'"),
        ({"layer": "DelayedLinear", "size": 3, "max_delay": 4, "learn": "no"}, "learn must be bool, got 'no'"),
        ({"layer": "LayerNorm", "size": 3}, r"layers\[0\]: LayerNorm takes no size"),
        ({"layer": "BatchNorm1d", "size": 3}, "BatchNorm1d takes no size"),
        ({"layer": "RMSNorm", "size": 3}, "RMSNorm takes no size"),
        ({"layer": "GroupNorm", "size": 3}, "GroupNorm takes no size"),  # one group of each unit: an output of 0
        ({"layer": "LazyBatchNorm1d", "size": 3}, "LazyBatchNorm1d takes no size"),
        ({"layer": "PReLU", "size": 3}, "PReLU takes no size"),
        ({"layer": "LeakyReLU", "size": 3}, "LeakyReLU takes no size"),
        ({"layer": "Softplus", "size": 3}, "Softplus takes no size"),
        ({"layer": "LayerNorm"}, "missing 1 required positional argument: 'normalized_shape'"),
        ({"layer": "GRUCell", "size": 3}, r"layers\[0\]: GRUCell does not keep its state: use GRU"),
        ({"layer": "BRCCell", "size": 3}, "use BRC"),
        ({"layer": "TransformerEncoderLayer", "size": 4}, "refuses its arguments: embed_dim must be divisible"),
        (
            {"layer": "TransformerEncoderLayer", "d_model": 3, "nhead": 1},
            "works along time: layers of a stack take one step",
        ),
        ({"layer": f"{__name__}.OverTheBatch"}, "mixes the samples of a batch"),
        ({"layer": "Conv1d", "size": 4, "kernel_size": 3}, r"takes no input \[B, 3\], a single step .*BRC, LRU or GRU"),
    ],
)
def test_invalid_entries_are_refused(entry: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StackModel(LAST, [entry])


def test_an_empty_stack_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one entry"):
        StackModel(LAST, [])


def test_an_entry_of_several_layers_applies_them_in_sequence() -> None:
    inner = [{"layer": "NBRC", "size": 5}, {"layer": "ReLU"}, {"layer": "Linear", "size": 3, "dropout": 0.5}]
    entry = {"layers": inner, "norm": "layer", "dropout": 0.2, "residual": True}
    model, x = StackModel(EVERY, [entry]), torch.randn(7, 4, 3)
    norm, recurrent, relu, linear, dropout = model.network[0].block
    assert isinstance(norm, nn.LayerNorm) and isinstance(relu, nn.ReLU) and isinstance(dropout, SequenceDropout)
    hidden = recurrent.layer(norm(x))[0]
    torch.testing.assert_close(model.eval()(x), model.readout(x + linear[0](relu(hidden))))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"layers": []}, r"model.layers\[0\].layers must have at least one entry"),
        ({"layers": {"layer": "ReLU"}}, r"model.layers\[0\].layers must have at least one entry"),
        ({"layers": [{"layer": "ReLU"}], "size": 3}, "residual only: size"),
        ({"layers": [{"layer": "ReLU"}], "norm": "threshold_batch"}, "spiking neurons"),
        ({"layers": [{"layer": "Linear", "size": 4}], "residual": True}, "of size 3, to the output, of size 4"),
        ({"layers": ["ReLU"]}, r"model.layers\[0\].layers\[0\] must be an entry, .* got 'ReLU'"),
        ({"layers": [{"layer": "None"}]}, r"model.layers\[0\].layers\[0\].layer=None"),
    ],
)
def test_invalid_entries_of_several_layers_are_refused(entry: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StackModel(EVERY, [entry])
