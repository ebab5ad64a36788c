"""The contract: for every step that is accepted, a compiled scan equals the reference at every call.

Each case hands over a step and a way to change something that it reads. Before and after the change both backends must
agree in outputs and gradients, or the compiled one must refuse by name and line.
"""

import cmath
import collections
import dataclasses
import enum
import functools
import gc
import math
import operator
import os
import random
import sys
import time
import types
import warnings
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bionets.layers import BRC, NBRC, PeepholeLSTM
from bionets.layers.spiking import ALIF, DSRLITS, LIB, PLIF, FullyRecurrent
from bionets.layers.stigmergic.recurrent_stigmergic_memory import recurrent_stages
from bionets.layers.stigmergic.stigmergic_memory import memory_stage
from bionets.scan import dense_scan, scan, surrogate
from bionets.scan.arguments import read_arguments
from bionets.scan.graph import UnsupportedStepError
from bionets.scan.last_used import LastUsed
from bionets.scan.program import program
from bionets.scan.trace.identity import identify

X = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
STATE = torch.zeros(2, 3, dtype=torch.float64)


def results(step: Any, backend: str, x: Tensor = X, state: Any = STATE) -> Tensor:
    """y and the gradient of x, in one tensor."""
    x = x.clone().requires_grad_()
    y, _ = scan(step, x, state, backend=backend)
    (gradient,) = torch.autograd.grad(y.square().sum(), x)
    return torch.cat([y.detach().flatten(), gradient.flatten()])


def agree(step: Any, **options: Any) -> Tensor:
    expected = results(step, "reference", **options)
    torch.testing.assert_close(results(step, "cpu", **options), expected)
    return expected


def scaled(by: Callable[[], Any]) -> Callable[..., Any]:
    """A step that reads a number."""

    def step(x: Tensor, h: Tensor, params: Any) -> Any:
        h = by() * torch.tanh(h + x)
        return h, h

    return step


# Each case gives a step and a function that changes what it reads.
Case = tuple[Any, Callable[[], object]]
CASES: list[Callable[[], Case]] = []


def case(make: Callable[[], Case]) -> Callable[[], Case]:
    CASES.append(make)
    return make


def module_of(source: str, **names: Any) -> dict[str, Any]:
    """The names of a module with this source."""
    module = types.ModuleType("written_by_a_user")
    module.__dict__.update(names, torch=torch, math=math, functools=functools, surrogate=surrogate)
    exec(source, module.__dict__)
    return module.__dict__


def of_source(source: str, change: str, **names: Any) -> Callable[[], Case]:
    """A case of a module that defines `step`, and a statement that is run in the module to change it."""

    def make() -> Case:
        module = module_of(source, **names)
        return module["step"], lambda: exec(change, module)

    return case(make)


STEP = "def step(x, h, params):\n    h = {} * torch.tanh(h + x)\n    return h, h\n"
SOURCES = {
    "global number": ("value = 1.0\n" + STEP.format("value"), "value = 3.0"),
    "global integer": ("value = 1\n" + STEP.format("value"), "value = 3"),
    "global zero and minus zero": (
        "value = 0.0\n" + STEP.format("1 / (abs(value) * 0 + value + 1e-9 * 0 + 1)"),
        "value = -0.5",
    ),
    "global list element": ("value = [1.0]\n" + STEP.format("value[0]"), "value[0] = 3.0"),
    "global dict entry": ("value = {'a': 1.0}\n" + STEP.format("value['a']"), "value['a'] = 3.0"),
    "global set": ("value = {1.0}\n" + STEP.format("sum(value)"), "value.add(3.0)"),
    "nested tuple with a list": ("value = (1, ([1.0],))\n" + STEP.format("value[1][0][0]"), "value[1][0][0] = 3.0"),
    "attribute of a tuple": (
        "class Numbers(tuple): pass\nvalue = Numbers()\nvalue.slope = 1.0\n" + STEP.format("value.slope"),
        "value.slope = 3.0",
    ),
    "new attribute of a partial": (
        "helper = functools.partial(float)\n" + STEP.format("getattr(helper, 'slope', 1.0)"),
        "helper.slope = 3.0",
    ),
    "nested lambda": ("value = 1.0\n" + STEP.format("(lambda: value)()"), "value = 3.0"),
    "list comprehension": ("value = 1.0\n" + STEP.format("sum([value * i for i in (1, 2)])"), "value = 3.0"),
    "generator": ("value = 1.0\n" + STEP.format("sum(value * i for i in (1, 2))"), "value = 3.0"),
    "dict comprehension": ("value = 1.0\n" + STEP.format("{1: value for i in (1, 2)}[1]"), "value = 3.0"),
    "helper's global": ("value = 1.0\ndef helper(): return value\n" + STEP.format("helper()"), "value = 3.0"),
    "helper two calls away": (
        "value = 1.0\ndef inner(): return value\ndef helper(): return inner()\n" + STEP.format("helper()"),
        "value = 3.0",
    ),
    "helper redefined": ("def helper(): return 1.0\n" + STEP.format("helper()"), "def helper(): return 3.0"),
    "helper in a lambda redefined": (
        "def helper(): return 1.0\n" + STEP.format("(lambda: helper())()"),
        "def helper(): return 3.0",
    ),
    "recursive helper": (
        "value = 1.0\ndef helper(n): return value if n == 0 else helper(n - 1)\n" + STEP.format("helper(2)"),
        "value = 3.0",
    ),
    "mutable default": (
        "def step(x, h, params, value=[1.0]):\n    h = value[0] * torch.tanh(h + x)\n    return h, h\n",
        "step.__defaults__[0][0] = 3.0",
    ),
    "defaults replaced": (
        "def step(x, h, params, value=1.0):\n    h = value * torch.tanh(h + x)\n    return h, h\n",
        "step.__defaults__ = (3.0,)",
    ),
    "keyword default changed": (
        "def step(x, h, params, *, value=1.0):\n    h = value * torch.tanh(h + x)\n    return h, h\n",
        "step.__kwdefaults__['value'] = 3.0",
    ),
    "code replaced": (STEP.format("1.0"), "step.__code__ = (lambda x, h, params: (x * 3, h)).__code__"),
    "function attribute": (STEP.format("step.slope") + "step.slope = 1.0\n", "step.slope = 3.0"),
    "helper's attribute": (
        "def helper(): return 1.0\nhelper.slope = 1.0\n" + STEP.format("helper.slope"),
        "helper.slope = 3.0",
    ),
    "class attribute": ("class value: slope = 1.0\n" + STEP.format("value.slope"), "value.slope = 3.0"),
    "class attribute that is inherited": (
        "class base: slope = 1.0\nclass value(base): pass\n" + STEP.format("value.slope"),
        "base.slope = 3.0",
    ),
    "class attribute added": (
        "class value: pass\n" + STEP.format("getattr(value, 'slope', 1.0)"),
        "value.slope = 3.0",
    ),
    "static method replaced": (
        "class value:\n    @staticmethod\n    def slope(): return 1.0\n" + STEP.format("value.slope()"),
        "value.slope = staticmethod(lambda: 3.0)",
    ),
    "static method's global": (
        "factor = 1.0\nclass value:\n    @staticmethod\n    def slope(): return factor\n"
        + STEP.format("value.slope()"),
        "factor = 3.0",
    ),
    "builtin hidden": (STEP.format("abs(-1.0)"), "abs = lambda value: 3.0"),
    "cached helper": (
        "value = 1.0\n@functools.cache\ndef helper(): return value\n" + STEP.format("helper()"),
        "value = 3.0; helper.cache_clear()",
    ),
    "decorated helper": (
        "value = 1.0\n"
        "def twice(function):\n"
        "    @functools.wraps(function)\n"
        "    def wrapper(): return 2 * function()\n"
        "    return wrapper\n"
        "@twice\n"
        "def helper(): return value\n" + STEP.format("helper()"),
        "value = 3.0",
    ),
    "helper decorated by torch": (
        "value = 1.0\n@torch.no_grad()\ndef helper(): return value\n" + STEP.format("helper()"),
        "value = 3.0",
    ),
    "import within the step": (
        "import sys\ndef step(x, h, params):\n    import settings_of_a_user\n"
        "    h = settings_of_a_user.slope * torch.tanh(h + x)\n    return h, h\n",
        "import settings_of_a_user; settings_of_a_user.slope = 3.0",
    ),
    "module attribute": (
        "import settings_of_a_user as settings\n" + STEP.format("settings.slope"),
        "settings.slope = 3.0",
    ),
    "attribute of a module's module": (
        "import settings_of_a_user as settings\nsettings.inner = settings\n" + STEP.format("settings.inner.slope"),
        "settings.slope = 3.0",
    ),
    "function of a module": (
        "import settings_of_a_user as settings\nsettings.spike = lambda: 1.0\n" + STEP.format("settings.spike()"),
        "settings.spike = lambda: 3.0",
    ),
    "globals()": ("value = 1.0\n" + STEP.format("globals()['value']"), "value = 3.0"),
    "eval": ("value = 1.0\n" + STEP.format("eval('value')"), "value = 3.0"),
    "function's globals": (
        "value = 1.0\ndef helper(): pass\n" + STEP.format("helper.__globals__['value']"),
        "value = 3.0",
    ),
    "class within the step": (
        "value = 1.0\ndef step(x, h, params):\n    class local:\n        slope = value\n"
        "    h = local.slope * torch.tanh(h + x)\n    return h, h\n",
        "value = 3.0",
    ),
    "slope of a surrogate": (
        "slope = 1.0\ndef step(x, h, params):\n    h = surrogate.arctan(h + x, slope) + x\n    return h, h\n",
        "slope = 9.0",
    ),
    "environment": ("import os\n" + STEP.format("float(os.environ.get('SLOPE', 1))"), "os.environ['SLOPE'] = '3'"),
}
for _source, _change in SOURCES.values():
    of_source(_source, _change)


@case
def bound_method() -> Case:
    class Cell:
        slope = 1.0

        def step(self, x: Tensor, h: Tensor, params: Any) -> Any:
            h = self.slope * torch.tanh(h + x)
            return h, h

    cell = Cell()
    return cell.step, lambda: setattr(cell, "slope", 3.0)


@case
def callable_object() -> Case:
    class Cell:
        slope = 1.0

        def __call__(self, x: Tensor, h: Tensor, params: Any) -> Any:
            h = self.slope * torch.tanh(h + x)
            return h, h

    cell = Cell()
    return cell, lambda: setattr(cell, "slope", 3.0)


@case
def class_method() -> Case:
    class Cell:
        slope = 1.0

        @classmethod
        def step(cls, x: Tensor, h: Tensor, params: Any) -> Any:
            h = cls.slope * torch.tanh(h + x)
            return h, h

    return Cell.step, lambda: setattr(Cell, "slope", 3.0)


class Module(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.slope = 1.0
        self.register_buffer("kept", torch.tensor(1.0))

    def forward(self, x: Tensor, h: Tensor, params: Any) -> Any:
        h = self.slope * torch.tanh(h + x) + float(self.kept)  # type: ignore[arg-type]
        return h, h


@case
def module_with_an_attribute() -> Case:
    module = Module()
    return module, lambda: setattr(module, "slope", 3.0)


@case
def module_with_a_buffer() -> Case:
    module = Module()
    return module.forward, lambda: module.kept.fill_(3.0)  # type: ignore[operator, union-attr]


@case
def module_in_evaluation() -> Case:
    class Hard(Module):
        def forward(self, x: Tensor, h: Tensor, params: Any) -> Any:
            return (torch.tanh(h + x) if self.training else h * x), h + x

    module = Hard()
    return module, module.eval


@case
def a_property() -> Case:
    class Cell:
        kept = 1.0

        @property
        def slope(self) -> float:
            return self.kept

    cell = Cell()
    return scaled(lambda: cell.slope), lambda: setattr(cell, "kept", 3.0)


@case
def method_behind_a_wrapper() -> Case:
    def passing(function: Any) -> Any:
        return lambda *arguments: function(*arguments)

    class Cell:
        slope = 1.0

        @passing
        def step(self, x: Tensor, h: Tensor, params: Any) -> Any:
            h = self.slope * torch.tanh(h + x)
            return h, h

    cell = Cell()
    return cell.step, lambda: setattr(cell, "slope", 3.0)


@case
def operator_of_an_object() -> Case:
    settings = types.SimpleNamespace(slope=1.0)
    return scaled(functools.partial(operator.attrgetter("slope"), settings)), lambda: setattr(settings, "slope", 3.0)


@case
def closure_number() -> Case:
    slope = 1.0

    def change() -> None:
        nonlocal slope
        slope = 3.0

    return scaled(lambda: slope), change


@case
def closure_list() -> Case:
    slope = [1.0]
    return scaled(lambda: slope[0]), lambda: slope.__setitem__(0, 3.0)


@case
def dataclass_attribute() -> Case:
    @dataclasses.dataclass
    class Settings:
        slope: float = 1.0

    settings = Settings()
    return scaled(lambda: settings.slope), lambda: setattr(settings, "slope", 3.0)


@case
def frozen_dataclass_overridden() -> Case:
    @dataclasses.dataclass(frozen=True)
    class Settings:
        slope: float = 1.0

    settings = Settings()
    return scaled(lambda: settings.slope), lambda: object.__setattr__(settings, "slope", 3.0)


@case
def namespace() -> Case:
    settings = types.SimpleNamespace(slope=1.0)
    return scaled(lambda: settings.slope), lambda: setattr(settings, "slope", 3.0)


@case
def number_with_attributes() -> Case:
    class Number(float):
        slope = 1.0

    number = Number(1.0)
    return scaled(lambda: number.slope), lambda: setattr(number, "slope", 3.0)


class Settings(NamedTuple):
    slope: Any
    other: float = 2.0

    @property
    def doubled(self) -> Any:
        return 2 * self.slope


@case
def named_tuple_replaced() -> Case:
    settings = Settings(1.0)

    def change() -> None:
        nonlocal settings
        settings = settings._replace(slope=3.0)

    return scaled(lambda: settings.doubled), change


@case
def named_tuple_of_a_list() -> Case:
    settings = Settings([1.0])
    return scaled(lambda: settings.slope[0]), lambda: settings.slope.__setitem__(0, 3.0)


@case
def named_tuple_class_changed() -> Case:
    class Local(NamedTuple):
        slope: float = 1.0

        @property
        def read(self) -> float:
            return self.slope

    local = Local()
    return scaled(lambda: local.read), lambda: setattr(Local, "read", property(lambda self: 3.0))


@case
def default_of_a_named_tuple() -> Case:
    class Local(NamedTuple):
        slope: float = 1.0

    return scaled(lambda: Local().slope), lambda: setattr(Local.__new__, "__defaults__", (3.0,))


@case
def enum_member() -> Case:
    class Kind(enum.Enum):
        SMALL = 1.0
        LARGE = 3.0

    kind = Kind.SMALL

    def change() -> None:
        nonlocal kind
        kind = Kind.LARGE

    return scaled(lambda: kind.value), change


@case
def attribute_of_an_enum_member() -> Case:
    class Kind(enum.Enum):
        ONE = 1

    Kind.ONE.slope = 1.0  # type: ignore[attr-defined]
    return scaled(lambda: Kind.ONE.slope), lambda: setattr(Kind.ONE, "slope", 3.0)  # type: ignore[attr-defined]


@case
def method_of_an_enum() -> Case:
    class Kind(enum.Enum):
        ONE = 1

        def slope(self) -> float:
            return 1.0

    return scaled(lambda: Kind.ONE.slope()), lambda: setattr(Kind, "slope", lambda self: 3.0)


@case
def partial_of_an_object() -> Case:
    settings = types.SimpleNamespace(slope=1.0)

    def step(x: Tensor, h: Tensor, params: Any, settings: Any) -> Any:
        h = settings.slope * torch.tanh(h + x)
        return h, h

    return functools.partial(step, settings=settings), lambda: setattr(settings, "slope", 3.0)


@case
def keywords_of_a_partial() -> Case:
    def step(x: Tensor, h: Tensor, params: Any, slope: float) -> Any:
        h = slope * torch.tanh(h + x)
        return h, h

    made = functools.partial(step, slope=1.0)
    return made, lambda: made.keywords.__setitem__("slope", 3.0)


@case
def keywords_of_a_captured_partial() -> Case:
    spike = functools.partial(surrogate.arctan, slope=1.0)

    def step(x: Tensor, h: Tensor, params: Any) -> Any:
        h = 0.5 * h + x
        return spike(h) + h, h

    return step, lambda: spike.keywords.__setitem__("slope", 9.0)


@case
def lru_cache_with_arguments() -> Case:
    slopes = {1: 1.0}

    @functools.lru_cache
    def slope(number: int) -> float:
        return slopes[number]

    def change() -> None:
        slopes[1] = 3.0
        slope.cache_clear()

    return scaled(lambda: slope(1)), change


@case
def numpy_scalar() -> Case:
    slope = np.float32(1.0)

    def change() -> None:
        nonlocal slope
        slope = np.float32(3.0)

    return scaled(lambda: float(slope)), change


@case
def numpy_array() -> Case:
    slope = np.ones(1)
    return scaled(lambda: float(slope[0])), lambda: slope.__setitem__(0, 3.0)


@case
def ordered_dict() -> Case:
    slopes = collections.OrderedDict(a=1.0)
    return scaled(lambda: slopes["a"]), lambda: slopes.__setitem__("a", 3.0)


@case
def iterator_of_a_deque() -> Case:
    slopes = collections.deque([1.0])
    return scaled(lambda: next(iter(slopes))), lambda: slopes.appendleft(3.0)


@case
def method_of_a_list() -> Case:
    slopes = [1.0]
    return scaled(functools.partial(slopes.__getitem__, 0)), lambda: slopes.__setitem__(0, 3.0)


@case
def derivative_of_an_own_function() -> Case:
    class Spike(torch.autograd.Function):
        slope = 1.0

        @staticmethod
        def forward(ctx: Any, v: Tensor) -> Tensor:
            ctx.save_for_backward(v)
            return (v > 0).to(v.dtype)

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
            (v,) = ctx.saved_tensors
            return gradient * Spike.slope / (1 + v.abs())

    def step(x: Tensor, h: Tensor, params: Any) -> Any:
        h = 0.5 * h + x
        return Spike.apply(h) + h, h

    return step, lambda: setattr(Spike, "slope", 3.0)


@case
def tensor_from_outside_by_its_value() -> Case:
    slope = torch.tensor(1.0)
    return scaled(slope.item), lambda: slope.fill_(3.0)


@case
def process_group() -> Case:
    def change() -> None:
        store = torch.distributed.HashStore()
        torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)

    return scaled(lambda: 1 + torch.distributed.is_initialized()), change


@case
def module_imported_in_the_function_around_the_step() -> Case:
    import settings_of_a_user as settings

    return scaled(lambda: settings.slope), lambda: setattr(settings, "slope", 3.0)


@case
def default_dtype() -> Case:
    return scaled(lambda: 1.0 if torch.get_default_dtype() == torch.float32 else 3.0), lambda: torch.set_default_dtype(
        torch.float64
    )


@pytest.fixture(autouse=True)
def settings_of_a_user(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = types.ModuleType("settings_of_a_user")
    module.slope = 1.0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "settings_of_a_user", module)
    monkeypatch.delenv("SLOPE", raising=False)
    yield
    os.environ.pop("SLOPE", None)
    torch.set_default_dtype(torch.float32)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


NAMES = [*SOURCES, *(make.__name__ for make in CASES[len(SOURCES) :])]


@pytest.mark.parametrize("make", CASES, ids=NAMES)
def test_a_change_of_what_a_step_reads_has_the_same_effect_in_both_backends(make: Callable[[], Case]) -> None:
    step, change = make()
    before = agree(step)
    assert torch.equal(agree(step), before)
    change()
    assert not torch.equal(agree(step), before), "the change has no effect on the reference"


# steps that read shapes, devices and other attributes

SHAPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "shape": lambda x, h: x / math.sqrt(x.shape[-1]),
    "size": lambda x, h: x * x.size(0) + h.size()[1],
    "numel": lambda x, h: x / x.numel() + torch.numel(h),
    "len": lambda x, h: x * len(x),
    "dimensions": lambda x, h: x * x.ndim + h.dim(),
    "branch": lambda x, h: torch.tanh(x) if x.shape[-1] > 4 else x,
    "zeros of a shape": lambda x, h: torch.zeros(x.shape) + x + torch.ones(h.shape, dtype=h.dtype),
    "new zeros": lambda x, h: x.new_zeros(x.shape) + x + x.new_full(x.size(), 2.0),
    "device": lambda x, h: x * 2 if x.device.type == "cpu" else x,
    "is_cuda": lambda x, h: x * 2 if x.is_cuda else x,
    "made on the device": lambda x, h: x + torch.ones((), device=x.device),
    "dtype": lambda x, h: x * torch.finfo(x.dtype).max ** 0.01,
    "to the device": lambda x, h: x.to(h.device) * 2,
    "expanded": lambda x, h: x.expand(h.shape) + h.expand_as(x),
    "viewed": lambda x, h: x.view(x.shape) + h.reshape_as(x),
    "result of an operation": lambda x, h: x * (x + h).shape[0],
    "of a scalar": lambda x, h: x * (1 + torch.tensor(2.0).dim()),
    "of an index": lambda x, h: x * x[None].shape[1] + h[None, :].dim() + x[:].numel(),
    "changed where it is": lambda x, h: _changed(2 * x, Tensor.cpu) + _changed(2 * h, lambda h: h.to(h.device)),
    "made with axes of one element": lambda x, h: x * x.new_ones(1, 1) * torch.zeros(1, 1, dtype=x.dtype).dim(),
    "of tensors that were broadcast": lambda x, h: x * torch.broadcast_tensors(x, torch.tensor(1.0))[1].shape[0],
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_read_by_a_step_are_those_of_the_arguments(name: str) -> None:
    def step(x: Tensor, h: Tensor, params: Any) -> Any:
        h = 0.5 * h + SHAPES[name](x, h)
        return h, h

    for shape in ((4, 2, 3), (3, 5, 7), (4, 2, 3), (2, 1, 2)):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        agree(step, x=x, state=torch.zeros(shape[1:]))


def test_parameters_and_inputs_that_broadcast_keep_their_own_shapes() -> None:
    def step(x: Any, h: Tensor, params: Any) -> Any:
        wide, narrow = x
        gain, bias = params
        h = h + wide * narrow.shape[-1] + gain * (1 + gain.dim()) + bias * bias.shape[0] * torch.atleast_2d(bias).dim()
        return h, h

    x = (torch.randn(4, 2, 3), torch.randn(4, 2, 1))
    params = (torch.tensor(0.5), torch.randn(3))
    found, expected = (scan(step, x, STATE, params, backend=backend)[0] for backend in ("cpu", "reference"))
    torch.testing.assert_close(found, expected)


def test_stages_have_the_shapes_of_the_previous_stage() -> None:
    def first(x: Tensor, recurrent: Tensor, h: Tensor, params: Any) -> Any:
        return None, (h + x / recurrent.shape[1], x)

    def second(x: Tensor, recurrent: Tensor, state: Any, params: Any) -> Any:
        h, other = state
        h = torch.tanh(h + recurrent + other / h.shape[0])
        return h, h

    weights = (torch.randn(3, 3), torch.randn(3, 3))
    found, expected = (
        dense_scan((first, second), X, STATE, (), weights, backend=backend)[0] for backend in ("cpu", "reference")
    )
    torch.testing.assert_close(found, expected)


counter = 0


def counting(x: Tensor, h: Tensor, params: Any) -> Any:
    global counter
    counter += 1
    return x * counter, h


class Counting:
    calls = 0

    def __call__(self, x: Tensor, h: Tensor, params: Any) -> Any:
        self.calls += 1
        return x * self.calls, h


class Remembering:
    last: Tensor | None = None

    def __call__(self, x: Tensor, h: Tensor, params: Any) -> Any:
        last, self.last = self.last, x
        return (x if last is None else x + last), h


class Recording:
    """Keeps a tensor that it does not use."""

    last: Tensor | None = None

    def __call__(self, x: Tensor, h: Tensor, params: Any) -> Any:
        self.last = torch.tanh(h + x)
        return self.last, self.last


recorded: list[Tensor] = []
captured = torch.randn(2, 3)
GENERATOR = np.random.default_rng(0)
REFUSED: dict[str, tuple[Any, str]] = {
    "a random number of Python": (
        lambda x, h, p: (x * random.random(), h),
        "computes something else when it runs again",
    ),
    "a random number of NumPy": (lambda x, h, p: (x * float(GENERATOR.random()), h), "when it runs again"),
    "a random tensor": (lambda x, h, p: (x + torch.rand_like(x), h), "aten.rand_like is not supported"),
    "dropout": (lambda x, h, p: (nn.functional.dropout(x, 0.5), h), "not supported"),
    "the clock": (lambda x, h, p: (x * time.perf_counter(), h), "when it runs again"),
    "a counter": (Counting(), "when it runs again"),
    "a global counter": (counting, "not pure: it assigns 'counter'"),
    "a tensor kept": (Remembering(), "hand it in through params"),
    "a tensor kept and not used": (Recording(), r"keeps a tensor.*self.last = torch.tanh\(h \+ x\)"),
    "a list of detached tensors": (lambda x, h, p: (x, (h + x, recorded.append(x.detach()))[0]), "keeps a tensor"),
    "a tensor from outside": (lambda x, h, p: (x + captured, h), "hand it in through params"),
    "requires_grad": (lambda x, h, p: (x * 2 if x.requires_grad else x, h), "reads requires_grad"),
    "is_leaf": (lambda x, h, p: (x * 2 if x.is_leaf else x, h), "reads is_leaf"),
    "grad mode": (lambda x, h, p: (x * (1 + torch.is_grad_enabled()), h), "when it runs again"),
    "strides": (lambda x, h, p: (x * x.stride(0), h), "reads stride"),
    "contiguity": (lambda x, h, p: (x * x.is_contiguous(), h), "reads is_contiguous"),
    "NumPy": (lambda x, h, p: (x * float(x.detach().numpy()[0]), h), "reads numpy"),
    "a list of values": (lambda x, h, p: (x * x.tolist()[0], h), "reads tolist"),
    "an item": (lambda x, h, p: (x * x.sum().item(), h), "aten.sum is not supported"),
    "a branch on a value": (lambda x, h, p: (x if (x > 0) else h, h), "branch with torch.where"),
    "float of a value": (lambda x, h, p: (x * float(h), h), "value of a tensor"),
    "another shape": (lambda x, h, p: (x.view(3, 2).view(2, 3), h), "changes a shape"),
    "an axis more": (lambda x, h, p: (x.unsqueeze(-1) + h, h), "changes a shape"),
    "a column": (lambda x, h, p: (torch.outer(p.detach(), p.new_ones(1)), h), "outer adds an axis"),
    "a column of bools": (lambda x, h, p: (torch.unsqueeze_copy(p > 0, 1), h), "unsqueeze_copy adds an axis"),
    "a column of a grid": (
        lambda x, h, p: (torch.meshgrid(p.detach(), p.new_ones(1), indexing="ij")[0], h),
        "meshgrid adds an axis",
    ),
    "an outer product of parameters": (lambda x, h, p: (x + torch.outer(p, p), h), "outer adds an axis"),
    "a first axis more": (lambda x, h, p: (x[None], h), r"y0 of the step .* has shape \[1, 2, 3\], not \[2, 3\]"),
    "no derivative": (lambda x, h, p: (x // 0.5, h), "the step .* has no derivative: .*floor_divide"),
    "a transposition": (lambda x, h, p: (x.T.T, h), "not supported"),
    "a transposition of one axis in a trace": (lambda x, h, p: (x + h.transpose(0, -1), h), "aten.transpose"),
    "a matrix transposed": (lambda x, h, p: (x + h.t(), h), "aten.t is not supported"),
    "axes swapped in place": (lambda x, h, p: (x + (2 * h).swapaxes_(0, -1), h), "aten.transpose_"),
    "an operation on matrices": (lambda x, h, p: (x + h.mT, h), "single elements.*only supported on matrices"),
    "a mean": (lambda x, h, p: (x - x.mean(), h), "not supported"),
    "a mean, caught": (lambda x, h, p: (_attempt(lambda: x - x.mean(), x), h), "aten.mean is not supported"),
    "an error of single elements, caught": (lambda x, h, p: (_attempt(lambda: h.mT.mT, x), h), "h.mT.mT"),
    "an error of a backward pass, caught": (lambda x, h, p: (Centred.apply(x), h), "aten.mean is not supported"),
    "a sum in a derivative": (lambda x, h, p: (x * torch.tensor([[2.0]]), h), r"sum.*in the derivative of the step"),
    "a matrix product": (lambda x, h, p: (h @ h.new_ones(3, 3), h), "shapes of matmul do not broadcast"),
    "a ValueError of single elements": (lambda x, h, p: (nn.functional.interpolate(x, 3), h), "on single elements"),
    "an input changed in place": (lambda x, h, p: (x.add_(1), h), "in place"),
    "a parameter plus x, in place": (lambda x, h, p: (_in_place(p.clone(), x), h), r"add_ writes \[2, 3\] into \[3\]"),
    "a contiguous tensor, in place": (lambda x, h, p: (_changed(2 * x, Tensor.contiguous), h), "may return a copy"),
    "a buffer times x, in place": (lambda x, h, p: (x.new_ones(3).mul_(x), h), r"mul_ writes \[2, 3\] into \[3\]"),
    "x copied into a parameter": (lambda x, h, p: ((2 * p).copy_(x), h), r"copy_ writes \[2, 3\] into \[3\]"),
    "x stored in a parameter": (lambda x, h, p: (_set(2 * p, ..., x), h), r"__setitem__ writes \[2, 3\] into \[3\]"),
    "an input set by a mask": (lambda x, h, p: (_set(x, x > 0, 0.0), h), "in place"),
    "a mask of the shape of a parameter": (lambda x, h, p: (_set(2 * x, p > 0, 0.0), h), "index_put_ is not supported"),
    "a tensor stored by a mask": (lambda x, h, p: (_set(2 * x, x > 0, x), h), "index_put_ is not supported"),
    "TorchScript": (lambda x, h, p: (scripted(x, h), h), "TorchScript"),
    "another tensor as out=": (
        lambda x, h, p: (_without_gradient(torch.add, x, 1.0, out=torch.empty_like(h)), h),
        r"add changes a tensor in place \(out=\)",
    ),
    "an input as out=": (lambda x, h, p: (_without_gradient(torch.add, x, 1.0, out=h), h), "in place"),
    "a list of inputs changed in place": (
        lambda x, h, p: (_without_gradient(torch._foreach_add_, [h], 1), h),
        "in place",
    ),
}


@torch.jit.script
def scripted(x: Tensor, h: Tensor) -> Tensor:
    return x * 2 if x.requires_grad else torch.tanh(x + h)


def _attempt(function: Callable[[], Tensor], otherwise: Tensor) -> Tensor:
    try:
        return function()
    except Exception:
        return otherwise


class Centred(torch.autograd.Function):
    """A gradient without its mean."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 1.0

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _attempt(lambda: gradient - gradient.mean(), gradient)


def _in_place(target: Tensor, value: Tensor) -> Tensor:
    target += value
    return target


def _changed(tensor: Tensor, same: Callable[[Tensor], Tensor]) -> Tensor:
    """The tensor, after its other form was changed in place, which is the tensor itself or a copy."""
    same(tensor).add_(1)
    return tensor


def _set(target: Tensor, index: Any, value: Any) -> Tensor:
    target[index] = value
    return target


def _without_gradient(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    with torch.no_grad():
        return function(*arguments, **options)


@pytest.mark.parametrize("name", REFUSED)
def test_steps_that_cannot_be_compiled_correctly_are_refused_with_their_line(name: str) -> None:
    step, message = REFUSED[name]
    with pytest.raises(UnsupportedStepError, match=message) as caught:
        scan(step, X, STATE, torch.ones(3, dtype=X.dtype), backend="cpu")
    assert "test_contract.py, line" in str(caught.value)


def test_in_place_operations_depend_on_the_shapes_of_a_call() -> None:
    def step(x: Any, h: Tensor, params: Any) -> Any:
        total = x[0].clone()
        total += x[1]
        return total, h

    agree(lambda x, h, p: step((x, 2 * x), h, p))
    scan(step, (X, X), STATE, backend="cpu")
    with pytest.raises(UnsupportedStepError, match=r"add_ writes \[2, 3\] into \[1, 3\]"):
        scan(step, (X[:, :1], X), STATE, backend="cpu")


def test_a_default_dtype_that_cannot_be_compiled_falls_back() -> None:
    def step(x: Tensor, h: Tensor, params: Any) -> Any:
        return x * torch.tensor(0.3), h

    torch.set_default_dtype(torch.bfloat16)
    try:
        with pytest.warns(UserWarning, match="torch.bfloat16 is not supported"):
            found, _ = scan(step, X, STATE)
        torch.testing.assert_close(found, scan(step, X, STATE, backend="reference")[0])
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_function_that_calls_itself_keeps_no_tensor() -> None:
    def step(x: Tensor, h: Tensor, params: Any) -> Any:
        def power(number: int) -> Tensor:
            return x if number == 1 else power(number - 1) * h

        return power(3), h + x

    agree(step)


def test_auto_falls_back_to_the_reference() -> None:
    step: Any = lambda x, h, p: (x * 2 if x.requires_grad else x, h)  # noqa: E731
    with pytest.warns(UserWarning, match="reads requires_grad"):
        found, _ = scan(step, X, STATE)
    torch.testing.assert_close(found, scan(step, X, STATE, backend="reference")[0])


def test_only_the_first_line_of_an_error_is_reported() -> None:
    def step(x: Tensor, h: Tensor, params: Any) -> Any:
        raise RuntimeError("first\nsecond")

    with pytest.raises(UnsupportedStepError, match=r"single elements: first \(.*test_contract.py") as caught:
        scan(step, X, STATE, backend="cpu")
    assert "second" not in str(caught.value).partition(" (")[0]


@pytest.mark.parametrize("axes", [lambda h: h.t(), lambda h: h.transpose(0, -1), lambda h: torch.swapaxes(h, 0, 1)])
def test_a_transposed_square_runs_on_the_reference_backend(axes: Callable[[Tensor], Tensor]) -> None:
    step: Any = lambda x, h, p: (x + axes(h), x)  # noqa: E731
    x, state = torch.randn(3, 2, 2), torch.randn(2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, _ = scan(step, x, state)
    torch.testing.assert_close(found, scan(step, x, state, backend="reference")[0])


@torch.library.custom_op("bionets_tests::exp", mutates_args=())
def exp_of_a_user(x: Tensor) -> Tensor:
    return 2 * x + 1


def test_a_user_operator_named_like_one_of_torch_is_refused() -> None:
    def step(x: Tensor, h: Tensor, params: Any) -> Any:
        return exp_of_a_user((x + h).detach()), h

    with pytest.raises(UnsupportedStepError, match=r"bionets_tests\.exp.*is not supported"):
        scan(step, X, STATE, backend="cpu")


def test_a_composite_user_operator_is_traced_at_each_call() -> None:
    scale = [1.0]
    library = torch.library.Library("bionets_tests_composite", "DEF")
    library.define("scaled(Tensor x) -> Tensor")
    library.impl("scaled", lambda x: scale[0] * x, "CompositeImplicitAutograd")
    operator_of_user = torch.ops.bionets_tests_composite.scaled

    def step(x: Tensor, h: Tensor, params: Any) -> Any:
        return operator_of_user(x + h), h

    before = agree(step)
    scale[0] = 3.0
    assert not torch.equal(agree(step), before)


MIXED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "integers": lambda x, p: p.to(torch.int32) * (10 * x).to(torch.int8),
    "an integer computed from it": lambda x, p: (p + p).long() + (10 * x).to(torch.int8),
    "two scalars": lambda x, p: p.to(torch.int8) * torch.tensor(2) + 0 * x,
    "other precision": lambda x, p: (x.float() + p).exp(),
}


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("shape", [(), (1,), (3,)])
def test_scalar_parameters_are_promoted_as_such_or_refused(name: str, shape: tuple[int, ...]) -> None:
    step: Any = lambda x, h, p: (MIXED[name](x, p).to(x.dtype), h)  # noqa: E731
    params = torch.full(shape, 100.7, dtype=torch.float64)
    if not shape:
        with pytest.raises(UnsupportedStepError, match="one of them of a scalar parameter; cast both"):
            scan(step, X, STATE, params, backend="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, _ = scan(step, X, STATE, params)
    torch.testing.assert_close(found, scan(step, X, STATE, params, backend="reference")[0])


def test_a_scalar_parameter_is_refused_after_a_vector_was_compiled() -> None:
    def step(x: Tensor, h: Tensor, p: Tensor) -> Any:
        return ((x > 0).to(torch.int8) * 100 + p.long()).to(x.dtype), h

    found, _ = scan(step, X, STATE, torch.full((3,), 100.0), backend="cpu")
    torch.testing.assert_close(found, 100 + 100 * (X > 0).double())
    with pytest.raises(UnsupportedStepError, match="one of them of a scalar parameter; cast both"):
        scan(step, X, STATE, torch.tensor(100.0), backend="cpu")


def test_scalar_parameters_may_be_compared_and_multiplied() -> None:
    step: Any = lambda x, h, p: (torch.where(p > 0.5, x * (p > 0), h) + (p > 0).int() * x, h)  # noqa: E731
    found, expected = (scan(step, X, STATE, torch.tensor(0.7), backend=each)[0] for each in ("cpu", "reference"))
    torch.testing.assert_close(found, expected)


SIGNED: dict[str, Callable[[Tensor], Tensor]] = {
    "plus zero": lambda x: x + 0.0,
    "zero plus": lambda x: sum([x]),  # type: ignore[arg-type, return-value]
    "minus zero": lambda x: x - 0.0,
    "minus a negative zero": lambda x: x - -0.0,
    "plus a negative zero": lambda x: x + -0.0,
    "plus zeros": lambda x: torch.zeros_like(x) + x,
}


@pytest.mark.parametrize("name", SIGNED)
def test_adding_zero_gives_the_sign_of_zero_of_torch(name: str) -> None:
    step: Any = lambda x, h, p: (1 / SIGNED[name](x), h)  # noqa: E731
    x = torch.tensor([0.0, -0.0, 2.0]).expand(1, 2, 3)
    found, expected = (scan(step, x, STATE, backend=each)[0] for each in ("cpu", "reference"))
    torch.testing.assert_close(found, expected)


# containers of tensors


def test_dicts_and_lists_of_tensors_are_accepted() -> None:
    def step(x: Any, state: Any, params: Any) -> Any:
        state["v"] = params[0] * state["v"] + x["drive"] * params[1]["gain"]
        params[1]["gain"] = params[1]["gain"] * 2  # a step's own dict
        return {"spike": torch.sigmoid(state["v"]), "all": [state["i"]]}, {
            "v": state["v"],
            "i": state["i"] + x["drive"],
        }

    x = {"drive": X}
    params = [torch.tensor(0.5), {"gain": torch.ones(3)}]
    found, expected = (
        scan(step, x, {"i": STATE, "v": STATE}, params, backend=backend) for backend in ("cpu", "reference")
    )
    torch.testing.assert_close(found, expected)
    assert found[0].keys() == {"spike", "all"}


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_other_containers_are_refused_by_name(backend: str) -> None:
    def step(x: Tensor, h: Tensor, params: Any) -> Any:
        return {x: x}, h

    with pytest.raises(TypeError, match=r"params must be a tensor, or a .* of tensors, found SimpleNamespace"):
        scan(step, X, STATE, types.SimpleNamespace(a=STATE), backend=backend)
    with pytest.raises(TypeError, match="the keys of a dict in y"):
        scan(step, X, STATE, backend=backend)
    with pytest.raises(TypeError, match=r"params\['a'\] must be a tensor, .* found float"):
        scan(step, X, STATE, {"a": 0.5}, backend=backend)


def test_methods_of_named_tuples_of_tensors_are_traced_at_each_call() -> None:
    gain = 1.0

    class Params(NamedTuple):
        weight: Tensor

        @property
        def scaled(self) -> Tensor:
            return self.weight * gain

    def step(x: Tensor, h: Tensor, params: Params) -> Any:
        h = torch.tanh(h + x * params.scaled)
        return h, h

    for value in (1.0, 3.0):
        gain = value
        found, expected = (
            scan(step, X, STATE, Params(torch.ones(3)), backend=backend)[0] for backend in ("cpu", "reference")
        )
        torch.testing.assert_close(found, expected)


def test_results_in_named_tuples_of_the_same_name_keep_their_own_fields() -> None:
    def step_of(fields: list[str]) -> Callable[..., Any]:
        kind = collections.namedtuple("Results", fields)  # type: ignore[misc]
        return lambda x, h, p: (kind(2 * x, h), h + x)

    for fields in (["drive", "memory"], ["memory", "drive"]):
        found, expected = (scan(step_of(fields), X, STATE, backend=backend)[0] for backend in ("cpu", "reference"))
        torch.testing.assert_close(found._asdict(), expected._asdict())


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("time", [0, 4])
@pytest.mark.parametrize("returned", ["state", "x", "parameter"])
def test_results_share_no_memory_with_arguments(returned: str, time: int, backend: str) -> None:
    x, state, params = X[:time].clone(), STATE.clone(), torch.ones(3, dtype=torch.float64)
    step: Any = lambda x, h, p: (x, {"state": h, "x": x, "parameter": p}[returned])  # noqa: E731
    y, final = scan(step, x, state, params, backend=backend)
    y.fill_(7.0)
    final.fill_(7.0)
    assert torch.equal(x, X[:time]) and torch.equal(state, STATE) and torch.equal(params, torch.ones_like(params))


def test_tensor_subclasses_run_on_the_reference() -> None:
    class Doubled(Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = super().__torch_function__(func, types, args, kwargs or {})
            return result * 2 if func is torch.tanh else result

    def step(x: Tensor, h: Tensor, params: Any) -> Any:
        return torch.tanh(x), h

    x = X.clone().as_subclass(Doubled)
    with pytest.warns(UserWarning, match="Doubled, with operations of its own"):
        found, _ = scan(step, x, STATE)
    torch.testing.assert_close(found, scan(step, x, STATE, backend="reference")[0])


def test_an_error_inside_a_step_names_its_line() -> None:
    def step(x: Tensor, h: Tensor, params: Any) -> Any:
        return x + params["missing"], h

    with pytest.raises(KeyError) as caught:
        scan(step, X, STATE, {"gain": STATE[0]}, backend="cpu")
    assert any("test_contract.py, line" in note and "missing" in note for note in caught.value.__notes__)


# caching of traced steps


def make(slope: float) -> Any:
    return lambda x, h, params: (surrogate.sigmoid(x + h, slope), h)


def test_provably_equal_steps_are_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    step = make(2.0)
    scan(step, X, STATE)
    monkeypatch.setattr(program, "trace_stage", None)
    scan(make(2.0), X, STATE)
    scan(step, torch.randn(7, 4, 5, dtype=torch.float64), torch.zeros(4, 5))
    assert identify(make(2.0)) == identify(make(2.0)) != identify(make(3.0))
    assert identify(make(0.0)) != identify(make(-0.0))
    assert identify(make(math.nan)) == identify(make(math.nan))
    assert identify(make(1)) != identify(make(1.0))
    assert identify(make(cmath.pi)) is not None and identify(make([])) is None  # type: ignore[arg-type]


class Unused:
    def step(self, x: Tensor, h: Tensor, params: Any) -> Any:
        return x + h, Settings(h, 1.0).slope


def test_methods_that_ignore_their_object_and_named_tuples_are_traced_once() -> None:
    assert identify(Unused().step) == identify(Unused().step) is not None


@pytest.mark.parametrize("kind", ["spiking", "recurrent", "stigmergic"])
def test_layers_of_this_package_are_traced_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "stigmergic":
        assert None not in [identify(each) for each in (memory_stage(0.0, 1.0), *recurrent_stages(2, None, 1.0))]
        return
    spiking = [LIB(3), DSRLITS(3), ALIF(3), PLIF(3), FullyRecurrent(LIB(3, spike_fn="arctan"))]
    layers = spiking if kind == "spiking" else [BRC(3, 3), NBRC(3, 3), PeepholeLSTM(3, 3)]
    call = (lambda layer: layer.over_time(X)) if kind == "spiking" else (lambda layer: layer(X.float()))
    for layer in layers:
        call(layer)
    monkeypatch.setattr(program, "trace_stage", None)
    for layer in layers:
        call(layer)


def test_an_annealed_number_becomes_a_parameter() -> None:
    module = module_of(SOURCES["slope of a surrogate"][0])
    keys = set()
    for number in range(20):
        module["slope"] = 1.5 + 0.37 * number
        agree(module["step"])
        arguments = read_arguments(X, STATE, (), (), None, False, 1)
        keys.add(program.find_program((module["step"],), arguments).program.key)
    assert len(keys) <= 2


def test_annealed_numbers_in_stages_agree_with_the_reference() -> None:
    cell = types.SimpleNamespace(slope=1.0, gain=2.0)

    def first(x: Tensor, recurrent: Tensor, h: Tensor, params: Any) -> Any:
        return None, (h + x * cell.slope * params[0], x)

    def second(x: Tensor, recurrent: Tensor, state: Any, params: Any) -> Any:
        h, other = state
        h = torch.tanh(h + cell.gain * recurrent + other * params[1] / h.shape[0])
        return h, h * cell.slope

    weights = (torch.randn(3, 3), torch.randn(3, 3))
    for number in range(4):
        cell.slope, cell.gain = 1.5 + number, 0.3 + number * number
        gradients = []
        for backend in ("cpu", "reference"):
            params = (torch.tensor(0.5, requires_grad=True), torch.randn(3, generator=torch.Generator().manual_seed(0)))
            x = X.clone().requires_grad_()
            y, h = dense_scan((first, second), x, STATE, params, weights, backend=backend)
            gradients.append([y, h, *torch.autograd.grad(y.sum() + h.square().sum(), [x, params[0]])])
        torch.testing.assert_close(*gradients)


def test_tables_of_known_steps_are_bounded() -> None:
    table: LastUsed[int] = LastUsed(3)
    for number in range(5):
        table[number] = number
        assert table.get(2) == (2 if number >= 2 else None)
    assert len(table) == 3 and table.get(0) is None and table.get(4) == 4


def test_objects_captured_by_a_step_are_freed() -> None:
    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.slope = 1.0
            self.layer = LIB(3, spike_fn=lambda v: surrogate.arctan(v, self.slope), quant_fn="identity")

        def step(self, x: Tensor, h: Tensor, params: Any) -> Any:
            return x * self.slope, h

        def forward(self, x: Tensor) -> Tensor:
            scan(lambda x, h, p: (x * self.slope, h), x, STATE)
            scan(self.step, x, STATE)
            scan(functools.partial(self.step), x, STATE)
            return self.layer.over_time(x)[0]

    watched = []
    for _ in range(30):
        cell = Cell()
        cell(X)
        watched.append(weakref.ref(cell))
        layer = LIB(3, spike_fn=lambda v: surrogate.arctan(v), quant_fn="identity")
        layer.over_time(X)
        watched.append(weakref.ref(layer))
        watched.append(weakref.ref(layer.neuron))
    del cell, layer
    gc.collect()
    assert not [each for each in watched if each() is not None]


@pytest.mark.parametrize("function", [lambda x: x.mean(1, keepdim=True), lambda x: torch.softmax(x, 1)])
def test_a_step_along_a_dimension_runs_on_the_reference_backend(function: Callable[[Tensor], Tensor]) -> None:
    def step(x: Tensor, h: Tensor, params: tuple[()]) -> tuple[Tensor, Tensor]:
        h = h + function(x)
        return h, h

    x, h = torch.randn(3, 2, 4), torch.zeros(2, 4)
    expected, _ = scan(step, x, h, backend="reference")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, _ = scan(step, x, h)
    torch.testing.assert_close(found, expected)
    with pytest.raises(NotImplementedError):
        scan(step, x, h, backend="cpu")


def test_a_stage_may_pass_on_a_broadcast_state() -> None:
    def first(x: Tensor, recurrent: Tensor, state: tuple[Tensor], params: tuple[Tensor]) -> tuple[None, tuple[Tensor]]:
        return None, (torch.tanh(params[0]),)

    def second(
        x: Tensor, recurrent: Tensor, state: tuple[Tensor], params: tuple[Tensor]
    ) -> tuple[Tensor, tuple[Tensor]]:
        return x + recurrent, (x + recurrent,)

    x, h, weight = torch.randn(3, 2, 4), torch.zeros(2, 4), torch.randn(4, 4)
    results = [
        dense_scan((first, second), x, (h,), (torch.ones(1),), (weight, weight), backend=backend)[0]
        for backend in ("reference", "cpu")
    ]
    torch.testing.assert_close(*results)
