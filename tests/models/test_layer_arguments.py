"""A layer gets the arguments that it takes; what it would ignore is refused by name."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bionets.layers.spiking import EIF, KINDS, SpikingLayer
from bionets.layers.spiking.firing import firing_of
from bionets.models import RecurrentModel, SpikingConvModel, SpikingRecurrentModel
from bionets.models.checks import InterfaceError
from bionets.scan import surrogate
from bionets.tasks import TaskSpec

SEQUENCE = TaskSpec("sequence_to_value", input_size=2, output_size=1)
IMAGE = TaskSpec("image_to_class", 64, 3, image_shape=(1, 8, 8))
EVENTS = TaskSpec("sequence_to_class", 128, 3, steps=3, step_shape=(2, 8, 8), spikes=True)
CONFIG = {"spike_fn": "arctan", "beta": 0.5}  # what configs/model/spiking_conv.yaml says


def gru_of_torch(input_size: int, hidden_size: int) -> nn.Module:
    return nn.GRU(input_size, hidden_size)


def no_layer(input_size: int, hidden_size: int) -> int:
    return input_size


def test_a_layer_is_a_class_or_a_function_that_builds_it() -> None:
    model = RecurrentModel(SEQUENCE, f"{__name__}.gru_of_torch", hidden_size=3)
    assert isinstance(model.recurrent, nn.GRU)
    with pytest.raises(ValueError, match=r"model\.layer=math\.pi is not a class"):
        RecurrentModel(SEQUENCE, "math.pi")
    with pytest.raises(ValueError, match="no_layer is not the class of a layer: it returns a int"):
        RecurrentModel(SEQUENCE, f"{__name__}.no_layer")
    with pytest.raises(ValueError, match="takes no initialisation"):
        RecurrentModel(SEQUENCE, f"{__name__}.gru_of_torch", initialisation="bistable")


@pytest.mark.parametrize("layer", ["GRU", "LSTM"])
def test_a_layer_of_torch_refuses_an_initialisation_and_names_that_of_bionets(layer: str) -> None:
    with pytest.raises(ValueError, match=f"warmup or model.layer=bionets.layers.{layer}, which has chrono"):
        RecurrentModel(SEQUENCE, f"torch.nn.{layer}", initialisation="chrono")


class Plain(nn.Module):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_size, hidden_size)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return self.linear(x), None


class Swallowing(Plain):
    def __init__(self, input_size: int, hidden_size: int, **_: Any) -> None:
        super().__init__(input_size, hidden_size)


class Keeping(Plain):
    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size)
        self.num_layers = options["num_layers"]


class Resonator(SpikingLayer):
    state_names = ("position",)

    def __init__(self, num_neurons: int, dim: int = -1, damping: float = 0.9) -> None:
        super().__init__(num_neurons, dim)
        self.add_parameter("damping", damping, "decay")

    @staticmethod
    def neuron(x: Tensor, state: Any, params: Any) -> tuple[Tensor, Tensor]:
        position = params.damping * state.position + x
        return position, position


class PassingOn(EIF):
    def __init__(self, num_neurons: int, **others: Any) -> None:
        super().__init__(num_neurons, **others)


class Forgetting(EIF):
    def __init__(self, num_neurons: int, **others: Any) -> None:
        super().__init__(num_neurons)


def path(layer: type) -> str:
    return f"{__name__}.{layer.__name__}"


@pytest.mark.parametrize(
    "layer", ["torch.nn.GRU", "torch.nn.LSTM", "bionets.layers.BRC", path(Plain), path(Swallowing)]
)
def test_a_layer_need_not_accept_arguments_that_are_not_set(layer: str) -> None:
    model = RecurrentModel(SEQUENCE, layer, hidden_size=3)
    assert model(torch.zeros(4, 2, 2)).shape == (2, 1)


@pytest.mark.parametrize("layer", ["torch.nn.GRU", "bionets.layers.BRC", path(Keeping)])
def test_arguments_that_a_layer_accepts_are_passed(layer: str) -> None:
    assert RecurrentModel(SEQUENCE, layer, num_layers=2).recurrent.num_layers == 2


@pytest.mark.parametrize(
    ("layer", "arguments", "message"),
    [
        (Plain, {"num_layers": 2}, "model.num_layers=2: Plain takes no num_layers; it takes input_size, hidden_size"),
        (Plain, {"bidirectional": True}, "model.bidirectional=True: Plain takes no bidirectional"),
        (Swallowing, {"num_layers": 2}, "model.num_layers=2: Swallowing takes it by"),
        (Swallowing, {"dropout": 0.5}, "model.dropout=0.5: Swallowing takes it by"),
        (Swallowing, {"layer_arguments": {"foo": 1}}, "model.foo=1: Swallowing takes it by"),
        (Keeping, {"dropout": 0.5}, "model.dropout=0.5: Keeping takes it by"),
    ],
)
def test_arguments_that_a_layer_would_ignore_are_refused(layer: type, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        RecurrentModel(SEQUENCE, path(layer), **arguments)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("layer", [*(kind.name for kind in KINDS), "PLIF", "ALIF", "AdEx"])
def test_every_kind_of_spiking_layer_accepts_the_arguments_of_the_config(layer: str) -> None:
    arguments = {**CONFIG, "backend": "reference"}
    model = SpikingConvModel(IMAGE, channels=(2,), hidden_size=3, layer=layer, layer_arguments=arguments)
    model(torch.rand(2, 1, 8, 8)).sum().backward()
    neurons = next(module for module in model.modules() if isinstance(module, SpikingLayer))
    decays = [name for name in ("beta", "pos_beta", "neg_beta") if hasattr(neurons, name)]
    assert decays
    for name in decays:
        torch.testing.assert_close(getattr(neurons, name).mean(), torch.tensor(0.5))


def test_a_layer_of_the_library_takes_the_arguments_of_its_base() -> None:
    arguments = {"threshold": 0.5, "spike_fn": "triangle", "rho": 0.8}
    model = SpikingRecurrentModel(EVENTS, hidden_size=3, recurrent=False, layer="AdEx", layer_arguments=arguments)
    neurons = model.network[1]
    assert firing_of(neurons).spike_fn is surrogate.triangle
    torch.testing.assert_close(neurons.rho, torch.full((3,), 0.8))
    torch.testing.assert_close(neurons.threshold, torch.full((3,), 0.5))


def test_a_parameter_that_a_layer_passes_on_by_its_name_is_not_refused() -> None:
    build: Any = partial(SpikingRecurrentModel, EVENTS, hidden_size=3, recurrent=False)
    for name, value in {"beta": 0.3, "threshold": 0.5}.items():
        neurons = build(layer=path(PassingOn), layer_arguments={name: value}).network[1]
        torch.testing.assert_close(getattr(neurons, name), torch.full((3,), value))
        with pytest.raises(ValueError, match=f"{name}={value}: Forgetting takes it by"):
            build(layer=path(Forgetting), layer_arguments={name: value})


def test_a_user_layer_receives_only_the_arguments_that_it_accepts() -> None:
    model = SpikingRecurrentModel(EVENTS, hidden_size=3, recurrent=False, layer=path(Resonator), layer_arguments=CONFIG)
    assert model(torch.rand(3, 2, 128)).shape == (2, 3)
    given = {**CONFIG, "damping": 0.25}
    model = SpikingRecurrentModel(EVENTS, hidden_size=3, recurrent=False, layer=path(Resonator), layer_arguments=given)
    torch.testing.assert_close(model.network[1].damping.mean(), torch.tensor(0.25))
    for wrong in ({"spike_fn": "fast_sigmoid"}, {"dampnig": 0.25}):
        with pytest.raises(ValueError, match=r"model\.layer_arguments\.\w+=\S+: Resonator takes no"):
            SpikingRecurrentModel(EVENTS, layer=path(Resonator), layer_arguments=wrong)


def test_a_sequence_of_flattened_images_is_processed_as_images() -> None:
    arguments = {"channels": (2,), "hidden_size": 3, "layer_arguments": {**CONFIG, "backend": "reference"}}
    torch.manual_seed(0)
    events = SpikingConvModel(EVENTS, time_steps=1, **arguments).eval()
    image = TaskSpec("image_to_class", 128, 3, image_shape=(2, 8, 8))
    images = SpikingConvModel(image, time_steps=3, **arguments).eval()
    images.load_state_dict(events.state_dict())
    x = torch.rand(5, 2, 8, 8)
    torch.testing.assert_close(events(x.flatten(1).expand(3, 5, 128)), images(x))
    assert not SpikingConvModel.fits(TaskSpec("sequence_to_class", 28, 10, steps=28))


def test_the_constants_of_a_memory_cell_are_passed() -> None:
    model = RecurrentModel(SEQUENCE, "bionets.layers.LMU", 4, layer_arguments={"theta": 30.0})
    assert model.recurrent.constants["theta"] == 30.0
    with pytest.raises(TypeError, match="LMU has no argument tehta"):
        RecurrentModel(SEQUENCE, "bionets.layers.LMU", 4, layer_arguments={"tehta": 30.0})


class Running(nn.Module):
    """A layer of a user's own: the running sum of a linear map."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_size, hidden_size)

    def forward(self, x: Tensor, h: Any = None) -> Any:
        return torch.cumsum(self.linear(x), 0), self.linear.weight.new_zeros(())


class WithoutState(Running):
    def forward(self, x: Tensor) -> Any:  # type: ignore[override]
        return super().forward(x)


class OutputsAlone(Running):
    def forward(self, x: Tensor, h: Any = None) -> Any:
        return super().forward(x)[0]


class BatchFirst(Running):
    def forward(self, x: Tensor, h: Any = None) -> Any:
        return super().forward(x)[0].transpose(0, 1), None


class OverSamples(nn.Module):
    """A layer whose recurrence runs over the samples, because it expects the batch first."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.layer = nn.LSTM(input_size, hidden_size, batch_first=True)

    def forward(self, x: Tensor, h: Any = None) -> Any:
        return self.layer(x)


class SharedState(Running):
    """Its state is that of all samples."""

    def forward(self, x: Tensor, h: Any = None) -> Any:
        return super().forward(x)[0], x.new_zeros(1, 4)


class TwiceAsWide(Running):
    def forward(self, x: Tensor, h: Any = None) -> Any:
        y, h = super().forward(x)
        return torch.cat((y, y), -1), h


class WithGates(Running):
    def forward(self, x: Tensor, h: Any = None) -> Any:
        return *super().forward(x), {"gates": x}


class EverySecondStep(Running):
    def forward(self, x: Tensor, h: Any = None) -> Any:
        y, h = super().forward(x)
        return y[::2], h


class Tokens(nn.Module):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, hidden_size)

    def forward(self, x: Tensor, h: Any = None) -> Any:
        return torch.cumsum(self.embedding(x[..., 0]), 0), None


class Wrapper(nn.Module):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.layer = nn.GRU(input_size, hidden_size)

    def forward(self, x: Any) -> Any:
        return self.layer(x)


class GRUWithoutState(nn.GRU):
    def forward(self, x: Any) -> Any:  # type: ignore[override]
        return super().forward(x)


def model_of(layer: type[nn.Module], lengths: bool = False) -> RecurrentModel:
    spec = TaskSpec("sequence_to_value", 3, 1, lengths=lengths)
    return RecurrentModel(spec, f"{__name__}.{layer.__name__}", hidden_size=4)


def test_the_last_output_of_a_user_layer_is_read_out() -> None:
    model, x = model_of(Running), torch.randn(5, 2, 3)
    torch.testing.assert_close(model(x), model.readout(model.recurrent(x)[0][-1]))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (OutputsAlone, "must return a pair, its outputs [T, B, H] and its last state; got a Tensor"),
        (BatchFirst, "must return outputs [T, B, H], here [5, 2, 4]; got [2, 5, 4]"),
        (TwiceAsWide, "must return outputs [T, B, H], here [5, 2, 4]; got [5, 2, 8]"),
    ],
)
def test_the_result_of_a_user_layer_is_checked(layer: type[nn.Module], message: str) -> None:
    x = torch.randn(5, 2, 3)
    with pytest.raises(InterfaceError) as error:
        model_of(layer)(x)
    assert str(error.value) == f"{layer.__name__}.forward {message}"
    with pytest.raises(InterfaceError, match="must return"):
        model_of(layer).chunk(x, None)


@pytest.mark.parametrize(
    ("layer", "x", "last"),
    [
        (WithGates, torch.randn(5, 2, 3), 4),
        (EverySecondStep, torch.randn(5, 2, 3), 4),
        (EverySecondStep, torch.randn(4, 2, 3), 2),
        (Tokens, torch.randint(10, (5, 2, 3)), 4),
    ],
)
def test_a_layer_may_return_more_values_or_fewer_steps_or_take_integers(
    layer: type[nn.Module], x: Tensor, last: int
) -> None:
    model = model_of(layer)
    every = Running.forward(model.recurrent, x)[0] if isinstance(model.recurrent, Running) else model.recurrent(x)[0]
    torch.testing.assert_close(model(x), model.readout(every[last]))


def test_a_user_layer_whose_recurrence_runs_over_the_samples_is_refused() -> None:
    message = r"last state of 2 samples, got \[1, 5, 4\].*leave out batch_first"
    with pytest.raises(InterfaceError, match=message):
        model_of(OverSamples)(torch.randn(5, 2, 3))
    with pytest.raises(InterfaceError, match=message):
        model_of(OverSamples).chunk(torch.randn(5, 2, 3), None)


def test_a_state_with_as_many_units_as_there_are_steps_is_accepted() -> None:
    assert model_of(SharedState)(torch.randn(4, 2, 3)).shape == (2, 1)


def test_an_answer_at_every_step_needs_outputs_of_every_step() -> None:
    spec = TaskSpec("sequence_to_sequence", 3, 1)
    model = RecurrentModel(spec, f"{__name__}.EverySecondStep", hidden_size=4)
    with pytest.raises(InterfaceError, match=r"here \[5, 2, 4\]; got \[3, 2, 4\]"):
        model(torch.randn(5, 2, 3))


@pytest.mark.parametrize("layer", [Wrapper, GRUWithoutState])
def test_a_user_layer_based_on_a_torch_layer_receives_packed_sequences(layer: type[nn.Module]) -> None:
    model, x, lengths = model_of(layer, lengths=True), torch.randn(5, 2, 3), torch.tensor([5, 2])
    own = getattr(model.recurrent, "layer", model.recurrent)
    expected = [nn.GRU.forward(own, x[:length, row])[0][-1] for row, length in enumerate(lengths)]
    torch.testing.assert_close(model(x, lengths), model.readout(torch.stack(expected)))


def test_the_arguments_of_the_forward_of_a_user_layer_are_checked() -> None:
    with pytest.raises(InterfaceError, match="differ in length: write Running"):
        model_of(Running, lengths=True)
    with pytest.raises(InterfaceError, match=r"hand on the state: write WithoutState.forward\(self, x, h=None\)"):
        model_of(WithoutState).chunk(torch.randn(5, 2, 3), None)
    assert model_of(WithoutState)(torch.randn(5, 2, 3)).shape == (2, 1)
