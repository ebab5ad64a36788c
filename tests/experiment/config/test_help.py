"""`--help`: every key, with the description from its docstring."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from hydra.utils import get_object

from bionets.experiment.config.help import argument_descriptions, help_page
from bionets.experiment.config.schemas import register
from bionets.experiment.config.schemas.device import Device
from bionets.experiment.config.schemas.registry import MODELS, OPTIMIZERS, SCHEDULES, TASKS
from bionets.experiment.config.schemas.run import Analyse, Compare, Evaluate, Paths, Runs, Train, Trainer
from bionets.experiment.errors import UserError
from tests.acceptance.conftest import ROOT

OURS = ("_target_", "_partial_", "name")


class Base:
    """A base.

    Args:
        size: of it, in
            units. More is said here.
        rate, decay: two numbers (of steps).
    """


class Derived(Base):
    """A class derived from it.

    Args:
        size: another.

    Raises:
        ValueError: never.
    """

    def __init__(self, size: int, rate: float, decay: float) -> None: ...


def test_descriptions_are_the_first_sentences_of_docstrings_including_those_of_base_classes() -> None:
    assert argument_descriptions(Base)["size"] == "of it, in units"
    assert argument_descriptions(Derived) == {
        "size": "another",
        **dict.fromkeys(("rate", "decay"), "two numbers (of steps)"),
    }


def test_descriptions_have_the_values_that_a_command_line_takes() -> None:
    def function(size: int | None = None) -> None:
        """A function.

        Args:
            size: of it; None for no size, True as 1, NoneType.
        """

    assert argument_descriptions(function)["size"] == "of it; null for no size, true as 1, NoneType"
    register(ROOT / "configs")
    page = help_page("train", str(ROOT / "configs"), ["--help", "task", "task=cifar10"])
    assert "scaled; null for no scaling" in page and "None" not in page


@pytest.mark.parametrize("schemas", [MODELS, TASKS, OPTIMIZERS, SCHEDULES])
def test_every_option_of_a_schema_is_documented(schemas: dict[str, type]) -> None:
    missing = {}
    for name, schema in schemas.items():
        documented = argument_descriptions(get_object(schema._target_)) | argument_descriptions(schema)  # type: ignore[attr-defined]
        missing[name] = [each.name for each in fields(schema) if each.name not in (*documented, *OURS)]
    assert not {name: options for name, options in missing.items() if options}


@pytest.mark.parametrize("schema", [Train, Evaluate, Device, Compare, Analyse, Paths, Runs])
def test_every_option_of_a_command_is_documented(schema: type) -> None:
    assert {each.name for each in fields(schema)} <= argument_descriptions(schema).keys()


def test_every_option_of_the_trainer_is_documented() -> None:
    register(ROOT / "configs")
    lines = help_page("train", str(ROOT / "configs"), ["--help", "trainer"]).splitlines()
    assert len(lines) == 1 + len(fields(Trainer)) and all(" # " in line for line in lines)


@pytest.mark.parametrize("schemas", [MODELS, TASKS])
def test_a_description_does_not_only_refer_to_another_place(schemas: dict[str, type]) -> None:
    for name, schema in schemas.items():
        found = argument_descriptions(get_object(schema._target_))  # type: ignore[attr-defined]
        texts = {each.name: found.get(each.name, "") for each in fields(schema)}
        refer = [option for option, text in texts.items() if re.search(r"^see |, see above|: see ", text)]
        assert not refer or name == "custom_events", name  # no choice: it has no page


def test_the_encoder_and_its_arguments_have_descriptions_of_their_own() -> None:
    for schema in MODELS.values():
        found = argument_descriptions(get_object(schema._target_))  # type: ignore[attr-defined]
        assert "encoder" not in found or found["encoder"] != found["encoder_arguments"]


def test_the_help_page_shows_the_options_of_the_chosen_configs() -> None:
    register(ROOT / "configs")
    page = help_page("train", str(ROOT / "configs"), ["--help", "model=stigmergic", "schedule=StepLR"])
    assert "Choose one of each" in page and "$CONFIG" not in page
    lines = {line.partition(":")[0].strip(): line for line in page.splitlines()}
    assert lines["memory_size"].strip().startswith("memory_size: 15") and lines["memory_size"].endswith(
        "# number of cells of the memory"
    )
    assert "step_size: ???" in page and "# Period of learning rate decay" in page
    alone = help_page("train", str(ROOT / "configs"), ["--help", "model", "model=stigmergic"])
    assert alone.splitlines()[0].startswith("model:") and "optimizer" not in alone


@pytest.mark.parametrize("option", [["--config-dir", "{}"], ["-cd", "{}"], ["--config-dir={}"]])
def test_the_help_page_has_the_configs_of_another_folder(tmp_path: Path, option: list[str]) -> None:
    register(ROOT / "configs")
    (tmp_path / "paths").mkdir()
    (tmp_path / "paths" / "mine.yaml").write_text("output_dir: elsewhere\n")
    words = [*(word.format(tmp_path) for word in option), "--help", "paths=mine"]
    page = help_page("train", str(ROOT / "configs"), words)
    assert "output_dir: elsewhere" in page and "optimizer:" in page
    assert help_page("train", str(ROOT / "configs"), [*words, "paths"]).startswith("paths:")


def test_the_choices_of_a_group_that_is_no_key_are_listed_with_their_descriptions(tmp_path: Path) -> None:
    register(ROOT / "configs")
    (tmp_path / "sweep").mkdir()
    comment = "# My search (Who et al.\n# 2020). More.\n#   python train.py\n"
    (tmp_path / "sweep" / "mine.yaml").write_text(f"# @package _global_\n{comment}")
    words = ["--config-dir", str(tmp_path), "--help", "sweep", "accelerator"]
    lines = help_page("train", str(ROOT / "configs"), words).splitlines()
    choices = {line.partition("#")[0].strip(): line.partition("# ")[2] for line in lines}
    assert {"sweep=grid", "sweep=tpe", "accelerator=cpu"} < choices.keys()
    assert choices["sweep=mine"] == "My search (Who et al. 2020)"
    assert choices["accelerator=auto"] == "The GPU if there is one, else the CPU"
    page = help_page("train", str(ROOT / "configs"), ["--help", "sweep", "sweep=tpe"])
    assert page.endswith((ROOT / "configs" / "sweep" / "tpe.yaml").read_text().rstrip())
    for group in ("launcher", "experiment"):
        assert f"{group}=" in help_page("train", str(ROOT / "configs"), ["--help", group])
    assert "study=cogscale " in help_page("compare", str(ROOT / "configs"), ["--help", "study"])


def test_a_word_that_is_no_group_is_an_error_with_similar_ones() -> None:
    register(ROOT / "configs")
    for word, known in (("modle", "model"), ("launchr", "launcher")):
        with pytest.raises(UserError, match=f"--help {word}: .* did you mean {known}"):
            help_page("train", str(ROOT / "configs"), ["--help", word])


@pytest.mark.parametrize("command", ["evaluate", "compare", "analyse", "runs"])
def test_every_command_has_a_help_page(command: str) -> None:
    register(ROOT / "configs", families=False)
    assert "# " in help_page(command, str(ROOT / "configs"), ["--help"])


def test_the_options_of_the_default_logger_are_described_beside_those_of_others() -> None:
    register(ROOT / "configs")
    page = help_page("train", str(ROOT / "configs"), ["logger=[csv,wandb]"])
    assert re.search(r"project: bionets +# the W&B project", page)
    assert re.search(r"flush_logs_every_n_steps: 1 +# the file is written", page)
