"""Spiking Heidelberg data sets from small files in their format: counts, splits, and what is refused."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bionets.tasks import HeidelbergSpikes
from bionets.tasks import archives as archives_module

from . import heidelberg_archive
from .heidelberg_archive import random_recordings, write_file
from .test_unpack import archive_of


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name in ("shd", "ssc"):
        heidelberg_archive.write(folder, name)
    return folder


@pytest.mark.parametrize(("bin_ms", "max_ms", "channels"), [(10, 200, 700), (7.5, 100, 140), (4, 50, 33)])
def test_every_spike_is_counted_in_its_window_and_channel(
    data_dir: Path, bin_ms: float, max_ms: float, channels: int
) -> None:
    task = HeidelbergSpikes(
        "shd", data_dir, bin_ms=bin_ms, max_ms=max_ms, channels=channels, val_share=0.3, batch_size=40
    )
    (x, target), *_ = task.test_dataloader()[0]
    assert x.shape == (task.spec.steps, 40, channels)
    expected = np.zeros(x.shape)
    for n, (times, units) in enumerate(random_recordings(40, seed=1)):
        for time, unit in zip(times.tolist(), units.tolist(), strict=True):
            if (step := int(1000 * time // bin_ms)) < len(expected):
                expected[step, n, unit * channels // 700] += 1
    assert expected.any() and np.array_equal(x.numpy(), expected)
    assert target.tolist() == [n % 10 for n in range(40)]


def test_a_duration_of_whole_windows_has_no_window_more(data_dir: Path) -> None:
    assert 4.2 / 0.7 > 6
    assert HeidelbergSpikes("shd", data_dir, bin_ms=0.7, max_ms=4.2, val_share=0.3).spec.steps == 6
    assert HeidelbergSpikes("shd", data_dir, bin_ms=0.7, max_ms=4.3, val_share=0.3).spec.steps == 7


@settings(max_examples=20)
@given(bin_ms=st.floats(1, 300), channels=st.integers(1, 700))
def test_no_spike_within_the_windows_is_lost(data_dir: Path, bin_ms: float, channels: int) -> None:
    task = HeidelbergSpikes("shd", data_dir, bin_ms=bin_ms, max_ms=300, channels=channels, val_share=0.3)
    spikes = sum(len(times) for seed in (0, 1) for times, _ in random_recordings(40, seed))
    assert sum(task._count(*spikes_of(each)).sum() for seed in (0, 1) for each in random_recordings(40, seed)) == spikes


def spikes_of(recording: heidelberg_archive.Recording) -> tuple[np.ndarray, np.ndarray]:
    return recording[0].astype(np.float64) * 1000, recording[1].astype(np.int64)


def test_the_validation_set_of_shd_is_stratified(data_dir: Path) -> None:
    task = HeidelbergSpikes("shd", data_dir, val_share=0.25)
    assert (task.train_size, task.val_size, task.test_size) == (30, 10, 40)
    assert sorted(task.val_data()[1].tolist()) == list(range(10))
    numbers = [part[0] for part in (task.train_data(0), task.val_data(), task.test_data("test"))]
    assert torch.cat(numbers).sort()[0].tolist() == list(range(80))
    same, other = (
        HeidelbergSpikes("shd", data_dir, val_share=0.25, **keys) for keys in ({"seed": 3}, {"split_seed": 1})
    )
    assert torch.equal(same.val_data()[0], task.val_data()[0])
    assert not torch.equal(other.val_data()[0], task.val_data()[0])


def test_val_speakers_are_the_validation_set(data_dir: Path) -> None:
    task = HeidelbergSpikes("shd", data_dir, val_speakers=[1, 3])
    speakers = torch.tensor([number // 3 % 4 for number in range(40)])
    assert {*speakers[task.val_data()[0]].tolist()} == {1, 3}
    assert {*speakers[task.train_data(0)[0]].tolist()} == {0, 2}
    for wrong, message in (
        ([9], r"no training recording is of 9: choose from \[0, 1, 2, 3\]"),
        ([0, 1, 2, 3], "leave no"),
    ):
        with pytest.raises(ValueError, match=message):
            HeidelbergSpikes("shd", data_dir, val_speakers=wrong)


def test_ssc_has_a_validation_set_of_its_own(data_dir: Path) -> None:
    task = HeidelbergSpikes("ssc", data_dir, max_ms=200, batch_size=40)
    assert (task.train_size, task.val_size, task.test_size) == (40, 40, 40)
    for seed, batches in enumerate((task.train_batches(0), task.test_dataloader()[0], task.val_dataloader())):
        (x, _), *_ = batches
        assert x.sum() == sum(len(times) for times, _ in random_recordings(40, seed))
    with pytest.raises(ValueError, match="ssc has a validation set of its own"):
        HeidelbergSpikes("ssc", data_dir, val_speakers=[1])


def test_spike_counts_are_cached(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = next(iter(HeidelbergSpikes("shd", data_dir, bin_ms=20, val_speakers=[0]).val_dataloader()))
    with monkeypatch.context() as patch:
        patch.setattr(HeidelbergSpikes, "_read", None)  # nothing to make them with
        again, _ = next(iter(HeidelbergSpikes("shd", data_dir, bin_ms=20, val_speakers=[0]).val_dataloader()))
    assert torch.equal(first, again)


def test_spikes_of_a_file_that_was_written_again_are_counted_again(tmp_path: Path) -> None:
    heidelberg_archive.write(tmp_path, "shd")
    file = tmp_path / "SHD" / "shd_test.h5"
    (first, _), *_ = HeidelbergSpikes("shd", tmp_path, batch_size=40, val_share=0.25).test_dataloader()[0]
    size, written = file.stat().st_size, file.stat().st_mtime_ns
    with h5py.File(file, "a") as content:
        content["spikes/units"][7] = 699 - content["spikes/units"][7]
    os.utime(file, ns=(written + 10**9, written + 10**9))
    assert file.stat().st_size == size
    (again, _), *_ = HeidelbergSpikes("shd", tmp_path, batch_size=40, val_share=0.25).test_dataloader()[0]
    assert torch.equal(again[:, 7], first[:, 7].flip(1))
    first[:, 7] = again[:, 7]
    assert torch.equal(again, first)


def test_a_downloaded_archive_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heidelberg_archive.write(tmp_path / "published", "shd")

    def downloaded(urls: list[str], file: Path, md5: str, most_bytes: int) -> None:
        assert urls == [f"https://zenkelab.org/datasets/{file.name}"] and len(md5) == 32
        name = file.name.removesuffix(".zip")
        archive_of(file, {name: (tmp_path / "published" / "SHD" / name).read_bytes()})

    monkeypatch.setattr(archives_module, "download", downloaded)
    assert HeidelbergSpikes("shd", tmp_path / "data", val_share=0.3).train_size == 30
    assert (tmp_path / "data" / "SHD" / "shd_test.h5").is_file()

    def no_network(*arguments: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(archives_module, "download", no_network)
    with pytest.raises(
        ConnectionError, match=r"ssc could not be downloaded \(no network\): get it from .*ssc_train.h5"
    ):
        HeidelbergSpikes("ssc", tmp_path / "data")


@pytest.mark.parametrize("damage", ["cut", "no spikes", "unit", "time", "class", "fewer"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    heidelberg_archive.write(tmp_path, "shd", 20)
    file = tmp_path / "SHD" / "shd_train.h5"
    recordings, labels = random_recordings(20), [number % 10 for number in range(20)]
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:3000])
    elif damage == "no spikes":
        with h5py.File(file, "a") as content:
            del content["spikes/times"]
    else:
        recordings[5] = (np.array([-1 if damage == "time" else 0.1], np.float16), np.array([0], np.uint16))
        recordings[6] = (recordings[5][0] * 0, np.array([700 if damage == "unit" else 0], np.uint16))
        labels[0] = 20 if damage == "class" else 0
        write_file(file, recordings, labels[: 19 if damage == "fewer" else 20], [0] * 20)
    with pytest.raises(ValueError, match=r"shd_train.h5 is damaged .*: download it again") as error:
        HeidelbergSpikes("shd", tmp_path, val_share=0.5).prepare_data()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"dataset": "hsd"}, "hsd is unknown: choose shd, ssc"),
        ({"channels": 701}, "channels must be at most 700"),
        ({"channels": 0}, "channels must be at least 1"),
        ({"bin_ms": 0.0}, "bin_ms must be above 0"),
        ({"bin_ms": 2000.0}, "bin_ms must be above 0 and at most task.max_ms"),
        ({"val_share": 1.0}, "val_share must be above 0 and below 1"),
        ({"val_share": 0.001}, "leaves none for validation"),
    ],
)
def test_invalid_options_are_refused(data_dir: Path, keys: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HeidelbergSpikes(data_dir=data_dir, **keys)  # type: ignore[arg-type]
