"""``--help``: every key of a config, with its value and its description from a docstring, and the choices of groups."""

import inspect
import os
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from bionets.experiment.command_line import CONFIGS_HERE, OVERRIDE, WITH_VALUE, config_dir
from bionets.experiment.errors import UserError, did_you_mean
from bionets.import_path import import_object

ENTRY = re.compile(r"^    (?P<names>\w+(?:, \w+)*)(?: \([^)]*\))?\s*:\s+(?P<text>.*(?:\n {5,}.*)*)", re.MULTILINE)
IN_YAML = {"None": "null", "True": "true", "False": "false"}
"""Words of docstrings, and how they are written on a command line."""
IN_PYTHON = re.compile(rf"\b({'|'.join(IN_YAML)})\b")
WIDTH = 44
"""Characters for keys and values, before the descriptions."""
LIGHTNING = {"Trainer": "lightning.Trainer"}
"""Schemas with the arguments of a class of another package, and the class that documents them."""
UNTYPED = {"logger": "bionets.experiment.config.schemas.run.Logger"}
"""Groups without a schema, because they may hold other choices, and the class that documents their own keys."""


def asks_for_help(words: Sequence[str]) -> bool:
    return bool({"--help", "-h"} & set(words))


def help_page(name: str, configs: str, words: Sequence[str]) -> str:
    """The help page of a command with the given choices; ``--help model`` shows one group. Groups that are no key, such
    as ``launcher``, are shown by `choices_of`. Raises UserError for a word that is no group.
    """
    folder = config_dir(words)
    typed = [word for before, word in pairwise(["", *words]) if before not in WITH_VALUE and not word.startswith("-")]
    chosen = [word for word in typed if OVERRIDE.match(word)]
    groups = [word for word in typed if word not in chosen]
    found = [] if folder is None else [f"hydra.searchpath=[file://{folder}]"]
    GlobalHydra.instance().clear()
    with initialize_config_dir(configs, version_base="1.3"):
        config = compose(name, [*chosen, *found], return_hydra_config=True)
    template = config.hydra.help.template
    keys = [str(key) for key in config if key != "hydra"]
    others = [each for each in config.hydra.runtime.choices if "/" not in each and each not in (*keys, "hydra")]
    for word in groups:
        if word not in keys + others:
            known = ", ".join(keys + others)
            raise UserError(f"--help {word}: there is no such key, only {known}{did_you_mean(word, keys + others)}")
    folders = [Path(each) for each in (folder, configs, os.environ.get(CONFIGS_HERE)) if each]
    lines = documented(config, [key for key in keys if not groups or key in groups])
    for group in (each for each in others if each in groups):
        shown = any(word.startswith(f"{group}=") for word in chosen)
        lines += choices_of(group, config.hydra.runtime.choices[group] if shown else None, folders)
    text = "\n".join(lines)
    return text if groups else Template(template).safe_substitute(CONFIG=text)


def choices_of(group: str, chosen: str | None, folders: Sequence[Path]) -> list[str]:
    """The choices of a config group, with the first sentence of the file of each, then the file of the chosen one."""
    files = {file.stem: file for folder in folders for file in sorted(folder.glob(f"{group}/*.yaml"))}
    lines = []
    for name, file in files.items():
        comment = re.match(r"(?:# @package.*\n)?((?:# ?\S.*\n)*)", file.read_text(encoding="utf-8"))
        assert comment is not None
        lines.append(_line(f"{group}={name}", first_sentence(re.sub(r"^# ?", "", comment[1], flags=re.MULTILINE))))
    return [*lines, "", files[chosen].read_text(encoding="utf-8").rstrip()] if chosen in files else lines


def documented(config: DictConfig, keys: Sequence[str], indent: str = "") -> list[str]:
    """A config as YAML, one line for each key, with its description as a comment."""
    documents, lines = docstrings(config), []
    for key in sorted(keys, key=lambda key: key != "name"):
        node = config._get_node(key)
        comment = documents.get(key, "")
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing() and len(node):
            lines.append(_line(f"{indent}{key}:", comment))
            inner = [str(each) for each in node if each not in ("_target_", "_partial_")]
            lines += documented(node, inner, indent + "  ")
        else:
            lines.append(_line(f"{indent}{key}: {as_text(node)}", comment))
    return lines


def docstrings(config: DictConfig) -> dict[str, str]:
    """The first sentence on each argument of the target of a config, or on each field of its schema."""
    schema: Any = OmegaConf.get_type(config)
    ours = {} if schema in (dict, None) else argument_descriptions(schema)
    documented_by = LIGHTNING.get(getattr(schema, "__name__", ""), UNTYPED.get(str(config._key())))
    target = config._get_node("_target_") if "_target_" in config else documented_by
    if target is None:
        return ours
    try:
        return argument_descriptions(import_object(str(target))) | ours
    except ValueError:
        return ours


def argument_descriptions(target: Callable[..., Any]) -> dict[str, str]:
    """The first sentence on each argument in the section ``Args`` of a class or its bases, or of a function."""
    found: dict[str, str] = {}
    for kind in target.__mro__ if isinstance(target, type) else (target,):
        initialiser = vars(kind).get("__init__")
        for documented_by in (kind, initialiser):
            text = inspect.cleandoc(getattr(documented_by, "__doc__", None) or "")
            _, marked, rest = text.partition("\nArgs:\n")
            for entry in ENTRY.finditer(re.split(r"\n\S", rest)[0] if marked else ""):
                sentence = first_sentence(entry["text"])
                sentence = IN_PYTHON.sub(lambda word: IN_YAML[word[0]], sentence)
                for name in entry["names"].split(", "):
                    found.setdefault(name, sentence)
    return found


def first_sentence(text: str) -> str:
    return re.split(r"(?<=[^.][^.])(?<! al)\.\s", " ".join(text.split()) + " ")[0].strip().removesuffix(":")


def as_text(node: Any) -> str:
    """A value as YAML on one line; interpolations and missing values are not resolved."""
    value = OmegaConf.to_container(OmegaConf.create({"value": node}), resolve=False)
    assert isinstance(value, dict)
    if isinstance(value["value"], str) and value["value"].startswith(("${", "???")):
        return value["value"]
    return yaml.safe_dump(value["value"], default_flow_style=True, width=10_000).removesuffix("...\n").strip()


def _line(text: str, comment: str) -> str:
    return f"{text:<{WIDTH}} # {comment.replace('`', '')}" if comment else text
