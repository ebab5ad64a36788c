"""Sequences of different lengths in whole models: what lies past their ends changes no number."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import nn

from bionets.models import (
    FeedForwardModel,
    Model,
    RecurrentModel,
    SpikingRecurrentModel,
    StackModel,
    StigmergicModel,
)
from bionets.tasks import CustomData, TaskSpec

STEPS, BATCH, INPUTS = 8, 4, 3
LENGTHS = torch.tensor([5, 8, 1, 3])
SPECS = {
    "class": TaskSpec("sequence_to_class", INPUTS, 4, steps=STEPS, lengths=True),
    "value": TaskSpec("sequence_to_value", INPUTS, 2, lengths=True),
    "sequence": TaskSpec("sequence_to_sequence", INPUTS, 2, lengths=True),
}
HARD = {"spike_fn": "arctan"}
MODELS: dict[str, Any] = {
    "NBRC": lambda spec: RecurrentModel(spec, "bionets.layers.NBRC", 5, num_layers=2),
    "both directions": lambda spec: RecurrentModel(spec, "bionets.layers.BRC", 5, bidirectional=True),
    "torch's GRU": lambda spec: RecurrentModel(spec, "torch.nn.GRU", 5, bidirectional=True),
    "torch's LSTM": lambda spec: RecurrentModel(spec, "torch.nn.LSTM", 5),
    "stigmergic": lambda spec: StigmergicModel(spec, 4),
    "mean of a stack": lambda spec: StackModel(
        spec,
        [{"layer": "LIB", "size": 5}, {"layer": "NBRC", "size": 4}],
        readout="last" if spec.kind == "sequence_to_sequence" else "mean",
    ),
    "spiking": lambda spec: SpikingRecurrentModel(spec, 6, layer_arguments=HARD, time_steps=2),
    "spike counts": lambda spec: SpikingRecurrentModel(spec, 6, layer_arguments=HARD, readout="spike_count"),
    "mean membrane": lambda spec: SpikingRecurrentModel(
        spec, 6, max_delay=3, layer_arguments=HARD, readout="mean_membrane"
    ),
}


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("name", MODELS)
def test_predictions_of_a_batch_with_lengths_equal_those_of_single_sequences(name: str, kind: str) -> None:
    torch.manual_seed(0)
    spec, random = SPECS[kind], torch.Generator().manual_seed(1)
    model: Model = MODELS[name](spec).eval()
    x = torch.randn(STEPS, BATCH, INPUTS, generator=random)
    shape = (STEPS, BATCH, 2) if kind == "sequence" else (BATCH,)
    target = torch.randn(shape, generator=random)
    found = []
    for garbage in (0.0, 1e6, torch.nan):
        padded = torch.where(torch.arange(STEPS).view(-1, 1, 1) < LENGTHS.view(1, -1, 1), x, garbage)
        prediction, answers = model.answers((padded, target, LENGTHS))
        gradients = torch.autograd.grad(prediction.square().sum(), list(model.parameters()), allow_unused=True)
        found.append([prediction, answers, *(each for each in gradients if each is not None)])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert torch.equal(one, two)
    prediction, answers = found[0][:2]
    alone = [model(x[:end, b : b + 1]) for b, end in enumerate(LENGTHS.tolist())]
    if kind == "sequence":
        assert len(prediction) == len(answers) == LENGTHS.sum()
        whole = torch.zeros(STEPS, BATCH, 2)
        whole[torch.arange(STEPS).unsqueeze(1) < LENGTHS] = prediction
        for b, each in enumerate(alone):
            torch.testing.assert_close(whole[: len(each), b], each[:, 0], rtol=1e-4, atol=1e-5)
    else:
        torch.testing.assert_close(prediction, torch.cat(alone), rtol=1e-4, atol=1e-5)


def saved(path: Path, steps: int, garbage: float, kind: str) -> str:
    """The same sequences with so many steps, of which the last ones are past the end of each."""
    random = torch.Generator().manual_seed(0)
    x, lengths = torch.randn(40, STEPS, INPUTS, generator=random), torch.randint(1, STEPS + 1, (40,), generator=random)
    valid = (torch.arange(STEPS) < lengths.unsqueeze(1)).unsqueeze(2)
    y = (x * valid).cumsum(1)[:, :, :2] if kind == "sequence" else torch.arange(40) % 3
    more = torch.full((40, steps - STEPS, INPUTS), garbage)
    y = torch.cat((torch.where(valid, y, garbage), more[..., :2]), 1) if kind == "sequence" else y
    x = torch.cat((torch.where(valid, x, garbage), more), 1)
    torch.save({"x": x, "y": y, "lengths": lengths}, path)
    return str(path)


@pytest.mark.parametrize("kind", ["class", "sequence"])
def test_padding_does_not_change_training_and_metrics(kind: str, tmp_path: Path) -> None:
    results = []
    for steps, garbage in ((STEPS, 0.0), (STEPS + 5, 77.0)):
        path = saved(tmp_path / f"{steps}.pt", steps, garbage, kind)
        task = CustomData(path, lengths="lengths", standardise=True, batch_size=7, val_share=0.2, test_share=0.2)
        assert task.spec.lengths
        torch.manual_seed(0)
        model = RecurrentModel(task.spec, "bionets.layers.NBRC", 5, optimizer=torch.optim.Adam)
        options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
        trainer = Trainer(max_epochs=2, reload_dataloaders_every_n_epochs=1, enable_model_summary=False, **options)
        trainer.fit(model, datamodule=task)
        validation = {name: float(value) for name, value in trainer.callback_metrics.items()}
        trainer.test(model, datamodule=task, verbose=False)
        results.append({**validation, **model.test_results["test"]})
    assert results[0] == pytest.approx(results[1], rel=1e-4)


def test_a_loss_over_batches_is_the_mean_over_valid_steps(tmp_path: Path) -> None:
    found = []
    for batch_size in (3, 8):
        path = saved(tmp_path / "data.pt", STEPS, 0.0, "sequence")
        task = CustomData(path, lengths="lengths", batch_size=batch_size, test_share=0.2)
        torch.manual_seed(0)
        model = RecurrentModel(task.spec, "bionets.layers.NBRC", 5)
        options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
        Trainer(**options).test(model, datamodule=task, verbose=False)
        found.append(model.test_results["test"])
        assert found[-1]["loss"] == pytest.approx(found[-1]["mse"], rel=1e-5)
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_spikes_are_counted_in_valid_steps_only() -> None:
    torch.manual_seed(0)
    model = MODELS["spiking"](SPECS["class"]).eval()
    x = 3 * torch.randn(STEPS, BATCH, INPUTS)
    lengths = LENGTHS.clamp(min=2)  # the only step of a sequence would be a time-invariant input
    expected = model.test_metrics([(x, lengths)])
    longer = torch.cat((x, 50 * torch.ones(4, BATCH, INPUTS)))
    assert model.test_metrics([(longer, lengths)]) == pytest.approx(expected)
    alone = [model.test_metrics([(x[:end, b : b + 1],)])["test/nanojoules"] for b, end in enumerate(lengths.tolist())]
    assert expected["test/nanojoules"] == pytest.approx(sum(alone) / BATCH)
    parts = [(x[:, part], lengths[part]) for part in (slice(0, 1), slice(1, None))]
    assert model.test_metrics(parts) == pytest.approx(expected)


def test_a_model_without_lengths_refuses_a_task_with_lengths() -> None:
    spec = replace(SPECS["class"], kind="image_to_class", image_shape=(1, 1, 3))
    with pytest.raises(ValueError, match="with sequences of different lengths"):
        FeedForwardModel(spec)


@pytest.mark.parametrize("name", ["NBRC", "spiking"])
def test_a_loss_at_every_step_is_the_mean_over_valid_steps(name: str) -> None:
    torch.manual_seed(0)
    model: Model = MODELS[name](SPECS["class"]).eval()
    x, targets = torch.randn(STEPS, BATCH, INPUTS), torch.tensor([0, 1, 2, 3])
    steps = getattr(model, "time_steps", 1)
    valid = torch.arange(steps * STEPS).unsqueeze(1) < steps * LENGTHS
    alone = [model.step_predictions(x[:end, b : b + 1])[:, 0] for b, end in enumerate(LENGTHS.tolist())]
    expected = nn.functional.cross_entropy(torch.cat(alone), targets.repeat_interleave(steps * LENGTHS))
    predictions = model.step_predictions(x, LENGTHS)
    each = targets.expand(len(predictions), -1)
    torch.testing.assert_close(nn.functional.cross_entropy(predictions[valid], each[valid]), expected)
    model.loss_every_step = True
    model._trainer = SimpleNamespace(datamodule=SimpleNamespace(loss=nn.functional.cross_entropy))
    torch.testing.assert_close(model.training_step((x, targets, LENGTHS), 0), expected)
