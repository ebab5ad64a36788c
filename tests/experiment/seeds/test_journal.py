"""The journal of several seeds' checkpoints: all of one epoch or of the next, and nothing left beside the folders."""

import shutil
from pathlib import Path

import pytest

from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.seeds.journal import NAME, all_or_none, last_whole, roll_back


def folders_in(place: Path) -> list[RunFolder]:
    folders = [RunFolder(place / f"seed-{seed}") for seed in range(2)]
    for folder in folders:
        folder.checkpoints.mkdir(parents=True)
        folder.last.write_text("epoch 0")
    return folders


def test_an_interruption_between_two_checkpoints_rolls_both_back_to_the_previous_epoch(tmp_path: Path) -> None:
    folders = folders_in(tmp_path)
    with pytest.raises(KeyboardInterrupt), all_or_none(folders):
        folders[0].last.unlink()  # replaced, never written to
        folders[0].last.write_text("epoch 1")
        raise KeyboardInterrupt
    assert [file.read_text() for file in map(last_whole, folders) if file] == ["epoch 0", "epoch 0"]
    roll_back(folders)
    assert [folder.last.read_text() for folder in folders] == ["epoch 0", "epoch 0"]
    assert sorted(tmp_path.iterdir()) == [folder.path for folder in folders]


def test_an_interruption_between_the_first_checkpoints_leaves_none(tmp_path: Path) -> None:
    folders = folders_in(tmp_path)
    for folder in folders:
        folder.last.unlink()
    with pytest.raises(KeyboardInterrupt), all_or_none(folders):
        folders[1].last.write_text("epoch 0")
        raise KeyboardInterrupt
    assert [last_whole(folder) for folder in folders] == [None, None]
    roll_back(folders)
    assert not any(folder.last.exists() for folder in folders)
    assert sorted(tmp_path.iterdir()) == [folder.path for folder in folders]


@pytest.mark.parametrize("deleted", [[0], [1], [0, 1]])
def test_a_folder_deleted_after_an_interruption_starts_again(tmp_path: Path, deleted: list[int]) -> None:
    folders = folders_in(tmp_path)
    with pytest.raises(KeyboardInterrupt), all_or_none(folders):
        raise KeyboardInterrupt
    for seed in deleted:
        shutil.rmtree(folders[seed].path)
    assert [last_whole(folder) is None for folder in folders] == [seed in deleted for seed in range(2)]
    roll_back(folders)
    assert sorted(tmp_path.iterdir()) == [folder.path for seed, folder in enumerate(folders) if seed not in deleted]


@pytest.mark.parametrize("suffix", [".partial", ".done"])
def test_partial_and_finished_journals_are_removed(tmp_path: Path, suffix: str) -> None:
    folders = folders_in(tmp_path)
    left = tmp_path / f"{NAME}seed-0{suffix}"
    left.mkdir()
    (left / "seed-0").write_text("another epoch")
    roll_back(folders)
    assert [folder.last.read_text() for folder in folders] == ["epoch 0", "epoch 0"]
    assert sorted(tmp_path.iterdir()) == [folder.path for folder in folders]
