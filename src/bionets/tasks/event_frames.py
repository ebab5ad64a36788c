"""Recordings of an event camera as sequences of frames, stored sparsely by the places with events."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from scipy.sparse import csr_array, vstack
from torch import Tensor

from .checks import beginning_of
from .event_formats import Events

POLARITIES = 2

ToFrames = Callable[[Events], "np.ndarray[Any, Any]"]


EventFrames: TypeAlias = csr_array
"""Many sequences of frames: in each row, the numbers of events of a sequence at all its places, where a place combines
step, polarity, row and column into one index. The counts are uint8, or int32 if one of them exceeds 255."""


def dense_frames(frames: EventFrames, numbers: Tensor, steps: int) -> Tensor:
    """The sequences with these numbers ``[B]`` as a dense tensor ``[steps, B, places of a step]``, float32."""
    counts = torch.from_numpy(frames[numbers.numpy()].toarray()).float()
    return counts.view(len(numbers), steps, -1).transpose(0, 1).contiguous()


def count_events(
    events: Events,
    steps: int,
    sensor: tuple[int, int],
    size: tuple[int, int],
    denoise: int | None = None,
    window: int | None = None,
    channels: int = POLARITIES,
) -> "np.ndarray[Any, Any]":
    """Count the events of one recording, ``[steps, channels, height, width]``.

    The duration, from the first event to the last one inclusive, is divided into ``steps`` equal parts: step =
    ⌊steps·(t − first) / (last − first + 1)⌋ with times in whole microseconds. With ``window``, every step lasts
    ``window`` microseconds, step = ⌊(t − first) / window⌋, and events after the last step are left out. Columns and
    rows are scaled from ``sensor`` to ``size``, both (columns, rows).

    Args:
        window: duration of a step, in microseconds; None for equal parts of the recording.
        channels: 2 to count the two polarities separately, 1 to count all events together.
        denoise: an event is left out unless a neighbouring place had an event less than this time before it, in
            microseconds.

    Raises:
        ValueError: the recording has no events.
        IndexError: an event is outside the sensor.
    """
    if not len(events):
        raise ValueError("it has no events")
    columns, rows, times, polarities = (events[name].astype(np.int64) for name in ("x", "y", "t", "p"))
    for values, limit in ((columns, sensor[0]), (rows, sensor[1]), (polarities, POLARITIES)):
        if values.min() < 0 or values.max() >= limit:
            raise IndexError("it has events outside of the sensor")
    first, last = times.min(), times.max()
    places = (
        steps * (times - first) // (last - first + 1) if window is None else (times - first) // window,
        polarities if channels == POLARITIES else np.zeros_like(polarities),
        rows * size[1] // sensor[1],
        columns * size[0] // sensor[0],
    )
    kept = places[0] < steps
    if denoise is not None:
        kept &= _has_neighbour(columns, rows, times, sensor, denoise)
    frames = np.zeros((steps, channels, size[1], size[0]), np.int64)
    np.add.at(frames, tuple(place[kept] for place in places), 1)
    return frames


def _has_neighbour(
    columns: "np.ndarray[Any, Any]",
    rows: "np.ndarray[Any, Any]",
    times: "np.ndarray[Any, Any]",
    sensor: tuple[int, int],
    within: int,
) -> "np.ndarray[Any, Any]":
    """For each event: whether one of the four neighbouring places had an event shortly before."""
    latest = np.full((sensor[0] + 2, sensor[1] + 2), times.min() - within)  # with a margin that has no events
    kept = np.zeros(len(times), bool)
    for n in np.argsort(times, kind="stable"):
        x, y, t = columns[n] + 1, rows[n] + 1, times[n]
        beside = max(latest[x - 1, y], latest[x + 1, y], latest[x, y - 1], latest[x, y + 1])
        kept[n] = t - beside < within
        latest[x, y] = t
    return kept


def stack_frames(recordings: Iterable["np.ndarray[Any, Any]"]) -> EventFrames:
    """The sparse form of recordings that are given as their counts at all places."""
    frames = vstack([csr_array(np.ravel(each)[None].astype(np.int32)) for each in recordings], format="csr")
    return frames.astype(np.uint8) if frames.max() <= 255 else frames


def make_frames(
    files: Sequence[Path],
    read: Callable[[Path], Events],
    to_frames: ToFrames,
    label: str,
    advice: str = "download it again",
) -> EventFrames:
    """Read every file, and convert its events to frames.

    Raises:
        ValueError: a file cannot be read; the message names it, and ends with the advice.
    """

    def frames_of(file: Path) -> "np.ndarray[Any, Any]":
        try:
            return to_frames(read(file))
        except (ValueError, IndexError, RuntimeError, AssertionError) as error:
            if str(error).startswith(str(file)):
                raise
            raise ValueError(f"{file} is damaged ({beginning_of(error)}): {advice}") from error

    shown = track(files, description=label, transient=True, disable=len(files) < 1000)
    return stack_frames(frames_of(file) for file in shown)


def cached_frames(
    folder: Path, settings: dict[str, Any], files: Sequence[Path], places: int, make: Callable[[], EventFrames]
) -> EventFrames:
    """The frames that ``make`` returns, sequences of ``places`` each, computed once for the same files and settings,
    and stored in ``folder``. A file is the same if its folder, its name, its size and its time of modification are."""
    known = [(f"{file.parent.name}/{file.name}", file.stat()) for file in files]
    key = json.dumps([settings, [f"{name} {about.st_size} {about.st_mtime_ns}" for name, about in known]])
    kept = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    if kept.is_file() and (found := _read_frames(kept, places)) is not None:
        return found
    frames = make()
    folder.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(f".{os.getpid()}.partial")
    starts, columns, counts = map(torch.from_numpy, (frames.indptr, frames.indices, frames.data))
    tensors = {"starts": starts.long(), "places": columns.int(), "counts": counts}
    try:
        save_file(tensors, partial, metadata={"sha256": _digest(tensors)})
        partial.replace(kept)
    finally:
        partial.unlink(missing_ok=True)
    return frames


def _read_frames(file: Path, places: int) -> EventFrames | None:
    """The frames in a file; None if the file is damaged and the frames must be computed again."""
    try:
        with safe_open(file, "pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
            known = (opened.metadata() or {}).get("sha256")
    except (SafetensorError, OSError, ValueError):
        return None
    if known != _digest(tensors):
        return None
    counts, columns, starts = (tensors[name].numpy() for name in ("counts", "places", "starts"))
    return csr_array((counts, columns, starts), shape=(len(starts) - 1, places))


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {list(tensors[name].shape)} ".encode())
        digest.update(tensors[name].numpy().data)
    return digest.hexdigest()
