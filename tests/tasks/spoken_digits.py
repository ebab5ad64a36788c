"""Small recordings in the format of the Free Spoken Digit Dataset."""

import math
import wave
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import numpy as np

from bionets.tasks.speech_digits import FOLDER, RATE, SPEAKERS


def write(
    root: Path,
    speakers: Iterable[str] = SPEAKERS[:3],
    digits: Iterable[int] = (0, 1),
    indices: Iterable[int] = range(10),
) -> None:
    """Recordings of each digit by each speaker: a tone for each digit."""
    (root / FOLDER).mkdir(parents=True)
    for speaker, digit, index in product(speakers, digits, indices):
        write_tone(root / FOLDER / f"{digit}_{speaker}_{index}.wav", 300 + 1500 * digit, 0.2 + 0.01 * index)


def write_tone(file: Path, frequency: float, seconds: float, rate: int = RATE) -> None:
    time = np.arange(int(seconds * rate)) / rate
    samples = (20000 * np.sin(2 * math.pi * frequency * time)).astype("<i2")
    with wave.open(str(file), "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(rate)
        recording.writeframes(samples.tobytes())
