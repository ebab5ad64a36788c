"""Notes on a user's own data that may be read otherwise than meant."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .custom_arrays import MOST_CLASSES, TargetKind, labelled
from .data_files import Arrays

LARGEST_ROUNDING = 0.001  # share of the extent of a feature


def notes_on_whole_numbers(found: Sequence[Arrays], x: Tensor, kinds: Mapping[str, TargetKind | None]) -> list[str]:
    """Notes on the integer targets of a file whose kind is inferred: those that are predicted as numbers although they
    may be classes, and classes without a sample. ``kinds`` has the name of each target.
    """
    return [
        f"{name} {note}"
        for arrays, (name, kind) in zip(found, kinds.items(), strict=True)
        if kind is None and not arrays.classes and not arrays.y.is_floating_point() and (note := _note(arrays.y, x))
    ]


def _note(y: Tensor, x: Tensor) -> str:
    """A note on integer targets, without their name; empty if there is none."""
    if y.dim() == 1:
        if int(y.min()) < 0 or int(y.max()) > MOST_CLASSES:
            return ""
        empty = (y.bincount() == 0).nonzero().flatten().tolist()
        return f"has the classes 0 to {int(y.max())}, but no sample of {_first_of(empty)}" if empty else ""
    stepwise = x.dim() == 3 and y.size(1) == x.shape[1]
    change = f"choose task.target_kind=class{'_every_step' * stepwise}"
    if y.dim() == 2 + stepwise and y.size(-1) > 1:
        change = f"give one number for each sample{' and step' * stepwise}"
    return f"holds whole numbers {list(y.shape)}, which are predicted as numbers; if they are classes, {change}"


def notes_on_training(found: Mapping[str, Arrays], train: Tensor) -> list[str]:
    """Notes on the classes of each target that none of the samples ``train`` has, although others have them."""
    notes = []
    for name, arrays in found.items():
        if arrays.y.is_floating_point():
            continue
        valid = labelled(arrays)
        known = arrays.y[train][valid[train]].unique()
        unseen = sorted(set(arrays.y[valid].unique().tolist()) - set(known.tolist()))
        if unseen:
            some = _first_of([arrays.classes[number] for number in unseen] if arrays.classes else unseen)
            notes.append(f"{name}: the training set has no sample of {some}: try another task.split_seed")
    return notes


def notes_on_channels(x: Tensor) -> list[str]:
    """A note on images ``[N, H, W, C]``, of which the first axis after the samples is taken for the channels."""
    if x.dim() != 4 or x.shape[3] not in (1, 3, 4) or x.shape[1] <= 4:
        return []
    return [
        f"x {list(x.shape)} is read as images of {x.shape[1]} channels and {x.shape[2]} × {x.shape[3]} pixels; if the "
        "channels are last, store x.transpose(0, 3, 1, 2)"
    ]


def notes_on_rounding(x: Tensor) -> list[str]:
    """A note on features of inputs ``[..., I]`` whose differences are lost in float32, such as times in milliseconds
    since 1970."""
    if x.dtype != torch.float64:
        return []
    rows = x.flatten(0, -2)
    extent = rows.amax(0) - rows.amin(0)
    lost = ((rows - rows.float().double()).abs().amax(0) > extent * LARGEST_ROUNDING) & (extent > 0)
    numbers = lost.nonzero().flatten().tolist()
    if not numbers:
        return []
    some = _first_of(numbers)
    return [f"float32 rounds the differences within the inputs {some} (from 0): choose task.standardise=true"]


def _first_of(values: Sequence[Any]) -> str:
    """Up to five values, and three dots if there are more."""
    return ", ".join(map(str, values[:5])) + ", ..." * (len(values) > 5)
