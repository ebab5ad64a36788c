"""Runs on images: the figure of the memory, evaluation, and errors about missing or damaged files."""

import dataclasses
from pathlib import Path

import pytest

from bionets.tasks import images
from bionets.tasks.image_files import IMAGE_FILES
from tests.acceptance.conftest import Command, Outcome, the_run
from tests.tasks import idx_files

SMALL = (
    "model=stigmergic",
    "task=mnist",
    "task.read_as=rows",
    "task.train_size=40",
    "task.val_size=15",
    "task.test_size=30",
    "task.batch_size=10",
    "trainer.max_epochs=2",
    "logger=none",
)


@pytest.fixture(autouse=True)
def own_data_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIONETS_DATA", "data")


def test_a_run_on_images_draws_the_memory_and_can_be_evaluated(cli: Command, workplace: Path) -> None:
    idx_files.write(workplace / "data")
    trained = cli("train", *SMALL, "schedule=cosine")
    assert trained.code == 0, trained.error
    folder = the_run(workplace)
    assert folder.result()["parameters"] == 3144
    assert (folder.figures / "memory.png").read_bytes().startswith(b"\x89PNG")
    evaluated = cli("evaluate", f"run={folder.path}")
    assert evaluated.code == 0, evaluated.error


def test_the_run_folder_does_not_depend_on_the_data_folder(cli: Command, workplace: Path) -> None:
    for place in ("here", "there"):
        idx_files.write(workplace / place)
        assert cli("train", *SMALL, "callbacks=quiet", f"paths.data_dir={place}").code == 0
    the_run(workplace)


def refused(outcome: Outcome, workplace: Path, *words: str) -> None:
    assert outcome.code == 1
    assert outcome.error.startswith("error: ") and outcome.error.count("\n") == 1
    assert all(word in outcome.error for word in words)
    assert not (workplace / "outputs").exists()


def test_a_failed_download_gives_a_one_line_error_with_a_remedy(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline = dataclasses.replace(IMAGE_FILES["mnist"], mirrors=("http://127.0.0.1:9/",))
    monkeypatch.setattr(images, "IMAGE_FILES", {"mnist": offline})
    refused(cli("train", *SMALL), workplace, "could not be downloaded", "BIONETS_DATA")


def test_a_damaged_image_file_gives_a_one_line_error(cli: Command, workplace: Path) -> None:
    idx_files.write(workplace / "data")
    file = workplace / "data" / "mnist" / idx_files.NAMES[0]
    file.write_bytes(file.read_bytes()[:-50])
    refused(cli("train", *SMALL), workplace, str(file.name), "delete it")


def test_sizes_beyond_the_number_of_images_give_a_one_line_error(cli: Command, workplace: Path) -> None:
    idx_files.write(workplace / "data")
    refused(cli("train", *SMALL, "task.train_size=50"), workplace, "task.train_size + task.val_size")
