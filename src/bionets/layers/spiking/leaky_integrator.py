"""The leaky integrators: one time step for all of them, and the classes made of it."""

from functools import cache, partial
from inspect import Parameter, Signature
from typing import Any, ClassVar

from torch import Tensor

from bionets.layers.spiking.constraints import Value
from bionets.layers.spiking.docstring import docstring
from bionets.layers.spiking.firing import Firing, QuantFn, SpikeFn
from bionets.layers.spiking.kind import Kind
from bionets.layers.spiking.spiking_layer import SpikingLayer
from bionets.layers.stateful import States


def leaky_integrator_step(
    x: Tensor, state: Any, params: Any, *, kind: Kind, firing: Firing | None, biased: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """One step of a leaky integrator; the docstring of its class has the equations."""
    syn, rec, mem = {}, {}, {}
    if kind.synaptic:
        for sign in kind.signs:
            alpha = getattr(params, sign + "alpha")
            syn[sign] = alpha * getattr(state, sign + "syn") + (1 - alpha) * part(x, sign)
        x = total(syn)
    if kind.recurrent:
        rec = {sign: getattr(state, sign + "rec") for sign in kind.signs}
        recurrent = total(rec)
    for sign in kind.signs:
        beta, drive = getattr(params, sign + "beta"), part(x, sign)
        mem[sign] = beta * getattr(state, sign + "mem") + ((1 - beta) * drive if kind.average else drive)
        if kind.recurrent:
            mem[sign] = mem[sign] + getattr(params, sign + "rec_weight") * part(recurrent, sign)
    y = total(mem)
    if firing is not None:
        y, reset = fire(y + params.bias if biased else y, state.noise, params, kind, firing)
        mem = {sign: trace - reset / len(mem) for sign, trace in mem.items()}
    if kind.recurrent:  # the trace that the next step reads
        for sign in kind.signs:
            gamma = getattr(params, sign + "gamma")
            rec[sign] = gamma * rec[sign] + (1 - gamma) * part(y, sign)
    return y, [*syn.values(), *rec.values(), *mem.values()]


def fire(mem: Tensor, noise: States, params: Any, kind: Kind, firing: Firing) -> tuple[Tensor, Tensor]:
    """The output for a membrane, bias included, and the reset that the spikes subtract from it."""
    if not kind.ternary:
        spike = firing(mem - params.threshold, noise[:1])
        return spike, spike * params.threshold
    pos = firing(mem - params.pos_threshold, noise[:1])
    neg = firing(-params.neg_threshold - mem, noise[1:])
    reset = pos * params.pos_threshold - neg * params.neg_threshold
    return (pos * params.pos_scale - neg * params.neg_scale if kind.scaled else pos - neg), reset


def part(x: Tensor, sign: str) -> Tensor:
    """The part of x with this sign: [x]₊ or [x]₋. At exactly 0 the gradient passes to both."""
    return x if sign == "" else x.clamp(min=0) if sign == "pos_" else x.clamp(max=0)


def total(traces: dict[str, Tensor]) -> Tensor:
    """The sum over the signs."""
    first, *others = traces.values()
    return first + others[0] if others else first


class LeakyIntegrator(SpikingLayer):
    """The base of the leaky integrators, as in ``class LIB(LeakyIntegrator, kind=Kind(output="B"))``.

    The constructor of such a class and its docstring follow from its ``kind``.
    """

    kind: ClassVar[Kind]

    def __init_subclass__(cls, kind: Kind | None = None) -> None:
        super().__init_subclass__()
        if kind is None:  # derived from one of these classes
            return

        def __init__(self: LeakyIntegrator, *args: Any, **options: Any) -> None:
            LeakyIntegrator.__init__(self, *args, **options)

        __init__.__signature__ = signature_of(kind)  # type: ignore[attr-defined]
        __init__.__qualname__, __init__.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
        cls.kind, cls.__doc__, cls.__init__ = kind, docstring(kind), __init__  # type: ignore[method-assign]

    def __init__(self, *args: Any, **options: Any) -> None:
        kind, own = self.kind, signature_of(self.kind)
        try:
            bound = own.bind(self, *args, **options)
        except TypeError as error:
            raise TypeError(f"{kind.name}: {error}; it takes {', '.join(list(own.parameters)[1:])}") from None
        bound.apply_defaults()
        given = bound.arguments
        self.state_names = kind.states
        firing = Firing.of(given["spike_fn"], given["quant_fn"]) if kind.fires else None
        self.noises = len(kind.polarities) if firing and firing.stochastic else 0
        biased = given.get("bias") is not None
        self.neuron = partial(leaky_integrator_step, kind=kind, firing=firing, biased=biased)
        super().__init__(given["num_neurons"], given["dim"], backend=given["backend"])
        constraints = {name: constraint for name, _, constraint in kind.parameters} | ({"bias": None} if biased else {})
        for name, constraint in constraints.items():
            rank, learn = given[f"{name}_rank"], given[f"learn_{name}"]
            self.add_parameter(name, given[name], constraint, rank=rank, learn=learn)


def leaky_integrator(kind: Kind, module: str = __name__) -> type[LeakyIntegrator]:
    """The class of a kind, also of one that has no name among the 32, as if written in ``module``."""
    return type(kind.name, (LeakyIntegrator,), {"__module__": module}, kind=kind)


@cache
def signature_of(kind: Kind) -> Signature:
    """``(self, num_neurons, *values, dim, [ranks, learned or not, spike_fn, quant_fn, backend])``; the last by name."""
    free, named = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY
    names = [declared.name for declared in kind.parameters]
    firing = {
        "bias": (None, Value | None),
        "bias_rank": (1, int),
        "learn_bias": (True, bool),
        "spike_fn": ("sigmoid4x", str | SpikeFn),
        "quant_fn": ("bernoulli", str | QuantFn),
    }
    by_name: dict[str, tuple[Any, Any]] = {
        **{f"{name}_rank": (1, int) for name in names},
        **{f"learn_{name}": (True, bool) for name in names},
        **(firing if kind.fires else {}),
        "backend": ("auto", str),
    }
    return Signature(
        [
            Parameter("self", free),
            Parameter("num_neurons", free, annotation=int),
            *(Parameter(name, free, default=default, annotation=Value) for name, default, _ in kind.parameters),
            Parameter("dim", free, default=-1, annotation=int),
            *(Parameter(name, named, default=value, annotation=kind) for name, (value, kind) in by_name.items()),
        ],
        return_annotation=None,
    )
