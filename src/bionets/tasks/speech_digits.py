"""Spoken digits: the Free Spoken Digit Dataset as sequences of log-mel frames."""

import math
import re
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .bases import Classification, FixedSets
from .checks import require_at_least
from .seeding import generator
from .spec import TaskSpec
from .standardise import mean_and_deviation
from .task import Data

RATE = 8000  # samples per second
WINDOW, HOP = 200, 80  # samples: 25 ms and 10 ms
FOLDER = "free-spoken-digit-dataset/recordings"
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
TEST_INDICES = range(5)  # the official test set
NAME = r"[0-9]_[^_]+_[0-9]+"  # digit, speaker and number of a recording


class SpeechDigits(Classification, FixedSets):
    """Classify spoken digits (Free Spoken Digit Dataset: 3,000 recordings, 6 speakers, 10 digits).

    x is `[steps, B, bands]`: one log-mel spectrum every 10 ms (Hann window of 25 ms, `bands` triangular filters between
    50 and 4,000 Hz on the mel scale), standardised by the training set. Longer recordings are truncated to `steps`
    frames, shorter ones are padded with zeros. The target `[B]` is the digit. With `lengths`, a batch also holds the
    number of frames of each recording: the model answers after the last frame, and does not see the padding.

    The test set is the official one (recordings 0 to 4 of each digit and speaker: 300), or all recordings of the
    speakers in `held_out`. A tenth of the other recordings, the same for every `seed`, is the validation set.

    The files are read from `data_dir/free-spoken-digit-dataset/recordings`; they are not downloaded.

    Args:
        data_dir: the folder with a subfolder for each data set.
        steps: number of steps of 10 ms; longer recordings are truncated, shorter ones are padded with zeros.
        bands: number of filters on the mel scale.
        lengths: whether the model gets the length of each recording.
        held_out: speakers whose recordings are the test set, instead of the official test set.
        seed: seed of the order of the samples.
        others: see `Task`.

    Source: Jackson et al., Free Spoken Digit Dataset (CC BY-SA 4.0).
    """

    def __init__(
        self,
        data_dir: str | Path = "data",
        steps: int = 100,
        bands: int = 40,
        lengths: bool = False,
        held_out: Sequence[str] = (),
        batch_size: int = 50,
        epochs: int = 40,
        seed: int = 0,
    ) -> None:
        require_at_least(1, steps=steps, bands=bands)
        if unknown := [name for name in held_out if name not in SPEAKERS]:
            raise ValueError(f"task.held_out: {unknown[0]} is not a speaker: choose from {', '.join(SPEAKERS)}")
        self.folder = Path(data_dir) / FOLDER
        self.steps, self.bands = steps, bands
        files = [file for file in sorted(self.folder.glob("*.wav")) if re.fullmatch(NAME, file.stem)]
        if not files:
            raise ValueError(
                f"{self.folder} holds no recordings: put the folder recordings of the Free Spoken Digit Dataset there"
            )
        names = [file.stem.split("_") for file in files]
        is_test = [speaker in held_out if held_out else int(index) in TEST_INDICES for _, speaker, index in names]
        others = [file for file, test in zip(files, is_test, strict=True) if not test]
        order = torch.randperm(len(others), generator=generator("split")).tolist()
        val_size = len(others) // 10
        self._files = {
            "val": [others[place] for place in order[:val_size]],
            "train": [others[place] for place in order[val_size:]],
            "test": [file for file, test in zip(files, is_test, strict=True) if test],
        }
        if held_out and not self._files["test"]:
            raise ValueError(f"task.held_out: {self.folder} holds no recordings of {', '.join(held_out)}")
        if held_out and not others:
            raise ValueError("task.held_out leaves no recordings for training")
        if not all(self._files.values()):
            raise ValueError(f"{self.folder} is incomplete: a split of it is empty; download the data set again")
        super().__init__(len(self._files["train"]), val_size, len(self._files["test"]), batch_size, epochs, seed=seed)
        self.spec = TaskSpec("sequence_to_class", bands, 10, steps=steps, lengths=lengths)
        self._read: dict[str, Data] = {}

    def prepare_data(self) -> None:
        """Read all files, so that a damaged one is found before training."""
        for split in self._files:
            self.part(split)

    def part(self, split: str) -> Data:
        if not self._read:
            spectra = {
                name: [log_mel(read_wave(file), self.bands) for file in files] for name, files in self._files.items()
            }
            mean, deviation = mean_and_deviation(torch.cat(spectra["train"]), (0,))
            for name, files in self._files.items():
                x = torch.zeros(self.steps, len(files), self.bands)
                lengths = [min(self.steps, len(spectrum)) for spectrum in spectra[name]]
                for n, (length, spectrum) in enumerate(zip(lengths, spectra[name], strict=True)):
                    x[:length, n] = (spectrum[:length] - mean) / deviation
                digits = torch.tensor([int(file.stem[0]) for file in files])
                self._read[name] = (x, digits, torch.tensor(lengths)) if self.spec.lengths else (x, digits)
        return self._read[split]


def read_wave(file: Path) -> Tensor:
    """The samples of a mono 16-bit recording at 8 kHz, from −1 to 1.

    Raises:
        ValueError: the file is damaged, or has another format.
    """
    try:
        with wave.open(str(file), "rb") as recording:
            form = (recording.getnchannels(), recording.getsampwidth(), recording.getframerate())
            content = recording.readframes(recording.getnframes())
            if len(content) < recording.getnframes() * recording.getnchannels() * recording.getsampwidth():
                raise EOFError("it is truncated")
            samples = np.frombuffer(content, dtype="<i2")
    except (wave.Error, EOFError, ValueError) as error:
        raise ValueError(f"{file} is damaged ({error}): download it again") from error
    if form != (1, 2, RATE) or len(samples) == 0:
        raise ValueError(f"{file} must be a mono 16-bit recording at {RATE} Hz that is not empty")
    return torch.from_numpy(samples.astype(np.float32) / 32768)


def log_mel(samples: Tensor, bands: int) -> Tensor:
    """The logarithm of the power in each mel band, `[frames, bands]`."""
    samples = functional.pad(samples, (0, max(0, WINDOW - len(samples))))
    spectrum = torch.stft(samples, WINDOW, HOP, window=torch.hann_window(WINDOW), center=False, return_complex=True)
    power = spectrum.abs().square().T  # [frames, WINDOW // 2 + 1]
    return torch.log(power @ mel_filters(bands) + 1e-6)


def mel_filters(bands: int, low: float = 50.0, high: float = RATE / 2) -> Tensor:
    """Triangular filters, equally spaced on the mel scale (m = 2595·log10(1 + f/700)), `[WINDOW // 2 + 1, bands]`."""
    low_mel, high_mel = (2595 * math.log10(1 + f / 700) for f in (low, high))
    corners = 700 * (10 ** (torch.linspace(low_mel, high_mel, bands + 2) / 2595) - 1)
    frequencies = torch.linspace(0, RATE / 2, WINDOW // 2 + 1).unsqueeze(1)
    rising = (frequencies - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - frequencies) / (corners[2:] - corners[1:-1])
    return torch.minimum(rising, falling).clamp(min=0)
