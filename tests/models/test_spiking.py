"""Spiking models: layers, encoders, readouts, delays, independence of earlier batches, and refused options."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from matplotlib.figure import Figure
from torch import nn

from bionets.analysis import spiking_figures
from bionets.layers import DistanceDelays, reset_states
from bionets.layers.spiking import LI, LIB, SRLIT, FullyRecurrent
from bionets.models import SpikingConvModel, SpikingRecurrentModel
from bionets.tasks import TaskSpec
from bionets.tasks.copy_first_input import CopyFirstInput

IMAGE = TaskSpec("image_to_class", input_size=144, output_size=10, image_shape=(1, 12, 12))
ROWS = TaskSpec("sequence_to_class", input_size=28, output_size=10, steps=28)
VALUE = TaskSpec("sequence_to_value", input_size=1, output_size=1)
BITS = TaskSpec("sequence_to_sequence", input_size=2, output_size=1)
HARD = {"spike_fn": "arctan"}


def conv(**arguments: object) -> SpikingConvModel:
    torch.manual_seed(0)
    return SpikingConvModel(IMAGE, **{"channels": (3, 4), "hidden_size": 5, "layer_arguments": HARD, **arguments})


@pytest.mark.parametrize("pool_spikes", [False, True])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_an_image_is_presented_for_several_steps_and_read_out(pool_spikes: bool, batch_norm: bool) -> None:
    model = conv(pool_spikes=pool_spikes, batch_norm=batch_norm, time_steps=3).eval()
    x = torch.rand(4, 1, 12, 12)
    steps = torch.stack([model.network(x) for _ in range(3)])
    torch.testing.assert_close(model(x), steps.mean(0), atol=1e-5, rtol=1e-5)
    assert torch.equal(model(x[:2]), model(x)[:2])  # a batch of another size, without a thought of resets


@pytest.mark.parametrize("encoder", ["direct", "rate", "latency"])
@pytest.mark.parametrize("readout", ["mean_membrane", "last_membrane", "max_membrane", "spike_count", "first_spike"])
def test_every_weight_has_a_gradient_with_every_encoder_and_readout(encoder: str, readout: str) -> None:
    model = conv(encoder=encoder, readout=readout, time_steps=5)
    assert isinstance(model.network[-1], LI if readout.endswith("membrane") else LIB)
    prediction = model(torch.rand(6, 1, 12, 12))
    assert prediction.shape == (6, 10)
    nn.functional.cross_entropy(prediction, torch.arange(6)).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(module.weight.grad.any() for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear))


@pytest.mark.parametrize(("pool", "size"), [("max", 3), ("average", 3), ("none", 12)])
def test_pooling_halves_the_image_in_each_block(pool: str, size: int) -> None:
    linear = next(module for module in conv(pool=pool).network if isinstance(module, nn.Linear))
    assert linear.in_features == 4 * size * size


def modules_of(model: nn.Module) -> str:
    """The kinds of the modules of the network, with the sizes of weights."""
    sized = {nn.Conv2d: "out_channels", nn.Linear: "out_features"}
    return " ".join(f"{type(each).__name__}{getattr(each, sized.get(type(each), ''), '')}" for each in model.network)


@pytest.mark.parametrize(
    ("options", "modules"),
    [
        (
            {"convolutions": 2, "dropout": 0.2},
            "Conv2d3 BatchNorm2d LIB Conv2d3 MaxPool2d BatchNorm2d LIB "
            "Conv2d4 BatchNorm2d LIB Conv2d4 MaxPool2d BatchNorm2d LIB "
            "Flatten Dropout Linear5 BatchNorm1d LIB Dropout Linear10 LI",
        ),
        (
            {"pool_spikes": True, "hidden_size": 0, "dropout": 0.2},
            "Conv2d3 BatchNorm2d LIB MaxPool2d Conv2d4 BatchNorm2d LIB MaxPool2d Flatten Dropout Linear10 LI",
        ),
        (
            {"pool": "none", "batch_norm": False, "readout": "spike_count"},
            "Conv2d3 LIB Conv2d4 LIB Flatten Linear5 LIB Linear10 LIB",
        ),
    ],
)
def test_the_modules_of_a_convolutional_network_follow_from_its_options(
    options: dict[str, object], modules: str
) -> None:
    model = conv(**options)
    assert modules_of(model) == modules
    weights = [each for each in model.network if isinstance(each, nn.Conv2d | nn.Linear)]
    assert [each.bias is None for each in weights] == [*["BatchNorm" in modules] * (len(weights) - 1), False]
    assert model(torch.rand(2, 1, 12, 12)).shape == (2, 10)


def test_dropout_acts_between_the_layers_of_a_recurrent_network() -> None:
    with warnings.catch_warnings(action="error"):
        SpikingRecurrentModel(ROWS)
        model = SpikingRecurrentModel(ROWS, 6, num_layers=3, recurrent=False, dropout=0.2)
    assert modules_of(model) == "Linear6 LIB Dropout Linear6 LIB Dropout Linear6 LIB Linear10 LI"
    with pytest.warns(UserWarning, match="num_layers=1"):
        SpikingRecurrentModel(ROWS, dropout=0.2)


def test_each_step_of_a_sequence_of_images_is_presented_for_several_steps() -> None:
    spec = TaskSpec("sequence_to_class", 2 * 4 * 6, 3, steps=5, step_shape=(2, 4, 6))
    model = SpikingConvModel(spec, channels=(3,), hidden_size=4, time_steps=2, layer_arguments=HARD).eval()
    x = torch.randn(5, 7, 2 * 4 * 6)
    each = [model.network(step.view(7, 2, 4, 6)) for step in x for _ in range(2)]
    torch.testing.assert_close(model(x), torch.stack(each).mean(0), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("time_steps", [1, 3])
def test_sequences_have_predictions_after_the_last_step_or_at_every_step(recurrent: bool, time_steps: int) -> None:
    for spec, x, shape in (
        (ROWS, torch.rand(28, 3, 28), (3, 10)),
        (VALUE, torch.randn(6, 3, 1), (3, 1)),
        (BITS, torch.rand(6, 3, 2).round(), (6, 3, 1)),
    ):
        model = SpikingRecurrentModel(
            spec, hidden_size=5, num_layers=2, recurrent=recurrent, time_steps=time_steps, layer_arguments=HARD
        )
        prediction = model(x)
        assert prediction.shape == shape
        assert torch.equal(model(x), prediction)


def test_the_prediction_of_each_step_is_read_from_its_own_time_steps() -> None:
    model = SpikingRecurrentModel(BITS, hidden_size=5, time_steps=4, readout="mean_membrane", layer_arguments=HARD)
    x = torch.rand(6, 3, 2)
    answers = model(x)
    reset_states(model)
    each = torch.stack([model.network(step) for step in x for _ in range(4)])
    torch.testing.assert_close(answers, each.view(6, 4, 3, 1).mean(1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("encoder", ["direct", "rate", "latency", "delta"])
def test_every_encoder_accepts_sequences(encoder: str) -> None:
    model = SpikingRecurrentModel(ROWS, hidden_size=4, encoder=encoder, time_steps=2, layer_arguments=HARD)
    x = torch.rand(28, 3, 28)
    seen = model.encode(x)
    assert seen.shape == (56, 3, 28)
    if encoder == "direct":
        assert torch.equal(seen[::2], x) and torch.equal(seen[1::2], x)
    assert model(x).shape == (3, 10)


def test_layers_are_chosen_by_name_or_import_path_with_arguments() -> None:
    model = SpikingRecurrentModel(
        ROWS, hidden_size=4, recurrent=False, layer="SRLIT", layer_arguments={"alpha": 0.25, **HARD}
    )
    assert isinstance(model.network[1], SRLIT)
    torch.testing.assert_close(model.network[1].alpha, torch.full((4,), 0.25))
    path = SpikingRecurrentModel(ROWS, hidden_size=4, recurrent=False, layer="bionets.layers.spiking.SRLIT")
    assert isinstance(path.network[1], SRLIT)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder": "delta"}, "needs a signal that changes"),
        ({"encoder": "morse"}, "model.encoder=morse is unknown"),
        ({"encoder": "latency", "encoder_arguments": {"tempo": 3}}, "model.encoder_arguments"),
        ({"encoder": "latency", "encoder_arguments": {"threshold": 3.0}}, "threshold must be above 0 and below 1"),
        ({"readout": "first_spike", "layer": "SRLIT"}, "needs outputs between 0 and 1, and those of SRLIT are not"),
        ({"readout": "first_spike", "layer": "LITS"}, "those of LITS are not"),
        ({"readout": "first_spike", "layer": "LIEMA", "layer_arguments": {}}, "those of LIEMA are not"),
        ({"readout": "tea_leaves"}, "model.readout=tea_leaves is unknown"),
        ({"pool": "car"}, "model.pool=car is unknown"),
        ({"kernel_size": 4}, "model.kernel_size must be odd"),
        ({"channels": (3, 3, 3, 3)}, "halves the image"),
        ({"channels": (3, 0)}, r"model.channels\[1\]"),
        ({"time_steps": 0}, "model.time_steps must be at least 1"),
        ({"layer": "LIX"}, "model.layer=bionets.layers.spiking.LIX cannot be imported"),
    ],
)
def test_invalid_options_and_incompatible_tasks_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        conv(**arguments)
    with pytest.raises(ValueError, match="does not fit"):
        SpikingConvModel(ROWS)
    with pytest.raises(ValueError, match="does not fit"):
        SpikingRecurrentModel(IMAGE)
    for key in ("hidden_size", "num_layers"):
        with pytest.raises(ValueError, match=rf"model\.{key} must be at least 1"):
            SpikingRecurrentModel(ROWS, **{key: 0})


def test_the_initialisation_is_chosen_by_name_with_arguments() -> None:
    spec = TaskSpec("sequence_to_value", input_size=50, output_size=2)
    torch.manual_seed(0)
    model = SpikingRecurrentModel(spec, initialisation="fluctuation_driven", initialisation_arguments={"rate": 0.02})
    assert (model.network[0].bias == 0).all()
    with pytest.raises(ValueError, match="initialisation_arguments do not fit"):
        SpikingRecurrentModel(spec, initialisation="fluctuation_driven", initialisation_arguments={"rates": 1})
    with pytest.raises(ValueError, match=r"initialisation_arguments need model\.initialisation"):
        SpikingRecurrentModel(spec, initialisation_arguments={"rate": 0.02})
    with pytest.raises(ValueError, match=r"model\.initialisation=xavier is unknown"):
        SpikingRecurrentModel(spec, initialisation="xavier")


@pytest.mark.parametrize(
    ("limits", "widths"),
    [
        ({"max_epochs": 3}, [2, 2, 1, 1, 0, 0]),
        ({"max_epochs": 100, "max_steps": 6}, [2, 2, 1, 1, 0, 0]),
        ({"max_epochs": -1}, [2, 2, 2, 2]),  # no known end
        ({"max_epochs": 3, "callbacks": [GradientAccumulationScheduler({1: 2})]}, [2, 2, 1, 1, 0, 0]),
        ({"max_epochs": -1, "max_steps": 4, "callbacks": [GradientAccumulationScheduler({1: 2})]}, [2, 2, 1, 1, 0, 0]),
    ],
)
def test_delays_are_annealed_over_the_epochs(limits: dict[str, Any], widths: list[int]) -> None:
    task = CopyFirstInput(length=6, train_size=20, val_size=5, test_size=5, batch_size=10)
    model = SpikingRecurrentModel(task.spec, 4, max_delay=5, delay_sigma=2.0, optimizer=torch.optim.Adam)
    (recurrent,) = (layer for layer in model.network if isinstance(layer, FullyRecurrent))
    assert recurrent.delays is not None
    seen, before = [], recurrent.delays.delays.detach().clone()

    class Watch(Callback):
        def on_train_batch_start(self, trainer: Trainer, *_: object) -> None:
            assert recurrent.delays is not None
            seen.append(recurrent.delays.sigma.item())
            trainer.should_stop = trainer.max_epochs == -1 and len(seen) == len(widths)

    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    callbacks = [*limits.get("callbacks", []), Watch()]
    trainer = Trainer(**{**limits, "callbacks": callbacks}, reload_dataloaders_every_n_epochs=1, **options)
    trainer.fit(model, datamodule=task)
    assert seen == widths
    assert not torch.equal(recurrent.delays.delays, before)


def test_velocity_gives_delays_by_the_distance_of_neurons() -> None:
    model = SpikingRecurrentModel(VALUE, 4, max_delay=5, velocity=0.5)
    (recurrent,) = (layer for layer in model.network if isinstance(layer, FullyRecurrent))
    assert isinstance(recurrent.delays, DistanceDelays)
    model(torch.randn(9, 2, VALUE.input_size)).sum().backward()
    assert recurrent.delays.positions.grad is not None and recurrent.delays.positions.grad.isfinite().all()
    with pytest.raises(ValueError, match=r"model\.velocity is for delays"):
        SpikingRecurrentModel(VALUE, velocity=0.5)
    with pytest.raises(ValueError, match=r"model\.velocity must be above 0, got 0"):
        SpikingRecurrentModel(VALUE, 4, max_delay=5, velocity=0.0)


def test_delays_without_recurrent_connections_are_refused() -> None:
    for key, value in (("max_delay", 5), ("max_delay", 0), ("delay_sigma", 2.0)):
        with pytest.raises(ValueError, match=rf"model\.{key} is for recurrent connections"):
            SpikingRecurrentModel(VALUE, recurrent=False, **{key: value})


@pytest.mark.parametrize(
    ("layer", "readout", "figures", "spikes"),
    [
        ("LI", "last_membrane", {"parameters", "membranes"}, False),
        ("BRF", "spike_count", {"parameters", "raster"}, True),
        ("Izhikevich", "spike_count", {"parameters", "raster", "membranes"}, True),
    ],
)
def test_every_kind_of_neuron_has_its_figures_and_spike_counts(
    layer: str, readout: str, figures: set[str], spikes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    save = spiking_figures.save
    monkeypatch.setattr(spiking_figures, "save", lambda *figure: drawn.append(figure[0]) or save(*figure))
    torch.manual_seed(0)
    model = SpikingRecurrentModel(VALUE, 20, layer=layer, readout=readout).eval()
    x = 300 * torch.rand(30, 2, 1)
    assert {file.stem for file in model.draw(tmp_path, "title", x)} == figures
    over_time = [axes for figure in drawn for axes in figure.axes if axes.get_xlabel() == "time step"]
    assert [axes.get_xlim() for axes in over_time] == [(-0.5, 29.5)] * (len(figures) - 1)
    assert (model.test_metrics([(x,)])["test/spikes_per_step"] > 0) == spikes
