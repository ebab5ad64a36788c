"""The leaky integrators: one step function for all of them, and their classes."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from bionets.layers.spiking.docstring import docstring
from bionets.layers.spiking.firing import Firing
from bionets.layers.spiking.kind import Kind
from bionets.layers.spiking.neuron_layer import NeuronLayer, ParameterSpec
from bionets.layers.spiking.spiking_layer import Neuron
from bionets.layers.stateful import States


def leaky_integrator_step(
    x: Tensor, state: Any, params: Any, *, kind: Kind, firing: Firing | None, biased: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """One step of a leaky integrator; for the equations see the docstring of its class."""
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
    """The part of x with this sign: [x]₊ or [x]₋. At exactly 0 the gradient passes to both, which ``clamp`` does only
    up to torch 2.13."""
    return x if sign == "" else torch.where(x < 0 if sign == "pos_" else x > 0, 0.0, x)


def total(traces: dict[str, Tensor]) -> Tensor:
    """The sum over the signs."""
    first, *others = traces.values()
    return first + others[0] if others else first


class LeakyIntegrator(NeuronLayer):
    """The base of the leaky integrators, as in ``class LIB(LeakyIntegrator, kind=Kind(output="B"))``.

    The parameters, states and docstring of such a class are derived from its ``kind``.
    """

    kind: ClassVar[Kind]

    def __init_subclass__(cls, kind: Kind | None = None) -> None:
        if kind is not None:  # otherwise derived from one of these classes
            cls.kind, cls.__doc__, cls.state_names = kind, docstring(kind), kind.states
            cls.specs = (*kind.parameters, ParameterSpec("bias", None)) if kind.fires else kind.parameters
            cls.default_spike_fn = "sigmoid4x" if kind.fires else None
        elif not hasattr(cls, "kind"):
            raise TypeError(
                f"{cls.__name__} has no kind: write class {cls.__name__}(LeakyIntegrator, kind=Kind(...)), "
                "or derive it from one of the leaky integrators, such as LIB"
            )
        super().__init_subclass__()

    def make_neuron(self, firing: Firing | None, given: Mapping[str, Any]) -> Neuron:
        self.noises *= len(self.kind.polarities)
        biased = given.get("bias") is not None
        return partial(leaky_integrator_step, kind=self.kind, firing=firing, biased=biased)


def leaky_integrator(kind: Kind, module: str = __name__) -> type[LeakyIntegrator]:
    """The class of a kind, also of a kind that is not among the 32 names, as if defined in ``module``."""
    return type(kind.name, (LeakyIntegrator,), {"__module__": module}, kind=kind)
