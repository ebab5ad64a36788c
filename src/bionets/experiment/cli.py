"""What the entry points have in common: compose the config, run, and end with one line where a user can mend what went
wrong.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from bionets.experiment.errors import MENDABLE, one_line
from bionets.experiment.schemas import register

INTERRUPTED = 130  # the shell's exit code for Ctrl-C


def command(function: Callable[[DictConfig], Any], configs: Path) -> NoReturn:
    """Run ``function`` on the config that its name and the command line compose, and exit.

    Errors that a user can mend are one line and exit code 1; Ctrl-C is exit code 130. ``HYDRA_FULL_ERROR=1`` shows the
    whole traceback instead.
    """
    # The processes that ddp starts inherit what is set here, and are not meant.
    debug = os.environ.get("HYDRA_FULL_ERROR") == "1" and "LOCAL_RANK" not in os.environ
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands its errors to us instead of printing them itself
    register(configs)

    def job(config: DictConfig) -> Any:
        multirun = HydraConfig.get().mode == RunMode.MULTIRUN
        try:
            return function(config)
        except MENDABLE as error:
            if debug:
                raise
            complain(error)
            if multirun:  # the other jobs go on
                raise
            sys.exit(1)

    try:
        hydra.main(config_path=str(configs), config_name=function.__name__, version_base="1.3")(job)()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except MENDABLE as error:
        if debug:
            raise
        complain(error)
        sys.exit(1)
    sys.exit(0)


def complain(error: BaseException) -> None:
    print(f"error: {one_line(error)}", file=sys.stderr)
