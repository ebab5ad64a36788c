"""A recurrent model is its layer and a linear readout, at the last step or at every step."""

from typing import Any

import pytest
import torch
from lightning import Trainer
from torch.nn import functional
from torchmetrics import MetricCollection

from bionets.layers import BRC, warm_up
from bionets.models import Model, RecurrentModel
from bionets.models.checks import InterfaceError
from bionets.tasks import Task, TaskSpec

LAST = TaskSpec("sequence_to_value", input_size=2, output_size=3)
EVERY = TaskSpec("sequence_to_sequence", input_size=2, output_size=3)


def model(spec: TaskSpec, **options: object) -> RecurrentModel:
    return RecurrentModel(spec, layer="bionets.layers.BRC", hidden_size=5, **options)  # type: ignore[arg-type]


def test_predictions_have_the_shape_of_the_spec() -> None:
    x = torch.randn(7, 4, 2)
    assert model(LAST)(x).shape == (4, 3)
    assert model(EVERY)(x).shape == (7, 4, 3)
    assert model(EVERY, bidirectional=True)(x).shape == (7, 4, 3)


def test_the_prediction_after_the_last_step_is_the_last_of_those_at_every_step() -> None:
    last, every = model(LAST), model(EVERY)
    every.load_state_dict(last.state_dict())
    x = torch.randn(7, 4, 2)
    assert torch.allclose(last(x), every(x)[-1], atol=1e-6)


def test_arguments_are_passed_to_the_layer() -> None:
    layer = model(LAST, num_layers=2, initialisation="chrono", chrono_steps=9).recurrent
    assert isinstance(layer, BRC)
    assert (layer.num_layers, layer.initialisation, layer.chrono_steps) == (2, "chrono", 9)


def test_a_task_that_does_not_fit_is_refused() -> None:
    class Picky(Model):
        accepts = frozenset({"sequence_to_value"})

    with pytest.raises(ValueError, match="does not fit a task of kind sequence_to_sequence"):
        Picky(EVERY)


def test_a_model_without_an_optimizer_cannot_be_trained() -> None:
    with pytest.raises(ValueError, match="optimizer"):
        model(LAST).configure_optimizers()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_share_of_bistable_units_is_recorded_for_bistable_cells(bidirectional: bool) -> None:
    x = torch.randn(7, 4, 2)
    nbrc = RecurrentModel(LAST, "bionets.layers.NBRC", 6, num_layers=2, bidirectional=bidirectional)
    recorded = nbrc.validation_metrics(x)
    *_, gates = nbrc.recurrent(x, return_gates=True)
    directions = 1 + bidirectional
    first, second = (torch.cat([each.a for each in gates[k * directions : (k + 1) * directions]]) for k in (0, 1))
    expected = {
        "bistable_share": torch.cat([first, second]),
        "bistable_share_layer_1": first,
        "bistable_share_layer_2": second,
    }
    assert recorded.keys() == expected.keys()
    for name, a in expected.items():
        assert recorded[name].item() == pytest.approx(int((a > 1).sum()) / a.numel())


def test_bistable_units_have_a_share_of_one_and_other_cells_record_no_share() -> None:
    x = torch.zeros(7, 4, 2)
    assert model(LAST, initialisation="bistable").validation_metrics(x)["bistable_share"] == 1
    assert RecurrentModel(LAST, "torch.nn.GRU", 5).validation_metrics(x) == {}


@pytest.mark.parametrize("layer", ["torch.nn.GRU", "bionets.layers.NBRC"])
def test_before_training_runs_warm_up_from_the_default_initialisation(layer: str) -> None:
    batches = [torch.randn(7, 4, 2)]
    torch.manual_seed(0)
    warm = RecurrentModel(LAST, layer, 5, initialisation="warmup")
    torch.manual_seed(0)
    plain = RecurrentModel(LAST, layer, 5)
    plain.before_training(batches, seed=3)
    assert all(map(torch.equal, warm.state_dict().values(), plain.state_dict().values()))
    warm.before_training(batches, seed=3)
    warm_up(plain.recurrent, batches, generator=torch.Generator().manual_seed(3))
    assert all(map(torch.equal, warm.state_dict().values(), plain.state_dict().values()))


def test_a_warm_up_of_a_bidirectional_layer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.initialisation=warmup"):
        model(LAST, initialisation="warmup", bidirectional=True)


def test_an_initialisation_of_a_torch_layer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.initialisation=orthogonal: torch.nn.GRU"):
        RecurrentModel(LAST, "torch.nn.GRU", 5, initialisation="orthogonal")


def test_chrono_steps_may_be_among_the_arguments_of_the_layer() -> None:
    arguments = {"layer_arguments": {"chrono_steps": 300}}
    layer = RecurrentModel(LAST, "bionets.layers.GRU", 50, initialisation="chrono", **arguments).recurrent_layer()
    assert layer.chrono_steps == 300 and layer.bias_ih_l0[50:100].max() > 4


def test_chrono_steps_without_the_initialisation_have_no_effect() -> None:
    assert RecurrentModel(LAST, "torch.nn.GRU", 5, chrono_steps=50).recurrent_layer().hidden_size == 5


class Sum(Task):
    """The sum of a sequence, in data of this dtype."""

    spec = TaskSpec("sequence_to_value", 1, 1)
    dtype, detached = torch.float32, False

    def draw(self, split: str, size: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.randn(5, size, 1, generator=generator).to(self.dtype)
        return x, x.sum(0).float()

    def loss(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return functional.mse_loss(prediction.detach() if self.detached else prediction, target)

    def metrics(self) -> MetricCollection:
        return MetricCollection({})


@pytest.mark.parametrize(
    ("dtype", "detached", "message"),
    [
        (torch.float64, False, "x of the task is torch.float64 and the model is torch.float32"),
        (torch.int64, False, "x of the task is torch.int64, and a recurrent model takes floats"),
        (torch.float32, True, "the loss of the task has no gradient"),
    ],
)
def test_inputs_of_another_dtype_and_losses_without_gradient_are_refused(
    dtype: torch.dtype, detached: bool, message: str
) -> None:
    task = Sum(train_size=4, val_size=4, test_size=4, batch_size=2, epochs=1)
    task.dtype, task.detached = dtype, detached
    model = RecurrentModel(task.spec, "bionets.layers.BRC", hidden_size=4, optimizer=torch.optim.SGD)
    options: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "num_sanity_val_steps": 0}
    trainer = Trainer(max_epochs=1, reload_dataloaders_every_n_epochs=1, accelerator="cpu", **options)
    with pytest.raises(InterfaceError, match=message):
        trainer.fit(model, datamodule=task)


class Converting(BRC):
    """A layer that takes any dtype."""

    def forward(self, x: Any, *args: Any, **options: Any) -> Any:
        return super().forward(x.float(), *args, **options)


def test_a_layer_may_convert_x_itself() -> None:
    task = Sum(train_size=4, val_size=4, test_size=4, batch_size=2, epochs=1)
    task.dtype = torch.float64
    model = RecurrentModel(task.spec, f"{__name__}.Converting", hidden_size=4, optimizer=torch.optim.SGD)
    options: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "num_sanity_val_steps": 0}
    trainer = Trainer(max_epochs=1, reload_dataloaders_every_n_epochs=1, accelerator="cpu", **options)
    trainer.fit(model, datamodule=task)
    assert trainer.global_step == 2
