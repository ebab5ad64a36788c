"""Configs and modules of the working directory."""

import os
import sys
from pathlib import Path

CONFIGS_HERE = "BIONETS_CONFIGS_HERE"
"""The environment variable by which the search path plugin, and processes started from here, know of the configs."""


def search_working_directory() -> None:
    """Search ``configs/`` of the working directory before the configs of bionets, and find modules that lie beside it,
    as in ``model.layer=my_cells.MyCell``; here, and in the processes that are started from here.
    """
    here = Path.cwd()
    os.environ[CONFIGS_HERE] = str(here / "configs") if (here / "configs").is_dir() else ""
    if str(here) not in sys.path:
        sys.path.append(str(here))
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(here) not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join([*filter(None, known), str(here)])
