"""Writes leaky_integrators.pyi, from which editors and type checkers know the generated classes:

python -m bionets.layers.spiking.stubs
"""

import textwrap
from pathlib import Path

from bionets.layers.spiking.kind import KINDS, Kind

__all__ = ["STUB", "stub"]

STUB = Path(__file__).with_name("leaky_integrators.pyi")

HEAD = '''"""Written by bionets.layers.spiking.stubs from the specification in kind.py; do not edit."""

# fmt: off
from torch import Tensor

from bionets.layers.spiking.constraints import Value
from bionets.layers.spiking.firing import QuantFn, SpikeFn
from bionets.layers.spiking.leaky_integrator import LeakyIntegrator
'''


def stub() -> str:
    """The text of the file."""
    return "\n\n".join([HEAD.rstrip(), *map(_class, KINDS)]) + "\n"


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
    lines = [f"class {kind.name}(LeakyIntegrator):"]
    lines += [f"    {name}: Tensor" for declared in kind.parameters for name in declared.names]
    lines += ["    bias: Tensor"] * kind.fires
    lines += [f"    {name}: Tensor | None" for name in kind.states]
    inner = textwrap.fill(", ".join(["self", *arguments]), 118, initial_indent=" " * 8, subsequent_indent=" " * 8)
    return "\n".join([*lines, "    def __init__(", inner, "    ) -> None: ..."])


if __name__ == "__main__":
    STUB.write_text(stub())
