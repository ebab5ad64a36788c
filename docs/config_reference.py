"""Writes the page ``reference/config.md`` while the site is built: the keys of the commands and of every choice."""

from collections.abc import Iterator
from pathlib import Path

from hydra import compose, initialize_config_dir
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from bionets.experiment.config.help import documented
from bionets.experiment.config.schemas import register

CONFIGS = Path(__file__).parents[1] / "configs"
GROUPS = ("model", "task", "optimizer", "schedule", "callbacks", "logger", "paths")
COMMANDS = ("train", "evaluate", "compare", "analyse", "runs")
PAGE = "reference/config.md"
HEAD = """# Configuration

Every key of the commands, and of every choice of a model, task, optimizer, schedule, logger and of the callbacks, with
its default. On a command line a key is written with its group: `model.hidden_size=50`. `python train.py model=brc
--help` shows the same for one combination.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by MkDocs."""
    files.append(File.generated(config, PAGE, content=page()))
    return files


def page() -> str:
    register(CONFIGS)
    parts = [HEAD]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        for command in COMMANDS:
            node = compose(command)
            keys = [str(key) for key in node if key not in GROUPS]
            parts.append(section(f"## `bionets {command}`", documented(node, keys)))
        for group in GROUPS:
            parts.append(f"## `{group}`\n")
            for choice in choices_of(group):
                composed = compose("train", [f"{group}={choice}"])
                keys = [str(key) for key in composed[group] if key not in ("_target_", "_partial_")]
                parts.append(section(f"### `{group}={choice}`", documented(composed[group], keys)))
    return "\n".join(parts)


def choices_of(group: str) -> Iterator[str]:
    folder = CONFIGS / group
    for file in sorted(folder.rglob("*.yaml")):
        yield str(file.relative_to(folder).with_suffix(""))


def section(title: str, lines: list[str]) -> str:
    return "\n".join([title, "", "```yaml", *lines, "```", ""])
