"""The common part of all commands: compose the config, run the command, and print user errors as one line."""

import os
import sys
import traceback
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from bionets.experiment.command_line import expand, refuse_ignored, refuse_repeated, search_working_directory
from bionets.experiment.config.help import asks_for_help, help_page
from bionets.experiment.config.option_values import refuse_values
from bionets.experiment.config.schemas import register
from bionets.experiment.console import print_text
from bionets.experiment.errors import Busy, JobError, is_user_error, meant_for_users, one_line, raised_by_parser
from bionets.experiment.interrupts import exit_when_interrupted, raise_interrupt_behind
from bionets.experiment.run.process import Process, end_with

DEBUG = "HYDRA_FULL_ERROR"
"""The environment variable that shows tracebacks."""


@exit_when_interrupted()
def command(name: str, configs: Path) -> NoReturn:
    """Compose a config from the command line, run ``bionets.experiment.commands.<name>`` with it, and exit.

    ``configs/`` in the working directory is searched before ``configs``, and modules there can be imported.

    User errors are printed as one line, with exit code 1; a wrong flag has exit code 2, Ctrl-C 130, SIGTERM 143. With
    ``HYDRA_FULL_ERROR=1``, the whole traceback is printed instead.
    """
    # The processes that ddp starts inherit the value that is set below; they ignore it.
    debug = os.environ.get(DEBUG) == "1" and "LOCAL_RANK" not in os.environ
    os.environ[DEBUG] = "1"  # Hydra then raises its errors instead of printing them
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal or a file whose encoding lacks a character
            stream.reconfigure(errors="backslashreplace")
    if "LOCAL_RANK" in os.environ:
        end_with(Process.launcher())
    register(configs, families=name == "train")
    sys.argv[1:] = expand(sys.argv[1:])
    search_working_directory()
    if asks_for_help(sys.argv[1:]):
        show_help(name, configs)
    composing = True

    def job(config: DictConfig) -> Any:
        nonlocal composing
        composing = False
        alone = HydraConfig.get().mode != RunMode.MULTIRUN
        try:
            if alone:
                refuse_repeated(HydraConfig.get().overrides.task)
                refuse_ignored(HydraConfig.get())
            refuse_values(name, config)
            # Imported only now, so that --help and errors of the config need no slow imports of the command.
            return getattr(import_module(f"bionets.experiment.commands.{name}"), name)(config)
        except Exception as error:
            raise_interrupt_behind(error)
            if alone:  # exits here, since Hydra would print more lines
                give_up(error)
            if isinstance(error, Busy):  # the sweep handles it
                raise
            # One job of many: the others continue, perhaps in other processes, and the sweep names it at its end.
            print(f"failed: {one_line(error)}", file=sys.stderr)
            if debug or not is_user_error(error):
                traceback.print_exception(error)
            raise JobError(one_line(error)) from None

    def give_up(error: Exception) -> NoReturn:
        raise_interrupt_behind(error)
        if debug or not (is_user_error(error) or (composing and raised_by_parser(error))):
            raise error
        more = "" if meant_for_users(error) or composing else f"; {DEBUG}=1 shows the whole traceback"
        print(f"error: {one_line(error)}{more}", file=sys.stderr)
        sys.exit(1)

    try:
        hydra.main(config_path=str(configs), config_name=name, version_base="1.3")(job)()
    except Exception as error:
        give_up(error)
    sys.exit(0)


def show_help(name: str, configs: Path) -> NoReturn:
    """Print the help page of a command, and exit."""
    try:
        print_text(help_page(name, str(configs), sys.argv[1:]))
    except Exception as error:
        if not (is_user_error(error) or raised_by_parser(error)):
            raise
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)
