"""Stateful layers in plain Python: containers, dataclasses and objects, with cycles, but not in a library's objects."""

from collections import OrderedDict, UserDict, UserList, deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from bionets.layers import detach_states, get_states, reset_states, set_states
from bionets.layers.find_modules import find_modules
from bionets.layers.spiking import LI


@dataclass
class Record:
    layer: Any
    back: Any = None


@dataclass(slots=True)
class Slotted:
    layer: Any
    unset: Any = field(init=False)


class Plain:
    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.itself = self


class OldSlots:
    __slots__ = "layer"

    def __init__(self, layer: Any) -> None:
        self.layer = layer


class Pair(NamedTuple):
    first: Any
    second: Any


HOLDERS = {
    "list": (lambda layer: [None, layer], "held.1"),
    "tuple": (lambda layer: (layer,), "held.0"),
    "named tuple": (lambda layer: Pair(1, layer), "held.1"),
    "dict": (lambda layer: {"a": 1, "b": layer}, "held.b"),
    "ordered dict": (lambda layer: OrderedDict(a=layer), "held.a"),
    "set": (lambda layer: {layer}, "held.0"),
    "deque": (lambda layer: deque([layer]), "held.0"),
    "user dict": (lambda layer: UserDict(a=layer), "held.data.a"),
    "user list": (lambda layer: UserList([layer]), "held.data.0"),
    "namespace": (lambda layer: SimpleNamespace(a=layer), "held.a"),
    "dataclass": (Record, "held.layer"),
    "dataclass with slots": (Slotted, "held.layer"),
    "object": (Plain, "held.layer"),
    "object with slots": (OldSlots, "held.layer"),
    "nested": (lambda layer: {"a": [Plain((Record(layer),))]}, "held.a.0.layer.0.layer"),
    "Sequential in an object": (lambda layer: Plain(nn.Sequential(nn.ReLU(), layer)), "held.layer.1"),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_layers_are_found_wherever_they_are_held(holder: str) -> None:
    hold, path = HOLDERS[holder]

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.held = hold(LI(3))

    model = Model()
    (layer,) = (found for _, found in find_modules(model, LI))
    layer(torch.ones(2, 3, requires_grad=True))
    states = get_states(model)
    assert list(states) == [f"{path}.mem"]
    detach_states(model)
    assert not layer.mem.requires_grad
    reset_states(model)
    assert layer.mem is None
    set_states(model, states)
    assert layer.mem is states[f"{path}.mem"]


def test_cycles_are_handled_and_shared_layers_are_found_once() -> None:
    layer = LI(3)
    first, second = Record(layer), Record([layer])
    first.back, second.back = second, first
    model = nn.Sequential(layer)
    model.records = [first, second]  # type: ignore[assignment]
    assert list(find_modules(model, LI)) == [("0", layer)]
    assert list(find_modules(first, LI)) == [("layer", layer)]


def test_deeply_nested_layers_are_found() -> None:
    layer = LI(3)
    nested: Any = layer
    for _ in range(5000):
        nested = [nested]
    assert [found for _, found in find_modules(nested, LI)] == [layer]


def test_objects_of_libraries_are_not_searched() -> None:
    from lightning import Trainer

    trainer = Trainer(logger=False, barebones=True, accelerator="cpu")
    trainer.other_model = LI(3)
    model = nn.Sequential(LI(3))
    model.trainer = trainer  # type: ignore[assignment]
    assert [path for path, _ in find_modules(model, LI)] == ["0"]
