"""Spatial models: shapes, training loss, recorded values, and refused options."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bionets.layers import SpatialLayer, spatial_cost, spatial_layers
from bionets.models import SpatialConvModel, SpatialLinearModel
from bionets.models.spatial import SpatialModel
from bionets.tasks import TaskSpec

IMAGE = TaskSpec("image_to_class", input_size=2 * 49, output_size=20, image_shape=(2, 7, 7))
ROWS = TaskSpec("sequence_to_class", input_size=28, output_size=10, steps=28)
SMALL = {SpatialLinearModel: {"hidden_sizes": [6, 5]}, SpatialConvModel: {"channels": [3, 4]}}


def build(kind: type[SpatialModel], **keys: object) -> SpatialModel:
    return kind(IMAGE, **{**SMALL[kind], **keys})


@pytest.mark.parametrize("kind", SMALL)
def test_a_prediction_has_a_score_for_each_unit_and_every_layer_is_spatial(kind: type[SpatialModel]) -> None:
    model = build(kind, dim=3)
    assert model(torch.rand(8, 2, 7, 7)).shape == (8, 20)
    layers = spatial_layers(model)
    assert [len(layer.positions) for layer in layers] == [*next(iter(SMALL[kind].values())), 20]
    assert {layer.positions.shape[1] for layer in layers} == {3}
    with_weights = [module for module in model.modules() if hasattr(module, "weight")]
    assert all(isinstance(module, SpatialLayer) for module in with_weights)


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("weights", [(0.0, 0.0), (2.0, 0.0), (2.0, 3.0)])
def test_the_training_loss_is_the_loss_of_the_task_plus_the_weighted_costs(
    kind: type[SpatialModel], weights: tuple[float, float]
) -> None:
    proximity, transport = weights
    model = build(kind, proximity=proximity, transport=transport, norm="l1", where=[1, 2])
    batch = torch.rand(8, 2, 7, 7), torch.randint(20, (8,))
    model._trainer = SimpleNamespace(datamodule=SimpleNamespace(loss=nn.functional.cross_entropy))
    expected = nn.functional.cross_entropy(model(batch[0]), batch[1])
    expected = expected + spatial_cost(model, proximity, transport, "l1", [1, 2])
    loss = model.training_step(batch, 0)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    first, second, third = spatial_layers(model)
    assert (second.positions.grad is not None) == (proximity > 0)
    assert (first.positions.grad is not None and bool(first.positions.grad.any())) == (transport > 0)
    assert third.weight.grad is not None


def test_both_costs_are_recorded_separately_and_unweighted() -> None:
    model = build(SpatialLinearModel, proximity=5.0, transport=5.0)
    recorded = model.validation_metrics(torch.rand(8, 2, 7, 7))
    assert recorded.keys() == {"proximity", "transport"}
    assert recorded["proximity"] + recorded["transport"] == spatial_cost(model, 1, 1)


@pytest.mark.parametrize("kind", SMALL)
def test_positions_may_have_a_learning_rate_of_their_own(kind: type[SpatialModel]) -> None:
    model = build(kind, positions_lr=4.0, optimizer=partial(torch.optim.SGD, lr=0.1))
    positions, plain = [layer.positions for layer in spatial_layers(model)], build(kind)
    before = [each.detach().clone() for each in model.parameters()]
    optimizer = model.configure_optimizers()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for parameter, old in zip(model.parameters(), before, strict=True):
        step = 0.4 if any(parameter is each for each in positions) else 0.1
        torch.testing.assert_close(parameter.detach(), old - step)
    assert set(plain.lr_factors().values()) == {1.0}


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"where": [0, 3]}, "model.where=.*layer 3"),
        ({"norm": "l3"}, "model.norm=l3"),
        ({"proximity": -1.0}, "model.proximity"),
        ({"proximity": float("nan")}, "model.proximity"),
        ({"transport": -1.0}, "model.transport"),
        ({"positions_lr": -1.0}, "model.positions_lr"),
        ({"activation": "Relu"}, "model.activation=Relu"),
        ({"activation": "MultiheadAttention"}, "model.activation=MultiheadAttention"),
        ({"dim": 0}, "model.dim"),
    ],
)
def test_invalid_options_are_refused(kind: type[SpatialModel], keys: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(kind, **keys)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpatialLinearModel(ROWS), "does not fit"),
        (lambda: SpatialConvModel(ROWS), "does not fit"),
        (lambda: SpatialLinearModel(IMAGE, hidden_sizes=[]), "model.hidden_sizes"),
        (lambda: SpatialLinearModel(IMAGE, hidden_sizes=[4, 0]), "model.hidden_sizes"),
        (lambda: SpatialConvModel(IMAGE, channels=[0]), "model.channels"),
        (lambda: SpatialConvModel(IMAGE, kernel_size=2), "model.kernel_size"),
    ],
)
def test_incompatible_tasks_and_invalid_layers_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_convolutions_accept_dilation_and_groups() -> None:
    spec = TaskSpec("image_to_class", 3 * 20 * 20, 5, image_shape=(3, 20, 20))
    model = SpatialConvModel(spec, channels=[4, 6], dilation=2, groups=2)
    assert model(torch.rand(7, 3, 20, 20)).shape == (7, 5)
    convolutions = [layer for layer in model.network if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.groups for layer in convolutions] == [1, 2] and convolutions[0].dilation == (2, 2)
    assert model.costs().transport > 0
    with pytest.raises(ValueError, match=r"groups=4 must divide all of model.channels=\[4, 6\]"):
        SpatialConvModel(spec, channels=[4, 6], groups=4)
