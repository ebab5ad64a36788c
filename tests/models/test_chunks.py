"""Training in chunks of time: the losses and gradients of the whole sequence, or of truncated backpropagation."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bionets.models import Model, RecurrentModel, SpikingConvModel, SpikingRecurrentModel
from bionets.models.checks import InterfaceError
from bionets.models.chunks import loss_in_chunks, saved_mebibytes
from bionets.models.saved_memory import peak_saved_bytes
from bionets.tasks import TaskSpec

LAST = TaskSpec("sequence_to_value", input_size=2, output_size=3)
EVERY = TaskSpec("sequence_to_sequence", input_size=2, output_size=3)
X, TARGET = torch.randn(7, 4, 2), torch.randn(7, 4, 3)


class Task:
    """The mean squared error."""

    @staticmethod
    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        assert prediction.shape == target.shape
        return functional.mse_loss(prediction, target)

    scored_steps = staticmethod(len)


def recurrent(spec: TaskSpec, gradients: str = "bptt", layer: str = "BRC", **options: Any) -> RecurrentModel:
    torch.manual_seed(0)
    path = layer if "." in layer else f"bionets.layers.{layer}"
    return RecurrentModel(spec, layer=path, hidden_size=5, gradients=gradients, **options)


def spiking(spec: TaskSpec, gradients: str = "bptt", **options: Any) -> SpikingRecurrentModel:
    torch.manual_seed(0)
    options = {"recurrent": False, "layer_arguments": {"quant_fn": "identity", "spike_fn": "sigmoid4x"}, **options}
    return SpikingRecurrentModel(spec, hidden_size=5, gradients=gradients, **options)


def gradients(model: Model, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    (2 * loss).backward()  # as a trainer may scale it
    return {name: each.grad / 2 for name, each in model.named_parameters() if each.grad is not None}


def whole(model: Model, target: Tensor) -> dict[str, Tensor]:
    return gradients(model, Task.loss(model(X), target))


def chunked(model: Model, target: Tensor, length: int | None) -> dict[str, Tensor]:
    model.tbptt = length
    return gradients(model, loss_in_chunks(model, Task, X, target))


@pytest.mark.parametrize("make", [recurrent, spiking])
@pytest.mark.parametrize(("spec", "target"), [(LAST, TARGET[0]), (EVERY, TARGET)])
@pytest.mark.parametrize("length", [1, 3, 7, 20, None])
def test_online_learning_has_the_loss_and_the_gradients_of_the_whole_sequence(
    make: Any, spec: TaskSpec, target: Tensor, length: int | None
) -> None:
    model = make(spec)
    expected = whole(model, target)
    other = make(spec, "online")
    # exact for one layer: the spiking model's hidden layer has the output layer above it
    exact = {name for name in expected if make is recurrent or name.startswith("network.2") or "network.3" in name}
    assert torch.allclose(loss_in_chunks(other, Task, X, target), Task.loss(model(X), target))
    found = chunked(other, target, length)
    assert found.keys() == expected.keys()
    for name in expected if length in (7, 20, None) else exact:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-6)


def test_chunks_of_a_spiking_network_have_the_predictions_of_the_whole_sequence_and_graphs_of_their_own() -> None:
    model, x = spiking(EVERY, time_steps=2), X.clone().requires_grad_()
    first, state = model.chunk(x[:3], None)
    second, _ = model.chunk(x[3:], state)
    torch.testing.assert_close(torch.cat([first, second]), model(X))
    (gradient,) = torch.autograd.grad(second.sum(), x)
    assert not gradient[:3].any() and gradient[3:].any()


@pytest.mark.parametrize("layer", ["GRU", "LSTM"])
def test_truncated_backpropagation_cuts_the_graph_between_chunks(layer: str) -> None:
    model = recurrent(EVERY, layer=f"torch.nn.{layer}")
    loss, state = torch.zeros(()), None
    for start in (0, 3, 6):
        output, state = model.recurrent(X[start : start + 3], state)
        state = state.detach() if layer == "GRU" else tuple(each.detach() for each in state)
        loss = loss + (model.readout(output) - TARGET[start : start + 3]).pow(2).sum() / TARGET.numel()
    expected = gradients(model, loss)
    found = chunked(model, TARGET, 3)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient)
    assert not torch.allclose(found["recurrent.weight_hh_l0"], whole(model, TARGET)["recurrent.weight_hh_l0"])


@pytest.mark.parametrize("length", [7, 3])
def test_a_loss_at_every_step_counts_all_steps_of_a_spiking_network(length: int) -> None:
    """The loss in chunks was that of the last of the ``time_steps`` steps of each input."""
    model = spiking(LAST, time_steps=2, loss_every_step=True)
    outputs = model.step_predictions(X)
    assert len(outputs) == 14
    expected = Task.loss(outputs, TARGET[0].expand(14, 4, 3))
    model.tbptt = length
    found = loss_in_chunks(model, Task, X, TARGET[0])
    torch.testing.assert_close(found, expected)
    if length == 7:
        for name, gradient in gradients(model, expected).items():
            torch.testing.assert_close(chunked(model, TARGET[0], length)[name], gradient)


def test_a_loss_at_every_step_has_the_gradients_of_the_whole_sequence() -> None:
    model = recurrent(LAST, "online")
    model.loss_every_step = True
    outputs, _ = model.recurrent(X)
    expected = gradients(model, Task.loss(model.readout(outputs), TARGET[0].expand(7, 4, 3)))
    found = chunked(model, TARGET[0], 2)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def test_eprop_gradients_do_not_depend_on_the_chunks_and_differ_from_backpropagation() -> None:
    one, other = (chunked(recurrent(EVERY, "eprop", "NBRC"), TARGET, length) for length in (2, 7))
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, other[name], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(
        one["recurrent.weight_hh_l0"], whole(recurrent(EVERY, layer="NBRC"), TARGET)["recurrent.weight_hh_l0"]
    )


def test_unsupported_gradients_and_chunks_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown: choose bptt, online, eprop"):
        recurrent(LAST, "rtrl")
    with pytest.raises(ValueError, match="has only bptt"):
        recurrent(LAST, "eprop", "torch.nn.GRU")
    with pytest.raises(ValueError, match="rule 'eprop'"):
        chunked(recurrent(LAST, "online", "NBRC"), TARGET[0], 2)
    with pytest.raises(ValueError, match="bidirectional"):
        chunked(recurrent(LAST, bidirectional=True), TARGET[0], 2)
    with pytest.raises(ValueError, match="readout=mean"):
        chunked(recurrent(LAST, readout="mean"), TARGET[0], 2)
    with pytest.raises(ValueError, match="last_membrane"):
        chunked(spiking(LAST, readout="mean_membrane"), TARGET[0], 2)
    image = SpikingConvModel(TaskSpec("image_to_class", 64, 3, image_shape=(1, 8, 8)), readout="last_membrane")
    with pytest.raises(ValueError, match="cannot be trained in chunks"):
        image.chunk(torch.zeros(2, 1, 8, 8), None)
    with pytest.raises(ValueError, match="at every step, got 3 for 7"):
        chunked(recurrent(EVERY), TARGET[:3], 2)


def test_a_loss_without_a_gradient_is_refused_in_chunks() -> None:
    class Detached(Task):
        @staticmethod
        def loss(prediction: Tensor, target: Tensor) -> Tensor:
            return functional.mse_loss(prediction.detach(), target)

    model = recurrent(EVERY)
    model.tbptt = 3
    loss = loss_in_chunks(model, Detached, X, TARGET)
    with pytest.raises(InterfaceError, match="the loss of the task has no gradient"):
        model.backward(loss)


def test_peak_saved_bytes_excludes_parameters_and_their_views() -> None:
    first, second = torch.nn.Linear(2, 30), torch.nn.Linear(30, 50)
    x = torch.randn(4, 2)
    assert peak_saved_bytes(lambda: second(first(x)).tanh()) == 4 * (4 * 2 + 4 * 30 + 4 * 50)


def test_the_kept_memory_of_a_model_is_in_mebibytes() -> None:
    model = recurrent(EVERY, layer="torch.nn.GRU")
    expected = peak_saved_bytes(lambda: model(X).square().mean()) / 1024**2
    assert saved_mebibytes(model, X) == pytest.approx(expected, rel=0.02)
    model.tbptt = 1
    assert 0 < saved_mebibytes(model, X) < 0.5 * expected


class Masked(Task):
    """The mean squared error over the numbers that are not NaN."""

    @staticmethod
    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        counts = ~target.isnan()
        return ((prediction - target.nan_to_num()).square() * counts).sum() / counts.sum()

    @staticmethod
    def scored_steps(target: Tensor) -> int:
        return int((~target.isnan()).sum())


@pytest.mark.parametrize("length", [1, 2, 7])
def test_chunks_without_scored_steps_add_nothing(length: int) -> None:
    model, target = recurrent(EVERY, "online"), TARGET.clone()
    target[:4, :, :] = torch.nan
    target[5, 1:, 2] = torch.nan
    model.tbptt = length
    whole = recurrent(EVERY)
    expected = gradients(whole, Masked.loss(whole(X), target))
    loss = loss_in_chunks(model, Masked, X, target)
    torch.testing.assert_close(loss, Masked.loss(whole(X), target))
    for name, gradient in gradients(model, loss).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6)
