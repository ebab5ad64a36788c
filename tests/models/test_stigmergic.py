"""Stigmergic models and the models that they are compared with: published sizes, and the shapes of predictions."""

import copy

import pytest
import torch
from torch import nn

from bionets.layers import get_states
from bionets.models import FeedForwardModel, Model, RecurrentModel, StigmergicModel, StigmergicPerceptronModel
from bionets.tasks import TaskSpec

ROWS = TaskSpec("sequence_to_class", input_size=28, output_size=10, steps=28)
IMAGE = TaskSpec("image_to_class", input_size=784, output_size=10, image_shape=(1, 28, 28))


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        (StigmergicModel(ROWS), 3144),
        (StigmergicPerceptronModel(ROWS), 3470),
        (FeedForwardModel(ROWS), 328_810),
        (FeedForwardModel(IMAGE), 328_810),
        (RecurrentModel(ROWS, "torch.nn.LSTM", hidden_size=10, num_layers=3), 3360 + 110),
        (RecurrentModel(ROWS, "torch.nn.RNN", hidden_size=42), 3454),
    ],
)
def test_models_have_the_published_numbers_of_parameters(model: Model, parameters: int) -> None:
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    x = torch.rand(5, 1, 28, 28) if model.spec is IMAGE else torch.rand(28, 5, 28)
    assert model(x).shape == (5, 10)


@pytest.mark.parametrize("recurrent", [True, False])
def test_a_stigmergic_model_predicts_at_the_last_step_or_at_every_step(recurrent: bool) -> None:
    last = StigmergicModel(TaskSpec("sequence_to_value", 2, 3), recurrent=recurrent, final_prelu=False)
    every = StigmergicModel(TaskSpec("sequence_to_sequence", 2, 3), recurrent=recurrent, final_prelu=False)
    every.load_state_dict(last.state_dict())
    x = torch.randn(7, 4, 2)
    assert every(x).shape == (7, 4, 3)
    torch.testing.assert_close(every(x)[-1], last(x))
    assert isinstance(last.readout[-1], nn.Linear)


def test_a_prediction_does_not_depend_on_earlier_batches() -> None:
    for model in (StigmergicModel(ROWS), StigmergicPerceptronModel(ROWS)):
        x = torch.rand(28, 3, 28)
        first = model(x)
        model(torch.rand(28, 6, 28))
        assert torch.equal(model(x), first)
        assert get_states(copy.deepcopy(model)).keys() == get_states(model).keys() != set()


def test_a_feed_forward_network_gives_the_same_predictions_for_images_and_rows() -> None:
    rows, image = FeedForwardModel(ROWS), FeedForwardModel(IMAGE)
    image.load_state_dict(rows.state_dict())
    x = torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(image(x), rows(x[:, 0].transpose(0, 1)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: StigmergicModel(IMAGE), "does not fit"),
        (lambda: StigmergicModel(ROWS, readout_size=0), "model.readout_size"),
        (lambda: StigmergicPerceptronModel(ROWS, hidden_size=0), "model.hidden_size"),
        (lambda: FeedForwardModel(IMAGE, num_layers=0), "model.num_layers"),
        (lambda: FeedForwardModel(TaskSpec("sequence_to_value", 2, 3)), "does not fit"),
    ],
)
def test_incompatible_tasks_and_invalid_options_are_refused(build: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_readout_layers_sets_the_number_of_hidden_layers_of_the_readout() -> None:
    counts = []
    for layers in (0, 1, 3):
        model = StigmergicModel(ROWS, readout_layers=layers)
        assert model(torch.rand(28, 5, 28)).shape == (5, 10)
        counts.append([layer.out_features for layer in model.readout if isinstance(layer, nn.Linear)])
    assert counts == [[10], [10, 10], [10, 10, 10, 10]]


@pytest.mark.parametrize("recurrent", [True, False])
def test_tick_inputs_divides_the_inputs_between_marks_and_ticks(recurrent: bool) -> None:
    model = StigmergicModel(ROWS, recurrent=recurrent, tick_inputs=8)
    assert (model.memory.mark_input_size, model.memory.tick_input_size) == (20, 8)
    assert model(torch.rand(28, 5, 28)).shape == (5, 10)
    for wrong in (0, 28):
        with pytest.raises(ValueError, match=r"tick_inputs must lie between 1 and 27"):
            StigmergicModel(ROWS, tick_inputs=wrong)
    with pytest.raises(ValueError, match="readout_layers must be at least 0"):
        StigmergicModel(ROWS, readout_layers=-1)
