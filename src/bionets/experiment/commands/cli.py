"""The common part of the entry points: compose the config, run, and end with one line where the user can correct what
went wrong.
"""

import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from bionets.experiment.command_line import refuse_ignored, refuse_repeated
from bionets.experiment.config.help import asks_for_help, help_page
from bionets.experiment.config.option_values import refuse_values
from bionets.experiment.config.schemas import register
from bionets.experiment.config.shorthand import expand
from bionets.experiment.config.working_directory import search_working_directory
from bionets.experiment.errors import Busy, JobError, is_user_error, meant_for_users, one_line, raised_by_parser
from bionets.experiment.interrupts import exit_when_interrupted, raise_interrupt_behind
from bionets.experiment.run.process import Process, end_with

DEBUG = "HYDRA_FULL_ERROR"
"""The environment variable that asks for tracebacks."""


@exit_when_interrupted()
def command(name: str, configs: Path) -> NoReturn:
    """Run ``bionets.experiment.commands.<name>`` on the config that the command line composes, and exit.

    ``configs/`` in the working directory is searched before ``configs``, and modules there can be imported.

    Errors that a user can correct are one line and exit code 1; a wrong flag is exit code 2, Ctrl-C 130, SIGTERM 143.
    ``HYDRA_FULL_ERROR=1`` shows the whole traceback instead.
    """
    # The processes that ddp starts inherit what is set here, and are not meant.
    debug = os.environ.get(DEBUG) == "1" and "LOCAL_RANK" not in os.environ
    os.environ[DEBUG] = "1"  # Hydra then hands its errors to us instead of printing them itself
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
            # Imported only now, so that --help and a misspelt word do not wait for PyTorch.
            return getattr(import_module(f"bionets.experiment.commands.{name}"), name)(config)
        except Exception as error:
            raise_interrupt_behind(error)
            if alone:  # ends here, since Hydra would add lines of its own
                give_up(error)
            if isinstance(error, Busy):  # the sweep knows what to do
                raise
            # One job of many: the others go on, perhaps in other processes, and the sweep names it at its end.
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
        print(help_page(name, str(configs), sys.argv[1:]))
    except Exception as error:
        if not (is_user_error(error) or raised_by_parser(error)):
            raise
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)
