"""The summary of the model that a run prints when it starts."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn

from bionets.experiment.config.schemas import register
from bionets.experiment.run.model_summary import (
    MOST_ROWS,
    print_model,
    print_unused_options,
    rows_of,
    shapes_of,
)
from bionets.models import FeedForwardModel, RecurrentModel
from bionets.tasks import TaskSpec

CONFIGS = Path(__file__).parents[3] / "configs"
SEQUENCE = TaskSpec("sequence_to_value", input_size=3, output_size=2)


def test_the_summary_shows_layers_sizes_parameters_and_device(capsys: pytest.CaptureFixture[str]) -> None:
    model = RecurrentModel(SEQUENCE, "torch.nn.GRU", hidden_size=4)
    print_model(model, torch.device("cpu"))
    first, *layers = capsys.readouterr().out.splitlines()
    total = sum(parameter.numel() for parameter in model.parameters())
    assert f"{total:,} parameters, [T, B, 3] -> [B, 2]" in first
    assert "device cpu, cpu backend of scan" in first
    assert [line.split()[0] for line in layers] == ["recurrent", "readout"]
    assert sum(int(line.split()[-1].replace(",", "")) for line in layers) == total
    assert "GRU(3, 4)" in layers[0]


def test_containers_are_expanded_and_long_lists_are_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 1)))
    assert [(name, count) for name, _, count in rows_of(network)] == [("0", "9"), ("1.0", "0"), ("1.1", "4")]
    model = RecurrentModel(SEQUENCE, "torch.nn.GRU", hidden_size=2)
    model.readout = nn.Sequential(*(nn.Linear(2, 2) for _ in range(MOST_ROWS + 5)))  # type: ignore[assignment]
    print_model(model, torch.device("cpu"))
    assert capsys.readouterr().out.splitlines()[-1].strip() == "and 6 more layers"


@pytest.mark.parametrize(
    ("spec", "shapes"),
    [
        (TaskSpec("sequence_to_sequence", 3, 2), ("[T, B, 3]", "[T, B, 2]")),
        (TaskSpec("sequence_to_class", 28, 10, steps=28), ("[28, B, 28]", "[B, 10]")),
        (TaskSpec("image_to_class", 784, 10, image_shape=(1, 28, 28)), ("[B, 1, 28, 28]", "[B, 10]")),
        (TaskSpec("control", 4, 2), ("[B]", "[B]")),
    ],
)
def test_shapes_follow_from_the_spec(spec: TaskSpec, shapes: tuple[str, str]) -> None:
    assert shapes_of(spec) == shapes


def test_shapes_equal_those_of_a_forward_pass() -> None:
    spec = TaskSpec("image_to_class", 4, 3, image_shape=(1, 2, 2))
    model = FeedForwardModel(spec)
    assert list(model(torch.randn(5, 1, 2, 2)).shape) == [5, 3]
    assert shapes_of(spec) == ("[B, 1, 2, 2]", "[B, 3]")


@pytest.mark.parametrize(
    ("model", "task", "noted"),
    [
        (["model=nbrc"], ["task=mnist"], []),
        (
            ["model=nbrc", "model.chrono_steps=50"],
            [],
            ["no effect without model.initialisation=chrono: model.chrono_steps"],
        ),
        (["model=nbrc", "model.chrono_steps=50", "model.initialisation=chrono"], [], []),
        (
            ["model=stigmergic", "model.readout_size=5", "model.readout_layers=0"],
            [],
            ["no effect without model.readout_layers: model.readout_size"],
        ),
        (
            ["model=spiking_conv", "model.pool_spikes=true", "model.pool=none"],
            ["task=mnist"],
            ["no effect without model.pool: model.pool_spikes"],
        ),
        (
            ["model=spatial_recurrent", "model.proximity=1"],
            [],
            ["no effect without model.learn_positions: model.proximity"],
        ),
        (["model=spatial_linear", "model.proximity=1"], ["task=mnist"], []),
        (
            ["model=nbrc"],
            ["task=mnist", "task.read_as=rows", "task.patch=7", "task.steps=9"],
            [
                "no effect without task.read_as=patches: task.patch",
                "no effect without task.read_as=poisson: task.steps",
            ],
        ),
        (["model=nbrc"], ["task=mnist", "task.read_as=patches", "task.patch=7"], []),
    ],
)
def test_options_without_effect_are_noted(
    model: list[str], task: list[str], noted: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    register(CONFIGS)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train", [*model, *task])
    print_unused_options(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
    assert capsys.readouterr().out.splitlines() == [f"note: {each}" for each in noted]


@pytest.mark.parametrize(("model", "noted"), [("stdp", True), ("reward_modulated", True), ("nbrc", False)])
def test_an_optimizer_that_the_model_does_not_use_is_noted(
    model: str, noted: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"model={model}", "optimizer.lr=0.1", "schedule=cosine", "task=boolean"]
    register(CONFIGS)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train", words)
    print_unused_options(OmegaConf.to_container(config, resolve=True), words)  # type: ignore[arg-type]
    expected = f"note: no effect with model={model}, which has no optimizer: optimizer.lr=0.1, schedule=cosine\n"
    assert capsys.readouterr().out == (expected if noted else "")
