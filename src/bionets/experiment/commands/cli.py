"""What the entry points have in common: compose the config, run, and end with one line where a user can mend what went
wrong.
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

from bionets.experiment.config.schemas import register
from bionets.experiment.errors import Busy, JobError, mendable, one_line

INTERRUPTED = 130  # the shell's exit code for Ctrl-C


def command(name: str, configs: Path) -> NoReturn:
    """Run ``<name>`` of ``bionets.experiment.commands`` on the config that the command line composes, and exit.

    Errors that a user can mend are one line and exit code 1; Ctrl-C is exit code 130. ``HYDRA_FULL_ERROR=1`` shows the
    whole traceback instead.
    """
    # The processes that ddp starts inherit what is set here, and are not meant.
    debug = os.environ.get("HYDRA_FULL_ERROR") == "1" and "LOCAL_RANK" not in os.environ
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands its errors to us instead of printing them itself
    register(configs)

    def job(config: DictConfig) -> Any:
        alone = HydraConfig.get().mode != RunMode.MULTIRUN
        try:
            # Imported only now, so that --help and a misspelt word do not wait for PyTorch.
            return getattr(import_module(f"bionets.experiment.commands.{name}"), name)(config)
        except Exception as error:
            if alone:  # ends here, since Hydra would add lines of its own
                give_up(error)
            if isinstance(error, Busy):  # the sweep knows what to do
                raise
            # One job of many: the others go on, perhaps in other processes, and the sweep names it at its end.
            print(f"failed: {one_line(error)}", file=sys.stderr)
            if debug or not mendable(error):
                traceback.print_exception(error)
            raise JobError(one_line(error)) from None

    def give_up(error: Exception) -> NoReturn:
        if debug or not mendable(error):
            raise error
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(1)

    try:
        hydra.main(config_path=str(configs), config_name=name, version_base="1.3")(job)()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        give_up(error)
    sys.exit(0)
