"""Files are written whole or not at all; a run's name is its science."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bionets.experiment.config.digest import scientific_digest
from bionets.experiment.errors import UserError
from bionets.experiment.run.run_folder import RunFolder, write_atomically

CONFIG = {
    "model": {"name": "brc", "hidden_size": 4},
    "task": {"name": "copy_first_input", "length": 3},
    "optimizer": {"lr": 0.1},
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "devices": 1, "strategy": "auto"},
    "matmul_precision": "highest",
    "logger": {"wandb": True},
    "seed": 0,
}


@pytest.mark.parametrize(
    ("group", "key", "value", "same"),
    [
        ("model", "hidden_size", 5, False),
        ("task", "length", 4, False),
        ("optimizer", "lr", 0.2, False),
        ("trainer", "max_epochs", 3, False),
        ("trainer", "accelerator", "gpu", True),
        ("trainer", "devices", 2, True),
        ("logger", "wandb", False, True),
    ],
)
def test_the_digest_names_what_can_change_the_result(group: str, key: str, value: object, same: bool) -> None:
    changed = {**CONFIG, group: {**CONFIG[group], key: value}}  # type: ignore[dict-item]
    assert (scientific_digest(changed) == scientific_digest(CONFIG)) is same
    assert scientific_digest({**CONFIG, "seed": 7}) == scientific_digest(CONFIG)


@given(st.binary(), st.binary())
def test_a_file_is_replaced_whole(tmp_path_factory: pytest.TempPathFactory, old: bytes, new: bytes) -> None:
    file = tmp_path_factory.mktemp("atomic") / "file"
    write_atomically(file, old)
    write_atomically(file, new)
    assert file.read_bytes() == new
    assert list(file.parent.iterdir()) == [file]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    write_atomically(file, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    held, wanted = folder.open({}, [], {}), RunFolder(folder.path).open({}, [], {})
    with held, pytest.raises(UserError, match="another process"), wanted:
        pass
    with folder.open({}, [], {}):
        pass


def test_what_a_killed_process_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()
    left = [tmp_path / ".config.yaml.7.partial", folder.checkpoints / ".last.ckpt.7.partial"]
    for file in left:
        file.write_text("half")
    with folder.open({}, [], {}):
        assert not any(file.exists() for file in left)


@pytest.mark.parametrize("rubbish", [b"", b"seed: 1\n", b"\xff\xfe"])
def test_settings_that_were_changed_while_a_run_trained_are_restored(tmp_path: Path, rubbish: bytes) -> None:
    folder = RunFolder(tmp_path)
    with folder.open({"name": "ü"}, [], {}):
        before = folder.config_file.read_bytes()
        folder.config_file.write_bytes(rubbish)
        folder.write_result({"status": "complete"})
    assert folder.config_file.read_bytes() == before


def test_a_wandb_id_is_minted_once(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    identity = folder.wandb_id()
    assert len(identity) == 8
    assert RunFolder(tmp_path).wandb_id() == identity


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.yaml"):
        RunFolder.existing(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(UserError, match=r"result\.json"):
        RunFolder(tmp_path).result()
