"""User-defined event recordings, in a folder for each class."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from bionets.tasks import CustomEvents
from bionets.tasks.custom_events import read_recording
from bionets.tasks.event_frames import count_events

from .event_recordings import NAMES, random_events, save, write_own


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".bin", ".dat"])
def test_recordings_in_every_format_are_read_back(tmp_path: Path, suffix: str) -> None:
    events = random_events(np.random.default_rng(1), 12, 9)
    found = read_recording(save(tmp_path / f"a{suffix}", events))
    assert np.array_equal(np.column_stack([found[name] for name in NAMES]), events)


def test_a_folder_of_recordings_gives_a_task_with_disjoint_splits(tmp_path: Path) -> None:
    task = CustomEvents(write_own(tmp_path / "mine"), steps=5)
    assert task.classes == ("left", "right")
    assert (task.spec.output_size, task.spec.steps, task.spec.step_shape) == (2, 5, (2, 9, 12))
    parts = [task.train_data(0), task.val_data(), task.test_data("test")]
    assert [len(labels) for _, labels in parts] == [16, 2, 2]
    numbers = torch.cat([numbers for numbers, _ in parts])
    assert len(numbers.unique()) == 20
    for batches in (task.train_batches(0), task.val_dataloader(), task.test_dataloader()[0]):
        x, target = next(iter(batches))
        assert x.shape == (5, len(target), 2 * 9 * 12)
        assert x.sum((0, 2)).tolist() == [60.0] * len(target)  # no event is lost


def test_classes_of_other_recordings_have_the_numbers_of_training(tmp_path: Path) -> None:
    folder = write_own(tmp_path / "mine")
    other = CustomEvents(folder, steps=5, class_names={"class": ["right", "up", "left"]})
    assert other.spec.output_size == 3
    assert {file.parent.name: number for file, number in other.found} == {"left": 2, "right": 0}
    with pytest.raises(ValueError, match="has the class left, which training did not know: right"):
        CustomEvents(folder, steps=5, class_names={"class": ["right"]})


def test_a_frame_holds_the_events_of_its_file(tmp_path: Path) -> None:
    task = CustomEvents(write_own(tmp_path / "mine"), steps=5, sensor=(20, 16))
    x, target = next(iter(task.val_dataloader()))
    for column, (file, label) in enumerate(task._chosen("train")[:2]):
        frames = count_events(read_recording(file), 5, (20, 16), (20, 16))
        assert torch.equal(x[:, column], torch.from_numpy(frames).flatten(1).float())
        assert target[column] == label


def test_windows_of_fixed_duration_count_their_events() -> None:
    events = random_events(np.random.default_rng(2), 12, 9, events=200)
    structured = np.array([tuple(row) for row in events.tolist()], [(name, np.int64) for name in NAMES])
    frames = count_events(structured, 4, (12, 9), (12, 9), window=1_000)
    first = events[0, 2]
    counts = [((events[:, 2] - first) // 1_000 == step).sum() for step in range(4)]
    assert frames.sum((1, 2, 3)).tolist() == counts
    assert 0 < sum(counts) < 200  # what comes later is left out
    empty = count_events(structured, 40, (12, 9), (12, 9), window=1_000)
    assert empty.sum() == 200 and empty[12:].sum() == 0


def test_a_window_is_rounded_to_whole_microseconds(tmp_path: Path) -> None:
    assert 1.001 * 1000 < 1001
    task = CustomEvents(write_own(tmp_path / "mine"), steps=3, bin_ms=1.001)
    times = [0, 1000, 1001, 2001, 2002]
    events = np.array([(0, 0, t, 0) for t in times], [(name, np.int64) for name in NAMES])
    assert task.to_frames(events).sum((1, 2, 3)).tolist() == [2, 2, 1]


def test_a_single_channel_counts_both_polarities(tmp_path: Path) -> None:
    data = write_own(tmp_path / "mine")
    two, one = (CustomEvents(data, steps=5, bin_ms=2.5, channels=channels) for channels in (2, 1))
    assert one.spec.step_shape == (1, 9, 12) and one.spec.input_size * 2 == two.spec.input_size
    (x, _), (together, _) = next(iter(two.val_dataloader())), next(iter(one.val_dataloader()))
    assert torch.equal(x.unflatten(2, (2, -1)).sum(2), together)


def test_another_split_seed_gives_another_split(tmp_path: Path) -> None:
    data = write_own(tmp_path / "mine")
    splits = [CustomEvents(data, split_seed=seed)._chosen("test") for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"bin_ms": 0}, "bin_ms must be at least"),
        ({"bin_ms": math.inf}, "bin_ms must be at least"),
        ({"channels": 3}, "channels must be 2"),
        ({"steps": 0}, "steps"),
    ],
)
def test_invalid_options_are_refused(tmp_path: Path, keys: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CustomEvents(write_own(tmp_path / "mine"), **keys)  # type: ignore[arg-type]


def test_invalid_files_are_refused_by_name(tmp_path: Path) -> None:
    data = write_own(tmp_path / "mine")
    for suffix in (".npy", ".npz", ".csv", ".bin", ".dat"):
        file = tmp_path / "mine" / "left" / f"broken{suffix}"
        file.write_bytes(b"no events" * 3)
        with pytest.raises(ValueError, match=f"broken\\{suffix}"):
            CustomEvents(data).train_data(0)
        file.unlink()
    with pytest.raises(ValueError, match="at least two classes"):
        CustomEvents(str(tmp_path / "mine" / "left"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("3,4,,1", "t has empty cells"),
        ("3,4,nan,1", "t has empty cells, NaN or infinity"),
        ("3,4,50,", "p has empty cells"),
        ("3.5,4,50,1", "x and y must be whole numbers"),
    ],
)
def test_values_that_are_no_events_are_refused(tmp_path: Path, row: str, message: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"x,y,t,p\n1,2,3,0\n{row}\n")
    with pytest.raises(ValueError, match=rf"a\.csv cannot be read as events with x, y, t and p \({message}"):
        read_recording(file)


def test_times_in_seconds_are_refused(tmp_path: Path) -> None:
    columns = {name: np.arange(9) for name in "xyp"}
    np.savez(tmp_path / "a.npz", t=np.arange(9) / 8, **columns)
    with pytest.raises(ValueError, match="t has fractions and spans less than 1000: give it in microseconds"):
        read_recording(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", t=np.arange(9) * 1000.5, **columns)
    assert read_recording(tmp_path / "a.npz")["t"].tolist() == [int(n * 1000.5) for n in range(9)]
    np.savez(tmp_path / "a.npz", t=np.arange(1), **columns)
    with pytest.raises(ValueError, match="x, y, t and p differ in length"):
        read_recording(tmp_path / "a.npz")


def test_advice_on_own_recordings_does_not_concern_a_download(tmp_path: Path) -> None:
    data = write_own(tmp_path / "mine")
    with pytest.raises(ValueError, match=r"outside of the sensor\): correct it or leave it out; .* a larger sensor$"):
        CustomEvents(data, sensor=(5, 5)).prepare_data()
    for sensor in ([34], [34, 0], [34, 34, 2]):
        with pytest.raises(ValueError, match=r"sensor must be the columns and rows of the camera, as in \[34, 34\]"):
            CustomEvents(data, sensor=sensor)  # type: ignore[arg-type]
    broken = tmp_path / "mine" / "left" / "broken.npy"
    broken.write_bytes(b"no events")
    with pytest.raises(ValueError) as error:
        CustomEvents(data, sensor=(12, 9)).prepare_data()
    assert str(error.value).count("broken.npy") == 1


def test_a_folder_without_recordings_is_not_a_class(tmp_path: Path) -> None:
    data = write_own(tmp_path / "mine")
    before = CustomEvents(data)
    (tmp_path / "mine" / "0 empty").mkdir()
    task = CustomEvents(data)
    assert task.classes == before.classes and task.found == before.found
