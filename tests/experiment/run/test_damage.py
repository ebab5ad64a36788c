"""Every file of a run, damaged in every way: a one-line error that names the file, or the values that it holds."""

import json
import os
import random
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from bionets.experiment.commands.runs import print_runs
from bionets.experiment.comparison.groups import grouped, notes
from bionets.experiment.comparison.leaderboard import leaderboard
from bionets.experiment.comparison.run_list import listed
from bionets.experiment.comparison.runs import Run, read_folders, readable
from bionets.experiment.errors import UserError
from bionets.experiment.run.checkpoint_content import fault_of_content
from bionets.experiment.run.checkpoints import read_checkpoint
from bionets.experiment.run.metrics_file import keep_epochs_before, read_metrics
from bionets.experiment.run.own_files import changed_since
from bionets.experiment.run.recorded_arrays import read_recorded_arrays, write_npz
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.run.trained import load_trained
from tests.acceptance.conftest import SMALL, Command, Outcome, cli, the_run, workplace
from tests.fuzz.damage import damages

__all__ = ["cli", "workplace"]  # fixtures

# Kinds of damage that the quick suite tries on each file; the fuzzer tries all. A manifest finds each by the digest.
WITH_MANIFEST, WITHOUT_MANIFEST = 10, 40
FILES = (
    *("config.yaml", "overrides.yaml", "environment.json", "result.json"),
    *("metrics.csv", "manifest.json", "wandb.json"),
)
CHECKPOINTS = ("checkpoints/best.ckpt", "checkpoints/last.ckpt")
TINY = (*SMALL, "trainer.max_epochs=2", "model.num_layers=1", "task.train_size=20", "task.test_size=20")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the run is made, once."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture
def run(made: Path, cli: Command, workplace: Path) -> RunFolder:
    """A copy of the run."""
    if not (made / "outputs").exists():
        assert cli("train", *TINY, f"paths.output_dir={made}/outputs").code == 0
        the_run(made / "outputs").wandb_id()
    shutil.copytree(made / "outputs", workplace / "outputs")
    return the_run(workplace / "outputs")


@contextmanager
def context(note: str) -> Iterator[None]:
    """Adds the kind of damage to whatever is raised."""
    try:
        yield
    except BaseException as error:
        error.add_note(note)
        raise


def one_line(error: UserError, *words: str) -> None:
    message = str(error)
    assert message and "\n" not in message and len(message) < 1000 and message.isprintable()
    assert all(word in message for word in words), message


def read_everything(folder: RunFolder) -> None:
    """Read what evaluate, compare, analyse and a resumed training read; anything but a UserError is a fault."""
    for read in (
        folder.config,
        folder.result,
        folder.complete,
        folder.changed_files,
        folder.wandb_id,
        lambda: changed_since(folder, {"my_cells": "0"}),
        lambda: print_runs([listed(folder)], figures=True),
        lambda: read_metrics(folder.metrics_file),
        lambda: keep_epochs_before(folder.metrics_file, 1),
        lambda: load_trained(folder.path),
        lambda: read_checkpoint(folder.last),
    ):
        try:
            read()
        except UserError as error:
            one_line(error, str(folder.path))
    try:
        runs, left_out = read_folders(str(folder.path))
    except UserError as error:  # no config.yaml
        one_line(error)
        return
    found, damaged = readable(runs)
    assert len(found) + len(damaged) + len(left_out) == 1
    if found:
        notes(grouped(found, ["model"]), ["model"])
        leaderboard(found)
    for missing in (*damaged, *left_out):
        assert missing.reason.isprintable()


@pytest.mark.parametrize("number", [WITH_MANIFEST, WITHOUT_MANIFEST], ids=["with a manifest", "without"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_gives_at_most_a_one_line_error(run: RunFolder, name: str, number: int) -> None:
    file = run.path / name
    if number == WITHOUT_MANIFEST and name != "manifest.json":
        run.manifest_file.unlink()
    kinds = list(damages(file))
    kinds = random.Random(name).sample(kinds, min(len(kinds), number))
    whole = {each: each.read_bytes() for each in run.path.rglob("*") if each.is_file()}
    for kind, content in kinds:
        file.write_bytes(content)
        with context(f"{name}: {kind}"):
            read_everything(run)
        for each, before in whole.items():
            each.write_bytes(before)
    assert not list(run.path.rglob("planted")) and not Path("planted").exists()


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_damaged_checkpoint_gives_at_most_a_one_line_error(run: RunFolder, name: str) -> None:
    run.manifest_file.unlink()
    file = run.path / name
    for kind, content in list(damages(file, flips=20)):
        file.write_bytes(content)
        with context(f"{name}: {kind}"):
            try:
                read_checkpoint(file)
                load_trained(run.path, file.stem)
            except UserError as error:
                one_line(error, str(run.path))


def test_a_flipped_bit_in_a_checkpoint_is_detected_or_changes_nothing(run: RunFolder) -> None:
    content, source = run.best.read_bytes(), random.Random(0)
    expected = read_checkpoint(run.best)["state_dict"]
    found = 0
    for _ in range(200):
        place = source.randrange(len(content))
        flipped = bytearray(content)
        flipped[place] ^= 1 << source.randrange(8)
        run.best.write_bytes(flipped)
        try:
            state = read_checkpoint(run.best)["state_dict"]
            assert all(torch.equal(state[name], value) for name, value in expected.items())
        except UserError:
            found += 1
        with pytest.raises(UserError, match=r"best\.ckpt"):  # the manifest has the digest of the whole file
            load_trained(run.path)
    assert found > 100


@pytest.mark.parametrize("missing", [*FILES, *CHECKPOINTS])
def test_a_missing_file_gives_at_most_a_one_line_error(run: RunFolder, missing: str) -> None:
    (run.path / missing).unlink()
    read_everything(run)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_the_place_of_a_file_gives_at_most_a_one_line_error(run: RunFolder, name: str) -> None:
    (run.path / name).unlink()
    (run.path / name).mkdir()
    read_everything(run)


@pytest.fixture
def ten_seconds() -> Iterator[None]:
    """An error that nothing catches where a test waits for ever, as reading a pipe does."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", [*FILES, *CHECKPOINTS, ".lock", "positions.npz"])
def test_a_pipe_in_the_place_of_a_file_is_not_read(run: RunFolder, name: str, ten_seconds: None) -> None:
    (run.path / name).unlink(missing_ok=True)
    os.mkfifo(run.path / name)
    for file in (run.manifest_file, run.result_file):
        read_everything(run)
        file.unlink(missing_ok=True)
    with suppress(UserError):
        read_recorded_arrays(run.path / "positions.npz")


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_lock_that_is_a_link_or_a_folder_does_not_prevent_listing(run: RunFolder, tmp_path: Path, kind: str) -> None:
    lock, elsewhere = run.path / ".lock", tmp_path / "elsewhere"
    elsewhere.write_text("kept")
    lock.unlink(missing_ok=True)
    run.result_file.unlink()
    if kind == "link":
        lock.symlink_to(elsewhere)
    else:
        lock.mkdir()
    assert listed(run).status == "stopped"
    assert elsewhere.read_text() == "kept"


@pytest.mark.parametrize("value", [None, "text", 3, [1]])
def test_a_run_whose_callbacks_are_not_a_mapping_is_left_out_of_a_comparison(run: RunFolder, value: object) -> None:
    run.manifest_file.unlink()
    run.config_file.write_text(yaml.safe_dump({**yaml.safe_load(run.config_file.read_text()), "callbacks": value}))
    found, (missing,) = read_folders("outputs")
    assert found == []
    assert "config.yaml: callbacks" in missing.reason


@pytest.mark.parametrize("file", ["result.json", "metrics.csv"])
def test_a_run_with_a_number_too_large_to_be_squared_is_left_out_of_a_comparison(
    run: RunFolder, cli: Command, file: str
) -> None:
    run.manifest_file.unlink()
    whole = shutil.copytree(run.path, run.path.parent / "seed-7")
    for name in ("config.yaml", "result.json"):
        (whole / name).write_text((whole / name).read_text().replace("seed: 0", "seed: 7"))
    if file == "result.json":
        result = json.loads(run.result_file.read_text())
        result["metrics"]["test/loss"] = -1e308
        run.result_file.write_text(json.dumps(result))
    else:
        run.metrics_file.write_text(run.metrics_file.read_text() + "9,9,val/loss,1e308\n")
    outcome = cli("compare", "runs=outputs")
    assert outcome.code == 0, outcome.error
    assert f"{run.path.relative_to(Path.cwd())}" in outcome.out
    assert "its test/loss is -1e+308" in outcome.out or "its val/loss is too large" in outcome.out


@pytest.mark.parametrize(
    ("name", "old", "new", "word"),
    [
        ("config.yaml", "seed: 0\n", "seed: 1\n", "config.yaml"),
        ("result.json", '"steps": ', '"steps": 1', "result.json"),
        ("metrics.csv", ",0,train/loss,", ",1,train/loss,", "metrics.csv"),
    ],
)
def test_a_plausible_change_of_a_file_is_detected_by_its_digest(
    run: RunFolder, name: str, old: str, new: str, word: str
) -> None:
    file = run.path / name
    file.write_text(file.read_text().replace(old, new, 1))
    runs, left_out = read_folders(str(run.path))
    _, damaged = readable(runs)
    (missing,) = [*left_out, *damaged]
    assert f"{word} is not as the run wrote it" in missing.reason
    run.manifest_file.unlink()  # taken as they are, then; but a seed must still be one
    runs, left_out = read_folders(str(run.path))
    assert [type(each) for each in readable(runs)[0]] == ([] if name == "config.yaml" else [Run])


@pytest.mark.parametrize("key", ["test/loss", "val/loss"])
def test_a_run_with_a_metric_that_is_nan_is_left_out_of_a_comparison(run: RunFolder, cli: Command, key: str) -> None:
    run.manifest_file.unlink()
    result = json.loads(run.result_file.read_text())
    result["metrics"][key] = float("nan")
    run.result_file.write_text(json.dumps(result))
    whole = shutil.copytree(run.path, run.path.parent / "seed-7")
    for name in ("config.yaml", "result.json"):
        text = (whole / name).read_text().replace("seed: 0", "seed: 7").replace("NaN", "0.5")
        (whole / name).write_text(text)
    outcome = cli("compare", "runs=outputs")
    assert outcome.code == 0
    assert f"its {key} is nan: {run.path.relative_to(Path.cwd())}" in outcome.out


def refused(outcome: Outcome, *words: str) -> None:
    assert outcome.code == 1 and outcome.error.startswith("error: ") and outcome.error.count("\n") == 1, outcome
    assert all(word in outcome.error for word in words), outcome.error


def test_weights_that_are_nan_are_refused_by_name(run: RunFolder, cli: Command) -> None:
    run.manifest_file.unlink()
    checkpoint = torch.load(run.best, weights_only=True)
    checkpoint["state_dict"]["readout.bias"][0] = float("nan")
    torch.save(checkpoint, run.best)
    refused(cli("evaluate", f"run={run.path}"), "readout.bias", "NaN")


@pytest.mark.parametrize("part", ["state_dict", "optimizer_states", "callbacks"])
@pytest.mark.parametrize(
    "tensor",
    [
        torch.eye(3).to_sparse(),
        torch.zeros(3, device="meta"),
        torch.zeros(2 * 10**6).as_strided((10**6, 10**6), (1, 1)),
    ],
    ids=["sparse", "meta", "overlapping"],
)
def test_sparse_meta_and_overlapping_tensors_in_a_checkpoint_are_refused(
    run: RunFolder, part: str, tensor: torch.Tensor
) -> None:
    checkpoint = torch.load(run.last, weights_only=True)
    holder = checkpoint[part][0] if part == "optimizer_states" else checkpoint[part]
    holder["planted"] = tensor
    torch.save(checkpoint, run.last)
    with pytest.raises(UserError, match=f"its {part} holds a tensor"):
        read_checkpoint(run.last)


def test_an_expanded_weight_is_refused_without_allocating_its_memory(run: RunFolder) -> None:
    run.manifest_file.unlink()
    checkpoint = torch.load(run.best, weights_only=True)
    checkpoint["state_dict"]["readout.bias"] = torch.zeros(1).expand(10**15)
    torch.save(checkpoint, run.best)
    with pytest.raises(UserError, match="does not fit the model"):
        load_trained(run.path)


@pytest.mark.parametrize("wrong", [None, "x", -1, 10**30, [1], 0.5])
def test_an_invalid_epoch_counter_is_refused(run: RunFolder, wrong: object) -> None:
    checkpoint = torch.load(run.last, weights_only=True)
    checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["ready"] = wrong
    torch.save(checkpoint, run.last)
    with pytest.raises(UserError, match="loops"):
        read_checkpoint(run.last)


@pytest.mark.parametrize(
    ("part", "key", "wrong"),
    [
        ("state", "exp_avg", torch.zeros(7)),
        ("state", "exp_avg_sq", None),
        ("state", "step", torch.tensor(-5.0)),
        ("param_groups", "lr", None),
        ("param_groups", "lr", 10**400),
        ("param_groups", "betas", 0.5),
    ],
)
def test_an_invalid_optimizer_state_gives_a_one_line_error(
    run: RunFolder, cli: Command, part: str, key: str, wrong: object
) -> None:
    run.result_file.unlink()
    run.manifest_file.unlink()
    checkpoint = torch.load(run.last, weights_only=True)
    to_epoch_0(checkpoint)
    checkpoint["optimizer_states"][0][part][0][key] = wrong
    torch.save(checkpoint, run.last)
    best = torch.load(run.best, weights_only=True)
    to_epoch_0(best)  # training would go on after a later epoch
    torch.save(best, run.best)
    refused(cli("train", *TINY), "last.ckpt does not fit the run")


def to_epoch_0(checkpoint: dict[str, Any]) -> None:
    """Make training go on after the first epoch."""
    checkpoint["epoch"] = 0
    for count in (checkpoint["loops"]["fit_loop"]["epoch_progress"][each] for each in ("total", "current")):
        count.update(dict.fromkeys(count, 1))


@pytest.mark.parametrize("path", ["elsewhere/..", "..", "elsewhere/other.ckpt"])
def test_a_resumed_run_deletes_no_file_that_its_checkpoint_names(run: RunFolder, cli: Command, path: str) -> None:
    run.result_file.unlink()
    run.manifest_file.unlink()
    kept = run.checkpoints / "other.ckpt"
    kept.touch()
    checkpoint = torch.load(run.last, weights_only=True)
    to_epoch_0(checkpoint)
    for key, state in checkpoint["callbacks"].items():
        if key.startswith("MovableCheckpoint"):
            worst = torch.tensor(1e9)
            state |= {"best_model_path": path, "kth_best_model_path": path, "best_k_models": {path: worst}}
            state |= {"best_model_score": worst, "kth_value": worst}
    torch.save(checkpoint, run.last)
    outcome = cli("train", *TINY)
    assert outcome.code == 0, outcome.error
    assert kept.exists() and run.best.exists()


def test_an_analysis_does_not_follow_a_link_out_of_the_run(run: RunFolder, cli: Command, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (run.path / "analysis").symlink_to(elsewhere)
    refused(cli("analyse", f"run={run.path}", "method=dynamics"), "analysis", "is a link")
    assert not any(elsewhere.iterdir())


def test_an_evaluation_does_not_draw_into_another_folder(run: RunFolder, cli: Command, tmp_path: Path) -> None:
    shutil.rmtree(run.figures, ignore_errors=True)
    run.figures.symlink_to(tmp_path)
    refused(cli("evaluate", f"run={run.path}"), "figures", "is a link")


def test_evaluate_notes_a_changed_file_that_it_does_not_need(run: RunFolder, cli: Command) -> None:
    run.metrics_file.write_text(run.metrics_file.read_text() + "9,1,val/loss,0.5\n")
    outcome = cli("evaluate", f"run={run.path}")
    assert outcome.code == 0 and "metrics.csv is not as the run wrote it" in outcome.out


def test_a_resumed_run_refuses_damaged_files_and_continues_from_undamaged_ones(run: RunFolder, cli: Command) -> None:
    run.result_file.unlink()
    run.manifest_file.unlink()
    checkpoint, metrics = run.last.read_bytes(), run.metrics_file.read_bytes()
    again = ("train", *TINY)
    for damaged in (metrics.replace(b"0,0,", b"0,1,", 1), b"", metrics[:-60], metrics.replace(b"loss", b"lost", 1)):
        run.metrics_file.write_bytes(damaged)
        refused(cli(*again), "metrics.csv")
    run.metrics_file.unlink()
    refused(cli(*again), "metrics.csv")
    run.metrics_file.write_bytes(metrics)
    place = checkpoint.rfind(b"readout") // 2
    for damaged in (checkpoint[:-1], checkpoint[:place] + bytes([checkpoint[place] ^ 1]) + checkpoint[place + 1 :]):
        run.last.write_bytes(damaged)
        refused(cli(*again), "last.ckpt")
    for key in ("loops", "state_dict", "optimizer_states"):
        run.last.write_bytes(checkpoint)
        content = torch.load(run.last, weights_only=True)
        content[key] = type(content[key])()
        torch.save(content, run.last)
        refused(cli(*again), "last.ckpt")
    run.last.write_bytes(checkpoint)
    best = run.best.read_bytes()
    content = torch.load(run.best, weights_only=True)
    content["state_dict"] = {}
    torch.save(content, run.best)
    refused(cli(*again), "best.ckpt")
    run.best.write_bytes(best)
    assert cli(*again).code == 0
    assert run.metrics_file.read_bytes() == metrics
    assert run.changed_files() == {}


def test_a_run_without_its_best_epoch_is_refused_before_it_trains_further(run: RunFolder, cli: Command) -> None:
    run.result_file.unlink()
    run.manifest_file.unlink()
    best = run.best.read_bytes()
    run.best.unlink()
    refused(cli("train", *TINY), "best.ckpt is missing: restore it, or delete the folder")
    run.best.write_bytes(best)
    assert cli("train", *TINY).code == 0


def test_damaged_positions_give_a_one_line_error(tmp_path: Path) -> None:
    file = tmp_path / "positions.npz"
    positions = {"epoch": np.arange(3), "layer_0": np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)}
    write_npz(file, positions)
    for name, content in list(damages(file, flips=30)):
        if name.endswith("flatter"):
            continue  # recorded arrays have any shape; the figure of positions checks theirs
        file.write_bytes(content)
        try:
            read = read_recorded_arrays(file)
        except UserError as error:
            one_line(error, "positions.npz")
        else:  # nothing was lost
            assert name in ("without layer_0", "twice") or name.startswith("bit flip"), name
            assert all(np.array_equal(values, positions[key]) for key, values in read.items())


def test_extra_states_in_a_checkpoint_may_be_other_than_tensors_but_weights_may_not() -> None:
    content = {
        "state_dict": {"net.weight": torch.ones(2), "net._extra_state": {"steps": 3}},
        "epoch": 0,
        "global_step": 0,
        "callbacks": {},
        "loops": {"fit_loop": {}},
        "optimizer_states": [{"state": [torch.ones(2)]}],
        "lr_schedulers": [],
    }
    assert fault_of_content(content) is None
    assert fault_of_content({**content, "epoch": -1}) == "its epoch is -1"
    wrong = {**content, "state_dict": {"net.weight": {"steps": 3}}}
    assert fault_of_content(wrong) == "its state_dict holds something other than tensors"
