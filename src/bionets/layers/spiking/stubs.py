"""Writes leaky_integrators.pyi, from which editors and type checkers know the generated classes:

python -m bionets.layers.spiking.stubs
"""

import textwrap
from collections.abc import Iterable
from pathlib import Path

from bionets.layers.spiking.kind import KINDS, Kind

STUB = Path(__file__).with_name("leaky_integrators.pyi")

HEAD = '''"""Written by bionets.layers.spiking.stubs from the specification in kind.py; do not edit."""

# fmt: off
from torch import Tensor

from bionets.layers.spiking.constraints import Value
from bionets.layers.spiking.firing import QuantFn, SpikeFn
from bionets.layers.spiking.leaky_integrator import LeakyIntegrator
'''
# Bases that only the stub has: by name, the kind with this trait and one with as little else as possible.
TRAITS = {
    "_Membrane": (Kind(), None),
    "_DualMembrane": (Kind(dual=True), None),
    "_Synapse": (Kind(synaptic=True), Kind()),
    "_DualSynapse": (Kind(dual=True, synaptic=True), Kind(dual=True)),
    "_Recurrence": (Kind(recurrent=True, output="B"), Kind(output="B")),
    "_DualRecurrence": (Kind(dual=True, recurrent=True, output="B"), Kind(dual=True, output="B")),
    "_Binary": (Kind(output="B"), Kind()),
    "_Ternary": (Kind(output="T"), Kind()),
    "_Scaled": (Kind(output="TS"), Kind(output="T")),
}


def stub() -> str:
    """The text of the file."""
    names = _lines((f'"{kind.name}"' for kind in KINDS), 4)
    listed = f"__all__ = [  # noqa: RUF022\n{names}\n]"
    return "\n\n".join([HEAD.rstrip(), listed, *map(_trait, TRAITS), *map(_class, KINDS)]) + "\n"


def _lines(items: Iterable[str], indent: int) -> str:
    return textwrap.fill(", ".join(items), 118, initial_indent=" " * indent, subsequent_indent=" " * indent)


def _attributes(kind: Kind | None) -> dict[str, str]:
    """The attributes of the layer and their types."""
    if kind is None:
        return {}
    names = [name for declared in kind.parameters for name in declared.names] + ["bias"] * kind.fires
    return dict.fromkeys(names, "Tensor") | dict.fromkeys(kind.states, "Tensor | None")


def _trait(name: str) -> str:
    kind, without = TRAITS[name]
    known = _attributes(without)
    own = [f"    {name}: {type_}" for name, type_ in _attributes(kind).items() if name not in known]
    return "\n".join([f"class {name}(LeakyIntegrator):", *own])


def _bases(kind: Kind) -> list[str]:
    traces = ["Membrane"] + ["Synapse"] * kind.synaptic + ["Recurrence"] * kind.recurrent
    output = {"": [], "B": ["_Binary"], "T": ["_Ternary"], "TS": ["_Ternary", "_Scaled"]}[kind.output]
    return [f"_{'Dual' * kind.dual}{trace}" for trace in traces] + output


def _class(kind: Kind) -> str:
    names = [declared.name for declared in kind.parameters]
    arguments = [
        "num_neurons: int",
        *(f"{name}: Value = {default}" for name, default, _ in kind.parameters),
        "dim: int = -1",
        "*",
        *(f"{name}_rank: int = 1" for name in names),
        *(f"learn_{name}: bool = True" for name in names),
        *(["bias: Value | None = None", "bias_rank: int = 1", "learn_bias: bool = True"] if kind.fires else []),
        *(['spike_fn: str | SpikeFn = "sigmoid4x"', 'quant_fn: str | QuantFn = "bernoulli"'] if kind.fires else []),
        'backend: str = "auto"',
    ]
    head = f"class {kind.name}({', '.join(_bases(kind))}):"
    return "\n".join([head, "    def __init__(", _lines(["self", *arguments], 8), "    ) -> None: ..."])


if __name__ == "__main__":
    STUB.write_text(stub())
