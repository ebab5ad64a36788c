"""Files are written whole or not at all, and by one process at a time."""

from pathlib import Path

import pytest

from bionets.experiment.errors import UserError
from bionets.experiment.run.run_files import IN_EVERY_RUN
from bionets.experiment.run.run_folder import RunFolder

CONFIG = {"name": "run", "seed": 0}


def test_a_run_folder_can_be_opened_by_one_process_at_a_time(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    held, wanted = folder.open({}, [], {}), RunFolder(folder.path).open({}, [], {})
    with held, pytest.raises(UserError, match="another process"), wanted:
        pass
    with folder.open({}, [], {}):
        pass


def test_partial_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()
    left = [tmp_path / ".config.yaml.7.partial", folder.checkpoints / ".last.ckpt.7.partial"]
    for file in left:
        file.write_text("half")
    with folder.open({}, [], {}):
        assert not any(file.exists() for file in left)


def test_a_run_interrupted_between_manifest_and_result_can_be_resumed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with folder.open(CONFIG, [], {}):
        for name in IN_EVERY_RUN:
            (tmp_path / name).touch()
        folder.write_result({"status": "complete"})
        folder.result_file.unlink()
        folder.write_result({"status": "interrupted"})
    assert folder.result() == {"format": 1, "status": "interrupted"}
    with folder.open(CONFIG, [], {}):
        pass


@pytest.mark.parametrize("name", ["checkpoints", "figures", "figures/loss.png", ".lock", "metrics.csv", "csv"])
def test_a_run_with_a_link_in_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder, elsewhere = RunFolder(tmp_path / "run"), tmp_path / "elsewhere"
    (folder.path / name).parent.mkdir(parents=True)
    (folder.path / name).symlink_to(elsewhere)
    with pytest.raises(UserError, match=f"{name} is a link"), folder.open(CONFIG, [], {}):
        pass
    assert not elsewhere.exists()


def test_links_made_by_wandb_are_accepted(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "latest-run").symlink_to("run-1")
    with folder.open(CONFIG, [], {}):
        pass


@pytest.mark.parametrize("rubbish", [b"", b"seed: 1\n", b"\xff\xfe"])
def test_a_config_file_changed_during_training_is_restored(tmp_path: Path, rubbish: bytes) -> None:
    folder = RunFolder(tmp_path)
    with folder.open({"name": "ü"}, [], {}):
        before = folder.config_file.read_bytes()
        folder.config_file.write_bytes(rubbish)
        folder.write_result({"status": "complete"})
    assert folder.config_file.read_bytes() == before


def test_the_wandb_id_of_a_run_is_created_once(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    identity = folder.wandb_id()
    assert len(identity) == 8
    assert RunFolder(tmp_path).wandb_id() == identity


def test_a_folder_that_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.yaml"):
        RunFolder.existing(tmp_path)
    for seed in (0, 1):
        (tmp_path / f"seed-{seed}").mkdir()
        (tmp_path / f"seed-{seed}" / "config.yaml").touch()
    with pytest.raises(UserError, match="name one of the folders in it, seed-0, seed-1"):
        RunFolder.existing(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(UserError, match=r"result\.json"):
        RunFolder(tmp_path).result()
