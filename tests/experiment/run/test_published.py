"""Published values are shown for runs that follow the published protocol, and for no others."""

from typing import Any

import pytest

from bionets.experiment.run.published import published

ADDITION = {"name": "binary_addition", "curriculum": True, "min_length": 3, "length": 20, "epochs_per_length": 15}
CONFIG: dict[str, Any] = {
    "model": {"name": "nbrc", "num_layers": 1, "hidden_size": 100},
    "optimizer": {"lr": 0.001},
    "task": {**ADDITION, "train_size": 10_000, "test_length": 60},
    "trainer": {"max_epochs": 270},
}


def test_a_run_that_follows_the_protocol_has_the_published_value() -> None:
    assert published(CONFIG)["test/accuracy_length_60"].value == 0.995
    task = {"name": "copy_first_input", "length": 300, "train_size": 45_000, "batch_size": 100}
    copy = {**CONFIG, "task": task, "model": {"name": "brc", "num_layers": 2, "hidden_size": 100}}
    assert published(copy)["train/loss_step_5400"].value == 0.26


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [
        ("model", "num_layers", 2),
        ("model", "hidden_size", 50),
        ("model", "name", "rnn"),
        ("task", "length", 10),
        ("task", "train_size", 100),
        ("task", "train_size", "10000"),
        ("task", "train_size", [10_000]),
        ("trainer", "max_epochs", 3),
        ("optimizer", "lr", 0.01),
    ],
)
def test_a_run_that_deviates_from_the_protocol_has_no_published_value(group: str, key: str, value: object) -> None:
    assert published({**CONFIG, group: {**CONFIG[group], key: value}}) == {}


ROWS = {"name": "mnist", "read_as": "rows", "permuted": False, "threshold": 0.05, "batch_size": 20}
STIGMERGIC: dict[str, Any] = {
    "model": {"name": "stigmergic", "memory_size": 15, "recurrent": True, "hidden_layers": 1, "hidden_size": 20},
    "optimizer": {"lr": 0.001},
    "task": ROWS,
    "trainer": {"max_epochs": 10},
}


def test_spiking_networks_have_published_values_only_on_whole_image_sets() -> None:
    task = {"name": "fashion_mnist", "read_as": "image", "train_size": 55_000, "test_size": 10_000}
    config = {"model": {"name": "spiking_conv"}, "task": task, "trainer": {"max_epochs": 5}}
    assert published(config)["test/accuracy"].value == 0.9385
    assert published({**config, "task": {**task, "train_size": 1_000}}) == {}
    assert published({**config, "model": {"name": "feed_forward"}}) == {}


def test_the_stigmergic_protocol_has_its_published_values() -> None:
    assert {name: figure.value for name, figure in published(STIGMERGIC).items()} == {
        "test/accuracy": 0.965,
        "parameters": 3_190,
    }
    lstm = {**STIGMERGIC, "model": {"name": "lstm", "hidden_size": 10, "num_layers": 3}}
    assert published(lstm)["test/accuracy"].value == 0.943
    assert published({**lstm, "model": {"name": "lstm", "hidden_size": 100, "num_layers": 1}}) == {}
    assert published({**STIGMERGIC, "task": {**ROWS, "threshold": None}}) == {}
    assert published({**STIGMERGIC, "trainer": {"max_epochs": 20}}) == {}


def test_lem_on_pixels_has_its_published_values() -> None:
    pixels = {"name": "psmnist", "read_as": "pixels", "permuted": True, "blank_steps": 0, "test_size": 10_000}
    pixels["dataset"] = "mnist"
    config = {"model": {"name": "lem", "hidden_size": 128, "num_layers": 1}, "task": pixels}
    assert published(config)["test/accuracy"].value == 0.966
    assert published({**config, "task": {**pixels, "permuted": False}})["test/accuracy"].value == 0.995
    assert published({**config, "task": {**pixels, "blank_steps": 72}}) == {}
    assert published({**config, "task": {**pixels, "read_as": "rows"}}) == {}
    assert published({**config, "task": {**pixels, "dataset": "cifar10", "permuted": False}}) == {}
