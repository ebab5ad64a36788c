"""A closed loop feeds each prediction back as the next input."""

from typing import Any

import pytest
import torch
from torch import Tensor

from bionets.models import Model, RecurrentModel, SpikingRecurrentModel, StackModel, StigmergicModel
from bionets.models.forecast import LARGEST, forecast
from bionets.tasks import TaskSpec

SPEC = TaskSpec("sequence_to_sequence", 2, 2, closed_loop=True)
STACK = [{"layer": "LRU", "size": 6}, {"layer": "LIB", "size": 4}]
HARD = {"spike_fn": "arctan"}
CELLS = ("NBRC", "LRU", "LMU", "MinGRU", "SRC", "CoRNN", "UnICORNN")


def models() -> dict[str, Any]:
    return {
        "brc": lambda: RecurrentModel(SPEC, "bionets.layers.BRC", hidden_size=5, num_layers=2),
        "lem": lambda: RecurrentModel(SPEC, "bionets.layers.LEM", hidden_size=5),
        "lstm": lambda: RecurrentModel(SPEC, "torch.nn.LSTM", hidden_size=5),
        **{cell: lambda cell=cell: RecurrentModel(SPEC, f"bionets.layers.{cell}", hidden_size=5) for cell in CELLS},
        "spiking": lambda: SpikingRecurrentModel(SPEC, hidden_size=5, layer_arguments=HARD),
        "spiking, encoded": lambda: SpikingRecurrentModel(SPEC, hidden_size=5, layer_arguments=HARD, encoder="delta"),
        "stack": lambda: StackModel(SPEC, STACK),
        "stigmergic": lambda: StigmergicModel(SPEC, memory_size=4, hidden_size=5),
    }


def naive_forecast(model: Model, x: Tensor, steps: int) -> Tensor:
    for _ in range(steps):
        x = torch.cat([x, model(x)[-1:]])
    return x[-steps:]


@pytest.mark.parametrize("name", models())
def test_a_forecast_equals_running_the_extended_sequence_at_each_step(name: str) -> None:
    torch.manual_seed(0)
    model = models()[name]().eval()
    x = torch.randn(9, 3, 2)
    with torch.no_grad():
        found = forecast(model, x, 6)
        torch.testing.assert_close(found, naive_forecast(model, x, 6))
        torch.testing.assert_close(forecast(model, x, 6), found)  # no state is left over


def test_a_forecast_of_one_step_is_the_last_prediction() -> None:
    model = models()["lem"]().eval()
    x = torch.randn(4, 3, 2)
    with torch.no_grad():
        torch.testing.assert_close(forecast(model, x, 1), model(x)[-1:])


class Doubling:
    def __call__(self, x: Tensor) -> Tensor:
        return 2 * x

    def chunk(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        return self(x), state


def test_a_forecast_that_diverges_stays_finite() -> None:
    x = torch.tensor([1.0, -3.0]).view(1, 2, 1)
    values = forecast(Doubling(), x, 300)[:, :, 0]
    assert values[:3].tolist() == [[2, -6], [4, -12], [8, -24]]
    assert values[-1].tolist() == [3 * LARGEST, -3 * LARGEST]
    assert forecast(Doubling(), x / 10, 300)[-1, :, 0].tolist() == [LARGEST, -LARGEST]


def test_models_run_in_a_closed_loop_only_outside_of_training() -> None:
    model = models()["brc"]()
    x, next_values, later = torch.randn(7, 3, 2), torch.randn(7, 3, 2), torch.randn(5, 3, 2)
    prediction, target = model.train().answers((x, next_values))
    assert prediction.shape == (7, 3, 2)
    prediction, target = model.eval().answers((x, later))
    assert target is later
    torch.testing.assert_close(prediction, naive_forecast(model, x, 5))


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "sequence_to_value", "input_size": 1, "output_size": 1},
        {"kind": "sequence_to_sequence", "input_size": 2, "output_size": 1},
        {"kind": "sequence_to_sequence", "input_size": 1, "output_size": 1, "lengths": True},
    ],
)
def test_a_closed_loop_whose_predictions_cannot_be_inputs_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="closed_loop needs a sequence_to_sequence"):
        TaskSpec(**fields, closed_loop=True)
