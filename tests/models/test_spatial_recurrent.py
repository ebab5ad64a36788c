"""Spatial recurrent models: training loss, recorded values, refused options, and shorter connections after training."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bionets.models import RecurrentModel, SpatialRecurrentModel
from bionets.models.chunks import loss_in_chunks
from bionets.tasks import TaskSpec

SPEC = TaskSpec("sequence_to_value", input_size=2, output_size=3)


def build(**keys: object) -> SpatialRecurrentModel:
    model = SpatialRecurrentModel(SPEC, hidden_size=8, **keys)  # type: ignore[arg-type]
    model._trainer = SimpleNamespace(datamodule=SimpleNamespace(loss=nn.functional.mse_loss))
    return model


@pytest.mark.parametrize("weights", [(0.0, 0.0), (0.5, 0.0), (0.5, 2.0)])
def test_the_training_loss_is_the_loss_of_the_task_plus_the_weighted_costs(weights: tuple[float, float]) -> None:
    wiring, proximity = weights
    model = build(wiring=wiring, proximity=proximity, learn_positions=proximity > 0)
    x, target = torch.randn(7, 4, 2), torch.randn(4, 3)
    expected = nn.functional.mse_loss(model(x), target)
    expected = expected + wiring * model.recurrent.wiring_cost() + proximity * model.recurrent.proximity_cost()
    torch.testing.assert_close(model.training_step((x, target), 0), expected)


def test_predictions_and_bistable_share_equal_those_of_the_recurrent_model() -> None:
    torch.manual_seed(0)
    model = build(layer="bionets.layers.NBRC")
    torch.manual_seed(0)
    plain = RecurrentModel(SPEC, "bionets.layers.NBRC", 8)
    x = torch.randn(7, 4, 2)
    torch.testing.assert_close(model(x), plain(x))
    values = model.validation_metrics(x)
    assert values.keys() == {"bistable_share", "wiring", "proximity", "connection_length"}
    assert values["bistable_share"] == plain.validation_metrics(x)["bistable_share"]
    assert model.recorded_arrays() == {} and build(learn_positions=True, wiring=0.0).recorded_arrays()["positions"]


def test_online_gradients_equal_those_of_the_recurrent_model() -> None:
    x, target = torch.randn(6, 4, 2), torch.randn(4, 3)
    gradients = []
    for kind in (RecurrentModel, SpatialRecurrentModel):
        torch.manual_seed(0)
        model = kind(SPEC, "bionets.layers.NBRC", hidden_size=8, gradients="eprop")
        model.tbptt = 3
        loss_in_chunks(model, SimpleNamespace(loss=nn.functional.mse_loss), x, target).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(*gradients)


def test_positional_sizes_are_refused() -> None:
    with pytest.raises(TypeError, match="positional"):
        SpatialRecurrentModel(SPEC, "torch.nn.RNN", 8)  # type: ignore[misc]


def test_training_shortens_the_connections() -> None:
    torch.manual_seed(0)
    model = build(wiring=0.01, dim=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    before = model.recurrent.mean_connection_length().item()
    for _ in range(300):
        optimizer.zero_grad()
        x = torch.randn(4, 16, 2)
        model.training_step((x, torch.cat([x[0], x[1, :, :1]], 1)), 0).backward()
        optimizer.step()
    assert model.recurrent.mean_connection_length().item() < 0.8 * before


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"wiring": -1.0}, "model.wiring"),
        ({"proximity": -1.0}, "model.proximity"),
        ({"dim": 0}, "model.dim"),
        ({"learn_positions": True}, "model.proximity"),
        ({"layer": "bionets.layers.BRC"}, "model.layer=bionets.layers.BRC: BRC has no recurrent weight matrix"),
    ],
)
def test_invalid_options_are_refused(keys: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**keys)
