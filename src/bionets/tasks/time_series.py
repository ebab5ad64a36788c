"""Classification of time series: the data sets of the UEA and UCR archives."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .archives import Archive, download_and_unpack
from .bases import Classification, FixedSets
from .seeding import split_generator, stratified_split
from .spec import TaskSpec
from .standardise import mean_and_deviation
from .task import Data

SOURCE = "https://timeseriesclassification.com"
PARTS = ("TRAIN", "TEST")


class TimeSeries(Classification, FixedSets):
    """Classify the time series of a data set of the UEA and UCR archives (timeseriesclassification.com).

    x is `[steps, B, channels]`, where `steps` is the length of the longest series; shorter series are padded with
    zeros. The target `[B]` is the class, in the order of the class names. If series differ in length, a batch also
    holds the number of steps of each series: the model answers after the last step, and does not see the padding.

    The test set is the published one. A stratified share of the published training set is the validation set, the same
    for every `seed`.

    The files `<dataset>_TRAIN.ts` and `<dataset>_TEST.ts` are read from `data_dir/time_series/<dataset>`, and
    downloaded if they are missing.

    Args:
        dataset: name of the data set in the archive, for example JapaneseVowels.
        data_dir: the folder with a subfolder for each collection of data sets.
        lengths: whether the model gets the length of each series if lengths differ.
        standardise: whether each channel is scaled to mean 0 and standard deviation 1 over the training set.
        val_share: share of the published training set that is used for validation.
        split_seed: seed of the random split.
        seed: seed of the order of the samples.
        others: see `Task`.

    Raises:
        ConnectionError: files are missing and cannot be downloaded.
        ValueError: a file is damaged, values are missing, or the data set is not for classification.

    Source: Dau et al., The UCR time series archive, 2019; Bagnall et al., The UEA multivariate time series
    classification archive, 2018.
    """

    def __init__(
        self,
        dataset: str,
        data_dir: str | Path = "data",
        lengths: bool = True,
        standardise: bool = True,
        val_share: float = 0.2,
        split_seed: int = 0,
        batch_size: int = 32,
        epochs: int = 50,
        seed: int = 0,
    ) -> None:
        if not re.fullmatch(r"\w+", dataset):
            raise ValueError(f"task.dataset={dataset} is not the name of a data set: choose one of {SOURCE}")
        series, names = read_data_set(dataset, Path(data_dir) / "time_series" / dataset)
        self.classes = self.class_names = tuple(sorted({*names["TRAIN"], *names["TEST"]}))
        every = [*series["TRAIN"], *series["TEST"]]
        labels = torch.tensor([self.classes.index(name) for name in (*names["TRAIN"], *names["TEST"])])
        in_training, test = torch.arange(len(every)).split([len(series["TRAIN"]), len(series["TEST"])])
        train, val = stratified_split(labels[in_training], val_share, split_generator("split", split_seed))
        if standardise:
            mean, deviation = mean_and_deviation(torch.cat([every[row] for row in train.tolist()]), (0,))
            every = [(each - mean) / deviation for each in every]
        x, own_lengths = pad_sequence(every).float(), torch.tensor([len(each) for each in every])
        differ = lengths and bool((own_lengths < len(x)).any())
        self._data: dict[str, Data] = {
            split: (x[:, rows], labels[rows], *([own_lengths[rows]] if differ else []))
            for split, rows in (("train", train), ("val", val), ("test", test))
        }
        super().__init__(len(train), len(val), len(test), batch_size, epochs, seed=seed)
        self.spec = TaskSpec("sequence_to_class", x.shape[2], len(self.classes), steps=len(x), lengths=differ)

    def part(self, split: str) -> Data:
        return self._data[split]


def read_data_set(dataset: str, folder: Path) -> tuple[dict[str, list[Tensor]], dict[str, list[str]]]:
    """The series `[T, channels]` and the class names of the training and the test part.

    Raises:
        ConnectionError, ValueError: see `TimeSeries`.
    """
    archive = Archive(f"{dataset}.zip", f"{SOURCE}/aeon-toolkit/{dataset}.zip", md5=None)
    series, names = {}, {}
    for part in PARTS:
        file = folder / f"{dataset}_{part}.ts"
        if not file.is_file():
            download_and_unpack(archive, file, f"task.dataset={dataset}", SOURCE)
        series[part], names[part] = read_ts(file)
    if series["TRAIN"][0].shape[1] != series["TEST"][0].shape[1]:
        raise ValueError(f"{folder}: the training and the test set differ in their number of channels")
    return series, names


def read_ts(file: Path) -> tuple[list[Tensor], list[str]]:
    """The series `[T, channels]` of a file in the format of the archive, and the class name of each series.

    The header consists of lines `@key value` and ends with `@data`. Then each line is one series: its channels and its
    class name, separated by colons. The numbers of a channel are separated by commas.

    Raises:
        ValueError: the file is damaged, values are missing, or the targets are not classes.
    """
    try:
        lines = iter(file.read_text(encoding="utf-8", errors="replace").splitlines())
        header = read_header(lines)
        if not header.get("classlabel", "").startswith("true"):
            raise ValueError("it has no classes, and task=time_series is for classification")
        if header.get("timestamps") == "true":
            raise ValueError("its values have time stamps")
        rows = [row for line in lines if (row := line.strip()) and not row.startswith("#")]
        found = [read_row(row) for row in rows]
        if not found:
            raise ValueError("it holds no series")
        if len({series.shape[1] for series, _ in found}) > 1:
            raise ValueError("its series differ in their number of channels")
        known = header["classlabel"].split()[1:]  # in lower case
        if unknown := [name for _, name in found if not name or (known and name.lower() not in known)]:
            raise ValueError(f"its header does not name the class {unknown[0]!r}")
    except ValueError as error:
        raise ValueError(f"{file} cannot be read as time series: {error}") from error
    return [series for series, _ in found], [name for _, name in found]


def read_header(lines: Iterator[str]) -> dict[str, str]:
    """The keys and values, in lower case, of the lines up to `@data`."""
    header: dict[str, str] = {}
    for line in lines:
        key, _, value = line.strip().lower().partition(" ")
        if key == "@data":
            return header
        header[key.removeprefix("@")] = value.strip()
    raise ValueError("it has no line @data")


def read_row(row: str) -> tuple[Tensor, str]:
    """One series `[T, channels]` in float64, and its class name. Float32 would round small differences of large numbers
    before they are standardised."""
    *channels, name = row.split(":")
    values = [np.array(channel.replace("?", "nan").split(","), np.float64) for channel in channels]
    if len({len(each) for each in values}) != 1:
        raise ValueError("a series has no channels, or channels of different lengths")
    series = torch.from_numpy(np.stack(values, 1))
    if not bool(series.float().isfinite().all()):
        raise ValueError("it has missing values: fill them first, or choose another data set")
    return series, name.strip()
