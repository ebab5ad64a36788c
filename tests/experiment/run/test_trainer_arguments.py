"""Lightning receives each value of ``trainer.*`` with the type that was typed."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from lightning import Trainer
from omegaconf import OmegaConf

from bionets.experiment.config.digest import scientific_digest
from bionets.experiment.config.option_values import refuse_values
from bionets.experiment.config.schemas import register
from bionets.experiment.config.schemas.run import Trainer as Schema
from bionets.experiment.errors import UserError
from bionets.experiment.run import build
from bionets.experiment.run.isolation import isolated
from bionets.tasks import CopyFirstInput

CONFIGS = Path(__file__).parents[3] / "configs"
# What bionets itself decides, or has no use for.
OURS = {
    "self", "logger", "callbacks", "plugins", "num_sanity_val_steps", "enable_checkpointing", "enable_progress_bar",
    "enable_model_summary", "reload_dataloaders_every_n_epochs", "default_root_dir", "enable_autolog_hparams",
    "model_registry", "barebones", "use_distributed_sampler", "inference_mode", "limit_predict_batches",
}  # fmt: skip


def composed(*words: str) -> dict[str, Any]:
    register(CONFIGS)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train", overrides=["trainer.max_epochs=3", "task=copy_first_input", *words])
    refuse_values("train", config)
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def received(monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, Any]:
    """The arguments with which Lightning's Trainer is called."""
    calls: list[dict[str, Any]] = []

    def spy(**arguments: Any) -> Trainer:
        calls.append(arguments)
        return Trainer(**{**arguments, "accelerator": "cpu", "devices": 1, "strategy": "auto", "num_nodes": 1})

    monkeypatch.setattr(build, "Trainer", spy)
    config = composed(*words)
    task = CopyFirstInput(length=3, train_size=100, val_size=10, test_size=10, batch_size=10)
    with isolated():
        build.trainer_with([], config, task)
    return calls[0]


def test_every_trainer_argument_of_lightning_is_an_option_or_set_by_bionets() -> None:
    schema = set(inspect.signature(Schema).parameters)
    schema -= {"tbptt"}  # our own
    assert schema | OURS == set(inspect.signature(Trainer.__init__).parameters)
    assert not schema & OURS


@pytest.mark.parametrize(
    "typed",
    [
        *([(f"limit_{part}_batches={each}", each) for part in ("train", "val", "test")] for each in (1, 2, 1.0, 0.5)),
        *([(f"overfit_batches={value}", value)] for value in (0, 1, 2, 0.0, 1.0, 0.25)),
        *([(f"val_check_interval={value}", value)] for value in (1, 3, 1.0, 0.25)),
        [
            *((f"{key}=2", 2) for key in ("max_epochs", "min_epochs", "min_steps", "check_val_every_n_epoch",
              "log_every_n_steps", "num_nodes")),
            ("max_steps=20", 20), ("gradient_clip_val=1", 1.0), ("gradient_clip_algorithm=value", "value"),
            ("devices=1", 1), ("accelerator=cpu", "cpu"), ("strategy=auto", "auto"), ("precision=64-true", "64-true"),
            ("max_time=00:01:00:00", "00:01:00:00"), ("deterministic=true", True), ("benchmark=false", False),
            ("detect_anomaly=true", True), ("sync_batchnorm=true", True), ("profiler=simple", "simple"),
        ],
        [
            ("val_check_interval=null", None), ("gradient_clip_val=0.5", 0.5), ("devices=auto", "auto"),
            ("precision=32", "32"), ("deterministic=warn", "warn"), ("accumulate_grad_batches=2", 2),
        ],
    ],
    ids=lambda typed: typed[0][0],
)  # fmt: skip
def test_lightning_receives_values_with_the_type_that_was_typed(
    monkeypatch: pytest.MonkeyPatch, typed: list[tuple[str, object]]
) -> None:
    got = received(monkeypatch, *(f"trainer.{word}" for word, _ in typed))
    for word, value in typed:
        found = got[word.partition("=")[0]]
        assert found == value, word
        assert type(found) is type(value), word


@pytest.mark.parametrize(
    "word",
    [
        "gradient_clip_val=-1", "overfit_batches=-1", "min_epochs=4", "log_every_n_steps=0",
        "accumulate_grad_batches=0", "check_val_every_n_epoch=0",
        "val_check_interval=0", "val_check_interval=1.5", "val_check_interval=11",
        "limit_train_batches=0", "max_steps=9", "precision=16-mixed", "profiler=nothing", "precision=31",
    ],
)  # fmt: skip
def test_invalid_trainer_values_give_a_one_line_error(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    with pytest.raises(UserError) as error:
        received(monkeypatch, f"trainer.{word}")
    assert "\n" not in str(error.value)
    assert word.partition("=")[0] in str(error.value)


def test_keys_added_later_do_not_change_the_digest_at_their_defaults() -> None:
    config = composed()
    before = {key: value for key, value in config.items() if key not in ("callbacks", "flush_denormals")}
    later = ("fast_dev_run", "val_check_interval")
    before["trainer"] = {key: value for key, value in config["trainer"].items() if key not in later}
    assert scientific_digest(before) == scientific_digest(config)
    for words in ("trainer.val_check_interval=0.5", "callbacks.patience=3", "flush_denormals=false"):
        assert scientific_digest(composed(words)) != scientific_digest(config)
    assert scientific_digest(composed("trainer.fast_dev_run=true")) == scientific_digest(config)
