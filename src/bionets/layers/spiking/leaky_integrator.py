"""The leaky integrators: one time step for all of them, and the classes made of it."""

from functools import partial
from inspect import Parameter, Signature, signature
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
    """The base of the 32 leaky integrators, which `leaky_integrator` makes; ``kind`` says which one it is."""

    kind: ClassVar[Kind]

    def __init__(
        self,
        num_neurons: int,
        dim: int = -1,
        *,
        spike_fn: str | SpikeFn = "sigmoid4x",
        quant_fn: str | QuantFn = "bernoulli",
        backend: str = "auto",
        **parameters: Any,
    ) -> None:
        self.state_names = self.kind.states
        firing = Firing.of(spike_fn, quant_fn) if self.kind.fires else None
        self.noises = len(self.kind.polarities) if firing and firing.stochastic else 0
        bias = parameters.get("bias")
        self.neuron = partial(leaky_integrator_step, kind=self.kind, firing=firing, biased=bias is not None)
        super().__init__(num_neurons, dim, backend=backend)
        for name, default, constraint in self.kind.parameters:
            rank, learn = parameters.get(f"{name}_rank", 1), parameters.get(f"learn_{name}", True)
            self.add_parameter(name, parameters.get(name, default), constraint, rank=rank, learn=learn)
        if bias is not None:
            rank, learn = parameters.get("bias_rank", 1), parameters.get("learn_bias", True)
            self.add_parameter("bias", bias, rank=rank, learn=learn)


def leaky_integrator(kind: Kind, module: str = __name__) -> type[LeakyIntegrator]:
    """The class of a kind, as if written by hand in ``module``: with name, docstring and signature."""
    own = signature_of(kind)

    def __init__(self: LeakyIntegrator, *args: Any, **kwargs: Any) -> None:
        try:
            arguments = own.bind(self, *args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{kind.name}: {error}; it takes {', '.join(list(own.parameters)[1:])}") from None
        LeakyIntegrator.__init__(**arguments)

    __init__.__signature__ = own  # type: ignore[attr-defined]
    __init__.__qualname__, __init__.__module__ = f"{kind.name}.__init__", module
    names = [name for declared in kind.parameters for name in declared.names] + ["bias"] * kind.fires
    values = dict.fromkeys(names, Tensor)
    states = dict.fromkeys(kind.states, Tensor | None)
    body = {"__module__": module, "__qualname__": kind.name, "__doc__": docstring(kind), "__init__": __init__}
    return type(kind.name, (LeakyIntegrator,), {**body, "__annotations__": {**values, **states}, "kind": kind})


def signature_of(kind: Kind) -> Signature:
    """``(self, num_neurons, *values, dim, [ranks, learned or not, spike_fn, quant_fn, backend])``; the last by name."""
    names = [declared.name for declared in kind.parameters]
    free, named = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY
    shared = signature(LeakyIntegrator.__init__).parameters
    bias = (
        Parameter("bias", named, default=None, annotation=Value | None),
        Parameter("bias_rank", named, default=1, annotation=int),
        Parameter("learn_bias", named, default=True, annotation=bool),
    )
    return Signature(
        [
            Parameter("self", free),
            Parameter("num_neurons", free, annotation=int),
            *(Parameter(name, free, default=default, annotation=Value) for name, default, _ in kind.parameters),
            Parameter("dim", free, default=-1, annotation=int),
            *(Parameter(f"{name}_rank", named, default=1, annotation=int) for name in names),
            *(Parameter(f"learn_{name}", named, default=True, annotation=bool) for name in names),
            *((*bias, shared["spike_fn"], shared["quant_fn"]) if kind.fires else ()),
            shared["backend"],
        ],
        return_annotation=None,
    )
