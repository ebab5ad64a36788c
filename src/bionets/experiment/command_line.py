"""The command line: short forms, repeated keys, options that need a sweep, the name of the program, and the configs and
modules of the working directory.
"""

import argparse
import os
import re
import shlex
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from bionets.experiment.errors import UserError

WITH_VALUE = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--package", "-p")
OVERRIDE = re.compile(r"~|[^-].*=")
NAMED = re.compile(r"^(optimizer|schedule)\.name=(.+)")
OF_SWEEPS = {"sweep": "grid", "launcher": "basic"}
"""Config groups that only a sweep reads, and their defaults."""


def expand(words: Sequence[str]) -> list[str]:
    """Replace ``optimizer.name=Adagrad`` by ``optimizer=Adagrad``, which has the arguments of this class of PyTorch,
    and ``schedule.name`` likewise. Move flags to the front: argparse accepts overrides only on one side of a flag.
    """
    flags: list[str] = []
    overrides: list[str] = []
    for before, word in pairwise(["", *words]):
        own = OVERRIDE.match(word) and before not in WITH_VALUE
        (overrides if own else flags).append(word)
    return flags + [NAMED.sub(r"\1=\2", word) for word in overrides]


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


def refuse_without_effect(reason: str, keys: Collection[str]) -> None:
    """Raise UserError if one of these keys is set on the command line, where it has no effect for this reason."""
    words = HydraConfig.get().overrides.task if HydraConfig.initialized() else ()
    for word in words:
        if re.split(r"[=.]", word.lstrip("+~"), maxsplit=1)[0] in keys:
            raise UserError(f"{word} has no effect with {reason}: leave it out")


def config_dir(words: Sequence[str]) -> str | None:
    """The folder that ``--config-dir`` names; None without this option."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    folder: str | None = parser.parse_known_args(list(words))[0].config_dir
    return folder


def override_of(key: str, value: str) -> str:
    """``key=value``, with quotes around a value that Hydra would otherwise read as more or other than this text."""
    parser, word = OverridesParser.create(), f"{key}={value}"
    with suppress(HydraException):
        if parser.parse_override(word).value() == value:
            return word
    return f"{key}={QuotedString(value, Quote.single).with_quotes()}"


COMMAND = "BIONETS_COMMAND"
"""The environment variable with the command that ``bionets`` runs; the processes that ddp starts inherit it."""


def program(name: str) -> str:
    """The beginning of a command line for a command: ``python`` and a script, or ``bionets <name>``."""
    if COMMAND in os.environ:
        return f"bionets {name}"
    script = Path(sys.argv[0])
    return f"python {shlex.quote(str(script.with_name(f'{name}.py')))}" if script.suffix == ".py" else f"bionets {name}"


CONFIGS_HERE = "BIONETS_CONFIGS_HERE"
"""The environment variable with the folder of configs, read by the search path plugin and in child processes."""


def search_working_directory() -> None:
    """Search ``configs/`` of the working directory before the configs of bionets, and make modules in the working
    directory importable, as in ``model.layer=my_cells.MyCell``, in this process and in those that it starts.
    """
    here = Path.cwd()
    os.environ[CONFIGS_HERE] = str(here / "configs") if (here / "configs").is_dir() else ""
    if str(here) not in sys.path:
        sys.path.append(str(here))
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(here) not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join([*filter(None, known), str(here)])


def own_configs() -> list[Path]:
    """The user's folders of configs: ``configs/`` of the working directory, and that of ``--config-dir``."""
    return [Path(folder) for folder in (os.environ.get(CONFIGS_HERE), config_dir(sys.argv[1:])) if folder]
