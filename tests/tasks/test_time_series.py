"""Time series of the UEA and UCR archives from small files in their format."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bionets.tasks import TimeSeries, archives
from bionets.tasks.seeding import generator, stratified_split

from .test_unpack import archive_of
from .time_series_files import random_series, write, write_ts


def test_series_of_unequal_length_have_lengths(tmp_path: Path) -> None:
    _, expected = write(tmp_path, "Vowels")
    task = TimeSeries("Vowels", tmp_path, standardise=False)
    spec = task.spec
    assert (spec.kind, spec.steps, spec.input_size, spec.output_size, spec.lengths) == (
        "sequence_to_class",
        8,
        3,
        3,
        True,
    )
    x, target, lengths = task.test_data("test")
    assert x.shape == (8, 15, 3)
    assert [task.classes[label] for label in target] == ["abc"[n % 3] for n in range(15)]
    assert lengths.tolist() == [len(each) for each in expected]
    for n, each in enumerate(expected):
        np.testing.assert_allclose(x[: len(each), n], each, rtol=1e-6)
        assert not x[len(each) :, n].any()


def test_predictions_have_the_names_of_the_classes(tmp_path: Path) -> None:
    write(tmp_path, "Vowels")
    task = TimeSeries("Vowels", tmp_path)
    columns = task.prediction_columns(torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([2]))
    assert (columns["target"], columns["prediction"]) == (["c"], ["b"])
    assert [*columns][2:] == [f"probability_{name}" for name in "abc"]
    assert [*task.confusion_matrices()["confusion_matrix"].class_names] == ["a", "b", "c"]


def test_lengths_false_gives_the_same_series_without_lengths(tmp_path: Path) -> None:
    write(tmp_path, "Vowels")
    task = TimeSeries("Vowels", tmp_path, lengths=False)
    assert not task.spec.lengths and len(task.train_data(0)) == 2
    assert torch.equal(task.train_data(0)[0], TimeSeries("Vowels", tmp_path).train_data(0)[0])


def test_series_of_equal_length_have_no_lengths(tmp_path: Path) -> None:
    _, expected = write(tmp_path, "Vowels", unequal=False)
    task = TimeSeries("Vowels", tmp_path, standardise=False)
    assert not task.spec.lengths
    np.testing.assert_allclose(task.test_data("test")[0].transpose(0, 1), np.stack(expected), rtol=1e-6)


def test_the_split_is_stratified_and_the_same_for_every_seed(tmp_path: Path) -> None:
    write(tmp_path, "Vowels")
    task = TimeSeries("Vowels", tmp_path)
    assert (task.train_size, task.val_size, task.test_size) == (24, 6, 15)
    assert torch.bincount(task.val_data()[1]).tolist() == [2, 2, 2]
    assert torch.equal(TimeSeries("Vowels", tmp_path, seed=4).val_data()[0], task.val_data()[0])
    assert not torch.equal(TimeSeries("Vowels", tmp_path, split_seed=4).val_data()[0], task.val_data()[0])


def test_channels_are_standardised_by_the_training_set(tmp_path: Path) -> None:
    write(tmp_path, "Vowels")
    plain, scaled = TimeSeries("Vowels", tmp_path, standardise=False), TimeSeries("Vowels", tmp_path)
    x, _, lengths = plain.train_data(0)
    steps = torch.cat([x[:length, n] for n, length in enumerate(lengths.tolist())])
    for name in ("train_data", "val_data", "test_data"):
        arguments = [{"train_data": 0, "test_data": "test"}[name]] if name != "val_data" else []
        (before, _, own), (after, *_) = getattr(plain, name)(*arguments), getattr(scaled, name)(*arguments)
        for n, length in enumerate(own.tolist()):
            torch.testing.assert_close(after[:length, n], (before[:length, n] - steps.mean(0)) / steps.std(0))
            assert not after[length:, n].any()


def test_small_differences_of_large_numbers_are_standardised_without_rounding(tmp_path: Path) -> None:
    for part, seed in (("TRAIN", 0), ("TEST", 1)):
        small = random_series(30, seed)
        for name, offset in (("Small", 0.0), ("Large", 1e9)):
            file = tmp_path / "time_series" / name / f"{name}_{part}.ts"
            write_ts(file, [offset + each for each in small], ["a", "b"] * 15)
    expected, found = (TimeSeries(name, tmp_path).test_data("test") for name in ("Small", "Large"))
    assert found[0].dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("share", "counts"), [(0.45, [4, 2, 0]), (0.5, [5, 2, 0]), (0.9, [9, 3, 0])])
def test_a_stratified_split_has_every_class_in_the_training_set(share: float, counts: list[int]) -> None:
    labels = torch.tensor([0] * 10 + [1] * 4 + [2])
    train, val = stratified_split(labels, share, generator("split"))
    assert sorted([*train.tolist(), *val.tolist()]) == list(range(15))
    assert torch.bincount(labels[val], minlength=3).tolist() == counts
    again = stratified_split(labels, share, generator("split"))
    assert torch.equal(again[1], val)


def test_missing_values_and_regression_are_refused(tmp_path: Path) -> None:
    series = random_series(6, 0)
    series[2][1, 1] = np.nan
    for part in ("TRAIN", "TEST"):
        file = tmp_path / "time_series" / "Gaps" / f"Gaps_{part}.ts"
        write_ts(file, series, list("ababab"), missing="true")
    with pytest.raises(ValueError, match=r"Gaps_TRAIN\.ts .* missing values: fill them first"):
        TimeSeries("Gaps", tmp_path)
    file = tmp_path / "time_series" / "Sizes" / "Sizes_TRAIN.ts"
    for part in ("TRAIN", "TEST"):
        file = tmp_path / "time_series" / "Sizes" / f"Sizes_{part}.ts"
        write_ts(file, random_series(6, 0), ["0.5"] * 6, targetLabel="true", classLabel="false")
    with pytest.raises(ValueError, match=r"Sizes_TRAIN\.ts .* no classes"):
        TimeSeries("Sizes", tmp_path)


@pytest.mark.parametrize("content", ["", "no data at all", "@classLabel true a b\n@data\n1.0,x,2.0:a\n", "\0\1\2"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    write(tmp_path, "Vowels")
    (tmp_path / "time_series" / "Vowels" / "Vowels_TEST.ts").write_text(content)
    with pytest.raises(ValueError, match=r"Vowels_TEST.ts") as error:
        TimeSeries("Vowels", tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,2:3,4", "channels"),
        ("1,2:3:a", "channels of different lengths"),
        ("1,x:3,4:a", "could not convert"),
        ("1,2:,:a", "could not convert"),
        ("a", "has no channels"),
        ("1,?:3,4:a", "missing values"),
        ("1,inf:3,4:a", "missing values"),
        ("1,2:3,4:", "does not name the class ''"),
        ("1,2:3,4:ab", "does not name the class 'ab'"),
    ],
)
def test_a_damaged_series_is_refused_with_its_fault(tmp_path: Path, row: str, message: str) -> None:
    write(tmp_path, "Vowels", channels=2)
    file = tmp_path / "time_series" / "Vowels" / "Vowels_TRAIN.ts"
    file.write_text(file.read_text() + row + "\n")
    with pytest.raises(ValueError, match=rf"Vowels_TRAIN\.ts cannot be read as time series: .*{message}") as error:
        TimeSeries("Vowels", tmp_path)
    assert "\n" not in str(error.value)


def test_missing_files_are_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "published", "Vowels")

    def downloaded(urls: list[str], file: Path, md5: str | None, most_bytes: int) -> None:
        assert urls == ["https://timeseriesclassification.com/aeon-toolkit/Vowels.zip"] and md5 is None
        published = tmp_path / "published" / "time_series" / "Vowels"
        archive_of(file, {each.name: each.read_bytes() for each in published.iterdir()})

    monkeypatch.setattr(archives, "download", downloaded)
    assert TimeSeries("Vowels", tmp_path / "data").train_size == 24

    def no_network(*arguments: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(archives, "download", no_network)
    assert TimeSeries("Vowels", tmp_path / "data").train_size == 24  # the files are there
    with pytest.raises(ConnectionError, match=r"task.dataset=Other could not be downloaded .*Other_TRAIN\.ts"):
        TimeSeries("Other", tmp_path / "data")


def test_a_name_outside_the_data_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"dataset=../Vowels is not the name of a data set"):
        TimeSeries("../Vowels", tmp_path)
