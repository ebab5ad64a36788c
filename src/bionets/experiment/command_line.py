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
    """A UserError for two values of one key, of which Hydra would silently take the last."""
    first: dict[str, str] = {}
    for word, override in zip(words, OverridesParser.create().parse_overrides(list(words)), strict=True):
        key = override.get_key_element().lstrip("+~")
        if key in first:
            raise UserError(f"{first[key]} and {word} both set {key}: leave out one of them")
        first[key] = word


def refuse_ignored(hydra: HydraConf) -> None:
    """A UserError for a sweep or a launcher on a command line without ``-m``, where Hydra would ignore it."""
    for group, default in OF_SWEEPS.items():
        choice = hydra.runtime.choices.get(group, default)
        if choice != default:
            raise UserError(f"{group}={choice} is for a sweep: add -m, as in {program('train')} -m {group}={choice}")


COMMAND = "BIONETS_COMMAND"
"""The environment variable that names the command which ``bionets`` runs, also to the processes that ddp starts."""


def program(name: str) -> str:
    """The command line prefix of a command: the script with its path, or ``bionets``."""
    if COMMAND in os.environ:
        return f"bionets {name}"
    script = Path(sys.argv[0])
    return f"python {shlex.quote(str(script.with_name(f'{name}.py')))}" if script.suffix == ".py" else f"bionets {name}"
