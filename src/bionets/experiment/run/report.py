"""The report at the end of a run: results, published numbers, paths of figures, the command to run it again."""

import shlex
import sys
from contextlib import suppress
from typing import Any

from rich.table import Table

from bionets.analysis.names import name_of
from bionets.experiment.command_line import config_dir, override_of, program
from bionets.experiment.console import escape_controls, print_line, print_wide
from bionets.experiment.errors import UserError
from bionets.experiment.run.fast_dev_run import keeps_nothing
from bionets.experiment.run.published import published
from bionets.experiment.run.run_folder import RunFolder


def print_results(
    config: dict[str, Any],
    result: dict[str, Any],
    folder: RunFolder,
    overrides: list[str],
    brief: bool = False,
) -> None:
    """Print a table of the headline numbers, and paths and commands; with ``brief``, one line with the numbers."""
    if brief:
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in result["metrics"].items())
        print_line(f"{title_of(config)}: {numbers}")
        return
    print_metrics(config, result["metrics"])
    epochs, steps = result["epochs"], result["steps"]
    trained = f"{epochs} epoch{'s' * (epochs != 1)}, {steps} step{'s' * (steps != 1)}, {result['wall_time']:.0f} s"
    trained += f"; best epoch {result['best_epoch']} (the first is 0)"
    lines = [("trained", trained)]
    if not keeps_nothing():
        lines += [
            ("folder", str(folder.path)),
            *(("figure", str(file)) for file in folder.figure_files()),
            ("run again", command_of(overrides)),
            ("evaluate", evaluation_of(config, folder)),
        ]
    for label, text in lines:
        print_line(f"{label:>9}  {text}")


def print_metrics(config: dict[str, Any], metrics: dict[str, float]) -> None:
    known = published(config)
    print_line(title_of(config))
    table = Table()
    table.add_column("metric")
    table.add_column("ours", justify="right")
    if known:
        table.add_column("published", justify="right")
    for name, value in metrics.items():
        row = [name, f"{value:.4f}" if abs(value) >= 1e-3 else f"{value:.2g}"]
        if known:
            row.append(f"{known[name].value:g}" if name in known else "")
        table.add_row(*row)
    print_wide(table)
    for source in {figure.source for name, figure in known.items() if name in metrics}:
        print_line(f"published: {source}")


def print_stopped() -> None:
    """Print how to resume after Ctrl-C or SIGTERM."""
    print_line("stopped: the same command continues after the last complete epoch")


def command_of(overrides: list[str]) -> str:
    """The command that repeats this run in the same working directory."""
    folder = config_dir(sys.argv[1:])
    words = [] if folder is None else ["--config-dir", folder]
    return " ".join([program("train"), *map(shlex.quote, [*words, *overrides])])


def evaluation_of(config: dict[str, Any], folder: RunFolder) -> str:
    """The command that tests this run again. It trusts the modules that the user has just run."""
    from bionets.experiment.run.trust import modules_to_trust  # imports PyTorch, which searches do not need here

    words = [override_of("run", str(folder.path))]
    with suppress(UserError):  # a config that `evaluate.py` refuses with any trust
        if modules := modules_to_trust(config):
            words.append(f"trust={modules[0] if len(modules) == 1 else '[' + ','.join(modules) + ']'}")
    return " ".join([program("evaluate"), *map(shlex.quote, words)])


def title_of(config: dict[str, Any]) -> str:
    return escape_controls(f"{config['model']['name']} on {config['task']['name']}, seed {config['seed']}")


def figure_title(config: dict[str, Any]) -> str:
    """The same as `title_of`, with the names that papers use."""
    return escape_controls(
        f"{name_of(config['model']['name'])} on {name_of(config['task']['name'])}, seed {config['seed']}"
    )
