"""Configs and modules of the working directory."""

import os
import sys
from pathlib import Path

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
