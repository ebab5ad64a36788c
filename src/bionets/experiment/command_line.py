"""The command line: the name of the program, repeated keys, and options that need a sweep."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser

from bionets.experiment.errors import UserError

OF_SWEEPS = {"sweep": "grid", "launcher": "basic"}
"""Config groups that only a sweep reads, and their defaults."""


def refuse_repeated(words: Sequence[str]) -> None:
    """Raise UserError if two words set the same key; Hydra would silently use the last one."""
    first: dict[str, str] = {}
    for word, override in zip(words, OverridesParser.create().parse_overrides(list(words)), strict=True):
        key = override.get_key_element().lstrip("+~")
        if key in first:
            raise UserError(f"{first[key]} and {word} both set {key}: leave out one of them")
        first[key] = word


def refuse_ignored(hydra: HydraConf) -> None:
    """Raise UserError for a sweep or a launcher without ``-m``, which Hydra would ignore."""
    for group, default in OF_SWEEPS.items():
        choice = hydra.runtime.choices.get(group, default)
        if choice != default:
            raise UserError(f"{group}={choice} is for a sweep: add -m, as in {program('train')} -m {group}={choice}")


COMMAND = "BIONETS_COMMAND"
"""The environment variable with the command that ``bionets`` runs; the processes that ddp starts inherit it."""


def program(name: str) -> str:
    """The beginning of a command line for a command: ``python`` and a script, or ``bionets <name>``."""
    if COMMAND in os.environ:
        return f"bionets {name}"
    script = Path(sys.argv[0])
    return f"python {shlex.quote(str(script.with_name(f'{name}.py')))}" if script.suffix == ".py" else f"bionets {name}"
