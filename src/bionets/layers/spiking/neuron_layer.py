"""Spiking layers whose parameters are declared in a table, from which the constructor is derived."""

from collections.abc import Callable, Mapping
from functools import partial
from inspect import Parameter, Signature, signature
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from bionets.layers.spiking.constraints import Value
from bionets.layers.spiking.firing import Firing, QuantFn, SpikeFn
from bionets.layers.spiking.spiking_layer import Neuron, SpikingLayer


class ParameterSpec(NamedTuple):
    """A parameter of a layer, and the defaults of the constructor's arguments for it.

    default: the default value; None if the parameter exists only when a value is given, by name.
    constraint: "decay", "threshold" or None, see `SpikingLayer.add_parameter`.
    rank: 1 for one value per neuron, 0 for one value per layer.
    learn: whether it is learned.
    """

    name: str
    default: float | None
    constraint: str | None = None
    rank: int = 1
    learn: bool = True


class NeuronLayer(SpikingLayer):
    """The base of the neurons of this package. A subclass declares

    - ``specs``: its parameters,
    - ``neuron_step``: ``(x, state, params, *, firing, **settings) -> (output, new states)``, see `SpikingLayer`,
    - ``default_spike_fn``: None for neurons that do not spike,
    - ``settings``: further arguments of the step with their defaults.

    The constructor takes ``num_neurons``, the value of each parameter, and ``dim``. Keyword arguments are
    ``<parameter>_rank`` and ``learn_<parameter>`` of each parameter, the settings, ``spike_fn``, ``quant_fn`` and
    ``backend``.
    """

    specs: ClassVar[tuple[ParameterSpec, ...]] = ()
    neuron_step: ClassVar[Callable[..., tuple[Tensor, Any]]]
    default_spike_fn: ClassVar[str | None] = None
    settings: ClassVar[Mapping[str, Any]] = {}
    signature: ClassVar[Signature]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "specs" not in vars(cls):
            return

        def __init__(self: NeuronLayer, *args: Any, **options: Any) -> None:
            NeuronLayer.__init__(self, *args, **options)

        if "__init__" not in vars(cls):
            __init__.__qualname__, __init__.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
            cls.__init__ = __init__  # type: ignore[method-assign]
        cls.signature = cls.__init__.__signature__ = signature_of(cls)  # type: ignore[attr-defined]

    def __init__(self, *args: Any, **options: Any) -> None:
        if not hasattr(self, "signature"):
            raise TypeError(f"{self._get_name()} has no parameters: declare them as specs = (ParameterSpec(...), ...)")
        try:
            bound = self.signature.bind(self, *args, **options)
        except TypeError as error:
            names = ", ".join(argument_names(type(self)))
            raise TypeError(f"{self._get_name()}: {error}; it takes {names}") from None
        bound.apply_defaults()
        given = bound.arguments
        firing = Firing.of(given["spike_fn"], given["quant_fn"]) if "spike_fn" in given else None
        self.noises = int(firing is not None and firing.stochastic)
        self.neuron = self.make_neuron(firing, given)
        super().__init__(given["num_neurons"], given["dim"], backend=given["backend"])
        for name, default, constraint, *_ in self.specs:
            if default is not None or given[name] is not None:
                rank, learn = given[f"{name}_rank"], given[f"learn_{name}"]
                self.add_parameter(name, given[name], constraint, rank=rank, learn=learn)

    def make_neuron(self, firing: Firing | None, given: Mapping[str, Any]) -> Neuron:
        """The step of these neurons, for the arguments of the constructor."""
        settings = {name: given[name] for name in self.settings}
        return partial(self.neuron_step, firing=firing, **settings)


def argument_names(kind: type) -> list[str]:
    """The names of the arguments of a constructor, including those that it passes on to its base by ``**``."""
    own = signature(kind).parameters.values()
    named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    passes_on = any(each.kind is Parameter.VAR_KEYWORD for each in own)
    inherited = argument_names(kind.__mro__[1]) if passes_on else []
    return list(dict.fromkeys([*(each.name for each in own if each.kind in named), *inherited]))


def signature_of(kind: type[NeuronLayer]) -> Signature:
    """The signature of the constructor of a class."""
    free, named = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY
    always = [spec for spec in kind.specs if spec.default is not None]
    optional = [spec for spec in kind.specs if spec.default is None]
    by_name: dict[str, tuple[Any, Any]] = {
        **{f"{spec.name}_rank": (spec.rank, int) for spec in kind.specs},
        **{f"learn_{spec.name}": (spec.learn, bool) for spec in kind.specs},
        **{spec.name: (None, Value | None) for spec in optional},
        **{name: (default, type(default)) for name, default in kind.settings.items()},
    }
    if kind.default_spike_fn is not None:
        by_name |= {"spike_fn": (kind.default_spike_fn, str | SpikeFn), "quant_fn": ("bernoulli", str | QuantFn)}
    by_name["backend"] = ("auto", str)
    return Signature(
        [
            Parameter("self", free),
            Parameter("num_neurons", free, annotation=int),
            *(Parameter(spec.name, free, default=spec.default, annotation=Value) for spec in always),
            Parameter("dim", free, default=-1, annotation=int),
            *(Parameter(name, named, default=value, annotation=kind) for name, (value, kind) in by_name.items()),
        ],
        return_annotation=None,
    )
