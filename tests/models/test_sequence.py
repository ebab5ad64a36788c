"""Readouts, decoders and losses of sequence models."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from bionets.models import Model, RecurrentModel, SpikingConvModel, SpikingRecurrentModel, StackModel
from bionets.tasks import TaskSpec

LAST = TaskSpec("sequence_to_class", input_size=3, output_size=2, steps=7)
EVERY = TaskSpec("sequence_to_sequence", input_size=3, output_size=2)
IMAGE = TaskSpec("image_to_class", input_size=64, output_size=2, image_shape=(1, 8, 8))
SPIKING = {"hidden_size": 4, "layer_arguments": {"spike_fn": "arctan"}}


def recurrent(spec: TaskSpec, **options: Any) -> RecurrentModel:
    torch.manual_seed(0)
    return RecurrentModel(spec, layer="bionets.layers.BRC", hidden_size=5, **options)


def trained_on(model: Model, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The loss of a training step."""
    model._trainer = SimpleNamespace(datamodule=SimpleNamespace(loss=functional.cross_entropy))  # type: ignore[assignment]
    return model.training_step((x, target), 0)


def test_readout_mean_is_the_mean_of_the_predictions_at_every_step() -> None:
    x = torch.randn(7, 4, 3)
    every = recurrent(EVERY, decoder=[6])(x)
    torch.testing.assert_close(recurrent(LAST, decoder=[6], readout="mean")(x), every.mean(0))
    torch.testing.assert_close(recurrent(LAST, decoder=[6])(x), every[-1])


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (recurrent(LAST, loss_every_step=True), torch.randn(7, 4, 3)),
        (StackModel(LAST, [{"layer": "LIB", "size": 5}], loss_every_step=True), torch.randn(7, 4, 3)),
        (SpikingRecurrentModel(LAST, loss_every_step=True, **SPIKING), torch.randn(7, 4, 3)),  # type: ignore[arg-type]
        (SpikingConvModel(IMAGE, channels=[2], loss_every_step=True, **SPIKING).eval(), torch.rand(4, 1, 8, 8)),  # type: ignore[arg-type]
    ],
    ids=lambda value: type(value).__name__,
)
def test_loss_every_step_is_the_mean_of_the_losses_of_the_steps(model: Model, x: torch.Tensor) -> None:
    target = torch.tensor([0, 1, 1, 0])
    loss = trained_on(model, x, target)
    losses = [functional.cross_entropy(each, target) for each in model.step_predictions(x)]
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    assert model(x).shape == (4, 2)  # what is measured is one answer


def test_the_default_loss_is_that_of_the_prediction() -> None:
    model, x, target = recurrent(LAST), torch.randn(7, 4, 3), torch.tensor([0, 1, 1, 0])
    torch.testing.assert_close(trained_on(model, x, target), functional.cross_entropy(model(x), target))


def test_decoder_adds_hidden_layers_to_the_readout() -> None:
    readout = recurrent(LAST, decoder=[6, 4]).readout
    assert [type(layer) for layer in readout] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]  # type: ignore[arg-type]
    assert [layer.out_features for layer in readout[::2]] == [6, 4, 2]  # type: ignore[index]
    assert isinstance(recurrent(LAST).readout, nn.Linear)  # as in checkpoints from before


def test_invalid_readouts_decoders_and_losses_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"model\.readout=first is unknown: choose last, mean"):
        recurrent(LAST, readout="first")
    with pytest.raises(ValueError, match=r"model\.decoder must be at least 1"):
        recurrent(LAST, decoder=[6, 0])
    for options in ({"readout": "mean"}, {"loss_every_step": True}):
        with pytest.raises(ValueError, match="one answer to a sequence"):
            recurrent(EVERY, **options)
    with pytest.raises(ValueError, match=r"model\.loss_every_step is for tasks with one answer"):
        SpikingRecurrentModel(EVERY, loss_every_step=True, **SPIKING)  # type: ignore[arg-type]
