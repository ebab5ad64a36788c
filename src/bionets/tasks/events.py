"""Recordings of event cameras: N-MNIST, N-Caltech101, N-Cars, DVS Gesture and CIFAR10-DVS."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from .bases import Classification, FixedSets
from .checks import require_at_least, require_one_of
from .event_files import EVENT_FILES, EventFiles, recordings
from .event_formats import Events
from .event_frames import POLARITIES, EventFrames, cached_frames, count_events, dense_frames, make_frames
from .seeding import split_generator
from .spec import TaskSpec
from .task import Data


class EventTask(Classification, FixedSets):
    """Classify recordings of an event camera.

    A recording is divided into ``steps`` of equal duration or, with ``bin_ms``, into steps of ``bin_ms`` milliseconds:
    events after the last step are left out, and steps after the end are empty. x is
    ``[steps, B, channels · height · width]``, the number of events in each step at each place. With two channels, the
    first counts events of decreasing and the second of increasing brightness; one channel counts both. With ``binary``,
    x is 1 where there is any event. If ``height`` and ``width`` are None, the frames have the resolution of the camera.
    With ``denoise``, an event is left out unless a neighbouring place had an event less than ``denoise`` microseconds
    before it. The target ``[B]`` is the class, in the order of the names of the folders. The loss is the cross-entropy
    of the scores.

    Args:
        files: the recordings.
        cache: a folder in which the frames are stored; None computes them each time.
        split_seed: seed of the random split.
        steps: number of time steps of a recording.
        bin_ms: duration of a step, in milliseconds; None for equal parts of each recording.
        channels: 2 to count the two polarities separately, 1 to count all events together.
        height, width: size of a frame; None for the resolution of the camera.
        binary: whether x is 1 where there is any event, instead of the number of events.
        denoise: an event is kept if a neighbouring place had an event less than this time before it, in microseconds;
            None keeps all events.
        others: see `Task`.
    """

    abstract = True
    stored_batch_dims = (0, 0)
    advice = "download it again"  # on a recording that cannot be used

    def __init__(
        self,
        files: EventFiles,
        cache: Path | None,
        train_size: int,
        val_size: int,
        test_size: int,
        batch_size: int,
        epochs: int,
        *,
        stop_below: float | None,
        seed: int,
        split_seed: int,
        steps: int = 30,
        bin_ms: float | None = None,
        channels: int = 2,
        height: int | None = None,
        width: int | None = None,
        binary: bool = False,
        denoise: int | None = None,
    ) -> None:
        self.files, self.cache, self.split_seed = files, cache, split_seed
        self.size = (files.sensor[0] if width is None else width, files.sensor[1] if height is None else height)
        require_at_least(1, steps=steps, height=self.size[1], width=self.size[0])
        if denoise is not None:
            require_at_least(1, denoise=denoise)
        if bin_ms is not None and not 1 <= bin_ms * 1000 < math.inf:
            raise ValueError(f"task.bin_ms must be at least 0.001 and finite, got {bin_ms}")
        if channels not in (1, POLARITIES):
            raise ValueError(f"task.channels must be 2, for either polarity, or 1, for both together, got {channels}")
        super().__init__(train_size, val_size, test_size, batch_size, epochs, stop_below=stop_below, seed=seed)
        self.steps = steps
        self.window = None if bin_ms is None else round(bin_ms * 1000)
        self.channels = channels
        self.binary = binary
        self.denoise = denoise
        shape = (channels, self.size[1], self.size[0])
        self.spec = TaskSpec(
            "sequence_to_class", math.prod(shape), files.classes, steps=steps, step_shape=shape, spikes=True
        )
        self._made: dict[str, tuple[EventFrames, Tensor]] = {}

    def recordings(self, split: str) -> list[tuple[Path, int]]:
        """Every recording of ``train`` or ``test`` with its class."""
        raise NotImplementedError(f"{type(self).__name__} must implement recordings")

    def test_samples(self, name: str) -> list[str]:
        """The folder and the file of each recording."""
        return [f"{file.parent.name}/{file.name}" for file, _ in self._chosen("test")]

    def prepare_data(self) -> None:
        """Download missing files, and check that all files can be read and that there are enough of them."""
        self.train_data(0)
        self.test_data(self.test_names[0])

    def part(self, split: str) -> Data:
        """The numbers of the recordings ``[N]`` and their classes; test recordings have the highest numbers."""
        labels = self._frames("test" if split == "test" else "train")[1]
        rows = {"train": slice(self.val_size, None), "val": slice(0, self.val_size), "test": slice(None)}[split]
        first = self.train_size + self.val_size if split == "test" else 0
        return first + torch.arange(len(labels))[rows], labels[rows]

    def prepare(self, x: Tensor, target: Tensor, random: Generator | None) -> Data:
        """The frames of the recordings with the numbers ``[B]``."""
        in_training = self.train_size + self.val_size
        split, numbers = ("test", x - in_training) if x[0] >= in_training else ("train", x)
        frames = dense_frames(self._frames(split)[0], numbers, self.steps)
        return (frames > 0).float() if self.binary else frames, target

    def _frames(self, split: str) -> tuple[EventFrames, Tensor]:
        """The frames and labels of the recordings of a split: validation and then training, or test."""
        if split not in self._made:
            chosen = self._chosen(split)
            settings = {"steps": self.steps, "size": self.size, "denoise": self.denoise, "version": 2}
            options = {"window": (self.window, None), "channels": (self.channels, POLARITIES)}
            settings |= {name: value for name, (value, default) in options.items() if value != default}
            files = [file for file, _ in chosen]
            label = f"{self.files.name}, {split}: events to frames"
            make = partial(make_frames, files, self.files.read, self.to_frames, label, self.advice)
            places = self.steps * self.spec.input_size
            frames = make() if self.cache is None else cached_frames(self.cache, settings, files, places, make)
            self._made[split] = frames, torch.tensor([label for _, label in chosen])
        return self._made[split]

    def _chosen(self, split: str) -> list[tuple[Path, int]]:
        found = self.recordings(split)
        sizes = {
            "train": {"val_size": self.val_size, "train_size": self.train_size},
            "test": {"test_size": self.test_size},
        }
        asked = sizes[split] if self.files.split_by_publisher else sizes["train"] | sizes["test"]
        if sum(asked.values()) > len(found):
            keys, got = " + task.".join(asked), " + ".join(map(str, asked.values()))
            raise ValueError(f"task.{keys} must be at most {len(found)}, got {got}")
        order = torch.randperm(len(found), generator=split_generator("recordings", self.split_seed))
        if split == "test":  # the last ones, because one folder may hold all recordings
            order = order.flip(0)
        return [found[n] for n in order[: sum(sizes[split].values())].tolist()]

    def to_frames(self, events: Events) -> Any:
        """The counts ``[steps, channels, height, width]`` of the events of a recording."""
        return count_events(events, self.steps, self.files.sensor, self.size, self.denoise, self.window, self.channels)


class EventRecordings(EventTask):
    """Recordings of ``n_mnist``, ``n_caltech101``, ``n_cars``, ``dvs_gesture`` or ``cifar10_dvs``; for x and the target
    see `EventTask`. The classes of DVS Gesture are numbered as in tonic.

    In a fixed random order of the training recordings, the first ``val_size`` are for validation and the next
    ``train_size`` for training. The test uses ``test_size`` of the test recordings; if no such split was published
    (N-Caltech101, CIFAR10-DVS), it uses the last recordings of all.

    The files are read from the folders that tonic uses: ``data_dir/NMNIST``, ``NCALTECH101``, ``NCARS`` and
    ``DVSGesture``; the files of CIFAR10-DVS, as published by their authors, from ``data_dir/CIFAR10DVS/aedat``. The
    frames are computed once and stored next to the files, in ``frames/``.

    Args:
        dataset: ``n_mnist``, ``n_caltech101``, ``n_cars``, ``dvs_gesture`` or ``cifar10_dvs``.
        data_dir: the folder with a subfolder for each data set.
        others: see `EventTask` and `Task`.

    Sources: Orchard, Jayawant, Cohen and Thakor, Frontiers in Neuroscience 2015; Sironi et al. (HATS), CVPR 2018;
    Amir et al., CVPR 2017; Li et al., Frontiers in Neuroscience 2017.
    """

    def __init__(
        self,
        dataset: str = "n_mnist",
        data_dir: str | Path = "data",
        *,
        train_size: int = 55_000,
        val_size: int = 5_000,
        test_size: int = 10_000,
        batch_size: int = 128,
        epochs: int = 20,
        seed: int = 0,
        **others: Any,
    ) -> None:
        require_one_of(EVENT_FILES, dataset=dataset)
        self.data_dir = Path(data_dir)
        files = EVENT_FILES[dataset]
        cache = self.data_dir / files.folders[0].split("/")[0] / "frames"
        sizes = (train_size, val_size, test_size)
        super().__init__(files, cache, *sizes, batch_size, epochs, stop_below=None, seed=seed, split_seed=0, **others)

    def recordings(self, split: str) -> list[tuple[Path, int]]:
        return recordings(self.files, self.data_dir, split)
