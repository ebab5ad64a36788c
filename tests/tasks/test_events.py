"""Event recordings: the published formats, frames that lose no event, disjoint splits, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bionets.tasks import EventRecordings
from bionets.tasks.event_files import EVENT_FILES, read_dat, read_saccades, recordings

from . import event_recordings
from .event_recordings import random_events

SIZES = {"train_size": 20, "val_size": 8, "test_size": 12, "batch_size": 6, "epochs": 1}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    event_recordings.write(folder)
    return folder


def make(data_dir: Path, dataset: str, **keys: object) -> EventRecordings:
    return EventRecordings(**{"dataset": dataset, "data_dir": data_dir, "steps": 4, **SIZES, **keys})


@pytest.mark.parametrize("overflow", [None, 20])
def test_what_was_written_is_read(tmp_path: Path, overflow: int | None) -> None:
    events = random_events(np.random.default_rng(1), 34, 34)
    events[20:, 2] += 9_000  # so that the times after the overflow are not negative without it
    for name, content, read in (
        ("a.bin", event_recordings.saccades(events, overflow), read_saccades),
        ("a.dat", event_recordings.dat(events), read_dat),
    ):
        (tmp_path / name).write_bytes(content)
        found = read(tmp_path / name)
        assert np.array_equal(np.column_stack([found[column] for column in "xytp"]), events)


@pytest.mark.parametrize("dataset", sorted(EVENT_FILES))
def test_frames_hold_every_event_at_its_place_and_time(data_dir: Path, dataset: str) -> None:
    task = make(data_dir, dataset)
    x, target = next(iter(task.val_dataloader()))
    channels, height, width = task.spec.step_shape
    assert x.shape == (4, 6, task.spec.input_size) and task.spec.input_size == 2 * height * width
    files = dict(recordings(task.files, data_dir, "train"))
    (chosen,) = [file for file, label in task._chosen("train")[:1]]
    assert target[0] == files[chosen]
    events = task.files.read(chosen)
    expected = np.zeros((4, channels, height, width))
    start, end = events["t"].min(), events["t"].max()
    step = np.minimum((events["t"] - start) // ((end - start) // 4), 4)
    kept = step < 4  # a bin is a whole number of microseconds: the last few belong to none
    np.add.at(expected, (step[kept], events["p"][kept], events["y"][kept], events["x"][kept]), 1)
    assert np.array_equal(x[:, 0].view(expected.shape).numpy(), expected)


def test_smaller_binary_frames(data_dir: Path) -> None:
    plain, _ = next(iter(make(data_dir, "n_mnist").val_dataloader()))
    binary, _ = next(iter(make(data_dir, "n_mnist", binary=True).val_dataloader()))
    assert torch.equal(binary, (plain > 0).float())
    task = make(data_dir, "n_mnist", height=17, width=17)
    half, _ = next(iter(task.val_dataloader()))
    pooled = plain.view(4, 6, 2, 17, 2, 17, 2).sum((4, 6))
    assert torch.equal(half.view(pooled.shape), pooled)


@pytest.mark.parametrize("dataset", sorted(EVENT_FILES))
def test_no_recording_is_in_two_sets(data_dir: Path, dataset: str) -> None:
    task = make(data_dir, dataset)
    train, test = ([file for file, _ in task._chosen(split)] for split in ("train", "test"))
    assert len({*train, *test}) == 20 + 8 + 12
    for data, size in ((task.train_data(0), 20), (task.val_data(), 8), (task.test_data("test"), 12)):
        assert len(data[0]) == len(data[1]) == size
    assert not set(task.train_data(0)[0].tolist()) & set(task.val_data()[0].tolist())


def test_frames_are_made_once_and_anew_for_other_settings(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = next(iter(make(data_dir, "n_cars").test_dataloader()[0]))
    with monkeypatch.context() as patch:
        patch.setattr(EventRecordings, "to_frames", None)  # nothing to make frames with
        again, _ = next(iter(make(data_dir, "n_cars").test_dataloader()[0]))
    assert torch.equal(first, again)
    other, _ = next(iter(make(data_dir, "n_cars", steps=5).test_dataloader()[0]))
    assert other.shape[0] == 5


def test_what_is_missing_or_damaged_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"n-cars_train is missing: get n_cars from https"):
        make(tmp_path, "n_cars").prepare_data()
    event_recordings.write(tmp_path)
    with pytest.raises(ValueError, match=r"task.val_size \+ task.train_size must be at most 40, got 8 \+ 99"):
        make(tmp_path, "n_mnist", train_size=99).prepare_data()
    with pytest.raises(ValueError, match="n_caltech"):
        make(tmp_path, "n_caltech")
    task = make(tmp_path, "n_mnist")
    damaged = task._chosen("train")[3][0]
    damaged.write_bytes(bytes([200, 100, 0, 0, 0, 0, 0, 0, 0, 9]))  # a place outside of the sensor
    with pytest.raises(ValueError, match=f"{damaged.name} is damaged"):
        task.prepare_data()
    for file in (tmp_path / "NMNIST" / "Test" / "3").iterdir():
        file.unlink()
    (tmp_path / "NMNIST" / "Test" / "3").rmdir()
    with pytest.raises(ValueError, match="each of the 10 classes"):
        make(tmp_path, "n_mnist").test_data("test")


@pytest.mark.parametrize("dataset", ["n_mnist", "n_cars"])
def test_a_recording_that_is_cut_off_is_named(tmp_path: Path, dataset: str) -> None:
    event_recordings.write(tmp_path)
    task = make(tmp_path, dataset)
    damaged = task._chosen("train")[2][0]
    damaged.write_bytes(damaged.read_bytes()[:-3])
    with pytest.raises(ValueError, match=f"{damaged.name} is damaged .it is cut off"):
        task.prepare_data()


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "not ours"])
def test_frames_that_are_not_as_they_were_written_are_made_anew(tmp_path: Path, damage: str) -> None:
    event_recordings.write(tmp_path)
    first, _ = next(iter(make(tmp_path, "n_mnist").val_dataloader()))
    for file in (tmp_path / "NMNIST" / "frames").iterdir():
        content = bytearray(file.read_bytes())
        content[-100] ^= 4
        file.write_bytes(
            {"cut": file.read_bytes()[:-50], "flipped": content, "empty": b"", "not ours": b"x" * 99}[damage]
        )
    again, _ = next(iter(make(tmp_path, "n_mnist").val_dataloader()))
    assert torch.equal(first, again)
