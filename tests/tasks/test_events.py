"""Event recordings: the published formats, frames that lose no event, disjoint splits, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bionets.tasks import EventRecordings
from bionets.tasks.event_files import EVENT_FILES, recordings
from bionets.tasks.event_formats import read_dat, read_dvs128, read_gesture, read_saccades
from bionets.tasks.event_frames import count_events, dense_frames, make_frames

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
def test_recordings_in_published_formats_are_read_back(tmp_path: Path, overflow: int | None) -> None:
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
    for event in events:
        duration = int(events["t"].max()) - int(events["t"].min()) + 1  # both ends included
        step = next(n for n in range(4) if 4 * (int(event["t"]) - int(events["t"].min())) < (n + 1) * duration)
        expected[step, event["p"], event["y"], event["x"]] += 1
    assert expected.sum() == len(events)
    assert np.array_equal(x[:, 0].view(expected.shape).numpy(), expected)


def test_recordings_of_dvs_gesture_and_cifar10_dvs_are_read_back(tmp_path: Path) -> None:
    events = random_events(np.random.default_rng(2), 128, 128)
    (tmp_path / "a.aedat").write_bytes(event_recordings.aedat(events))
    found = read_dvs128(tmp_path / "a.aedat")
    assert np.array_equal(np.column_stack([found[column] for column in "xytp"]), events)
    event_recordings.save_gesture(tmp_path / "a.npy", events)
    found = read_gesture(tmp_path / "a.npy")
    events[:, 2] -= events[:, 2] % 1000
    assert np.array_equal(np.column_stack([found[column] for column in "xytp"]), events)


def test_the_class_of_a_gesture_is_the_name_of_its_file(data_dir: Path, tmp_path: Path) -> None:
    task = make(data_dir, "dvs_gesture", channels=1, height=32, width=32, bin_ms=2.5)
    assert task.spec.step_shape == (1, 32, 32) and task.spec.output_size == 11
    found = recordings(task.files, data_dir, "test")
    assert len(found) == 40 and {label for _, label in found} == set(range(11))
    assert all(file.name == f"{label}.npy" for file, label in found)
    event_recordings.save_gesture(
        tmp_path / "DVSGesture" / "ibmGestureTest" / "user1_led" / "11.npy", events_at_random()
    )
    with pytest.raises(ValueError, match=r"11.npy must have a name from 0 to 10, that of a class"):
        make(tmp_path, "dvs_gesture").test_data("test")


def events_at_random() -> event_recordings.Columns:
    return random_events(np.random.default_rng(3), 128, 128)


@pytest.mark.parametrize(
    ("dataset", "content", "message"),
    [
        ("cifar10_dvs", b"#!AER-DAT3.1\r\n", "not of version 2.0"),
        ("cifar10_dvs", b"#!AER-DAT2.0\r\n\0\0\0", "truncated"),
        ("cifar10_dvs", b"#!AER-DAT2.0\r\n", "no events"),
        ("dvs_gesture", b"\x93NUMPY", "is damaged"),
    ],
)
def test_files_in_unsupported_formats_are_refused(tmp_path: Path, dataset: str, content: bytes, message: str) -> None:
    event_recordings.write(tmp_path)
    task = make(tmp_path, dataset)
    task._chosen("train")[2][0].write_bytes(content)
    with pytest.raises(ValueError, match=message):
        task.prepare_data()


def test_a_missing_data_set_is_refused_with_its_address(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"CIFAR10DVS.aedat is missing: get cifar10_dvs from https:..figshare"):
        make(tmp_path, "cifar10_dvs").prepare_data()


def events_at(*rows: tuple[int, int, int, int]) -> np.ndarray:
    return np.array(list(rows), dtype=[(name, np.uint16 if name in "xy" else np.int64) for name in "xytp"])


def test_the_last_event_and_a_single_event_are_kept() -> None:
    single = count_events(events_at((3, 2, 7, 1)), 5, (8, 6), (8, 6))
    assert single.shape == (5, 2, 6, 8) and single.sum() == 1 and single[0, 1, 2, 3] == 1
    few = count_events(events_at((0, 0, 0, 0), (1, 0, 1, 0), (2, 0, 2, 0)), 5, (8, 6), (8, 6))
    assert few.sum((1, 2, 3)).tolist() == [1, 1, 0, 1, 0]  # fewer microseconds than steps
    many = count_events(events_at(*((0, 0, t, 0) for t in range(100, 120))), 5, (8, 6), (8, 6))
    assert many.sum((1, 2, 3)).tolist() == [4] * 5


@pytest.mark.parametrize("count", [255, 256, 300])
def test_many_events_at_one_place_are_all_counted(tmp_path: Path, count: int) -> None:
    (tmp_path / "a").touch()
    events = events_at(*((0, 0, 0, 0) for _ in range(count)))
    frames = make_frames(
        [tmp_path / "a"], lambda file: events, lambda events: count_events(events, 1, (1, 1), (1, 1)), ""
    )
    assert dense_frames(frames, torch.tensor([0]), 1).tolist() == [[[count, 0.0]]]


@given(
    st.lists(st.tuples(*(st.integers(0, high) for high in (7, 5, 10**6, 1))), min_size=1, max_size=30),
    st.integers(1, 12),
    st.sampled_from([(8, 6), (4, 3), (3, 5), (16, 12)]),
)
def test_no_event_is_lost_at_any_resolution(rows: list[tuple[int, int, int, int]], steps: int, size: tuple) -> None:
    events = events_at(*sorted(rows, key=lambda row: row[2]))
    frames = count_events(events, steps, (8, 6), size)
    first, last = events["t"].min(), events["t"].max()
    expected = np.zeros((steps, 2, size[1], size[0]))
    for x, y, t, p in rows:
        expected[steps * (t - first) // (last - first + 1), p, y * size[1] // 6, x * size[0] // 8] += 1
    assert np.array_equal(frames, expected)
    assert frames[0].any() and (frames[-1].any() or np.ptp(events["t"]) < steps)
    later = events.copy()
    later["t"] += 12_345
    assert np.array_equal(count_events(later, steps, (8, 6), size), frames)


def test_denoising_keeps_events_with_a_recent_neighbour() -> None:
    events = events_at((1, 1, 0, 0), (1, 2, 5, 0), (1, 2, 6, 1), (7, 5, 7, 0), (2, 2, 50, 0), (2, 1, 59, 0))
    kept = count_events(events, 60, (8, 6), (8, 6), denoise=10)
    assert np.argwhere(kept).tolist() == [[5, 0, 2, 1], [6, 1, 2, 1], [59, 0, 1, 2]]


def test_denoising_does_not_depend_on_the_order_in_which_events_are_stored() -> None:
    rng = np.random.default_rng(0)
    times = rng.permutation(200)  # no two at the same time, whose order would matter
    events = events_at(*((*rng.integers(0, (8, 6)), t, 0) for t in times))
    frames = [count_events(each, 20, (8, 6), (8, 6), denoise=10) for each in (events, np.sort(events, order="t"))]
    assert 0 < frames[0].sum() < 200 and np.array_equal(*frames)


def test_a_height_or_width_of_0_is_refused(data_dir: Path) -> None:
    for key in ("height", "width"):
        with pytest.raises(ValueError, match=f"task.{key} must be at least 1, got 0"):
            make(data_dir, "n_mnist", **{key: 0})


def test_frames_can_be_binary_and_of_lower_resolution(data_dir: Path) -> None:
    plain, _ = next(iter(make(data_dir, "n_mnist").val_dataloader()))
    binary, _ = next(iter(make(data_dir, "n_mnist", binary=True).val_dataloader()))
    assert torch.equal(binary, (plain > 0).float())
    task = make(data_dir, "n_mnist", height=17, width=17)
    half, _ = next(iter(task.val_dataloader()))
    pooled = plain.view(4, 6, 2, 17, 2, 17, 2).sum((4, 6))
    assert torch.equal(half.view(pooled.shape), pooled)


@pytest.mark.parametrize("dataset", sorted(EVENT_FILES))
def test_no_recording_is_in_two_splits(data_dir: Path, dataset: str) -> None:
    task = make(data_dir, dataset)
    train, test = ([file for file, _ in task._chosen(split)] for split in ("train", "test"))
    assert len({*train, *test}) == 20 + 8 + 12
    for data, size in ((task.train_data(0), 20), (task.val_data(), 8), (task.test_data("test"), 12)):
        assert len(data[0]) == len(data[1]) == size
    assert not set(task.train_data(0)[0].tolist()) & set(task.val_data()[0].tolist())


def test_frames_are_cached_for_each_setting(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = next(iter(make(data_dir, "n_cars").test_dataloader()[0]))
    with monkeypatch.context() as patch:
        patch.setattr(EventRecordings, "to_frames", None)  # nothing to make frames with
        again, _ = next(iter(make(data_dir, "n_cars").test_dataloader()[0]))
    assert torch.equal(first, again)
    other, _ = next(iter(make(data_dir, "n_cars", steps=5).test_dataloader()[0]))
    assert other.shape[0] == 5


def test_missing_and_damaged_recordings_are_refused(tmp_path: Path) -> None:
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
def test_a_truncated_recording_is_refused_by_name(tmp_path: Path, dataset: str) -> None:
    event_recordings.write(tmp_path)
    task = make(tmp_path, dataset)
    damaged = task._chosen("train")[2][0]
    damaged.write_bytes(damaged.read_bytes()[:-3])
    with pytest.raises(ValueError, match=f"{damaged.name} is damaged .it is truncated"):
        task.prepare_data()


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "not ours"])
def test_damaged_frames_are_created_again(tmp_path: Path, damage: str) -> None:
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
