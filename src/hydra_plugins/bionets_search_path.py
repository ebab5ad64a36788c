"""In the commands of bionets, and in no other program, ``configs/`` of the working directory is searched first."""

import os

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class ConfigsHere(SearchPathPlugin):
    """Puts the folder first that `bionets.experiment.command_line` names."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        folder = os.environ.get("BIONETS_CONFIGS_HERE")
        if folder:
            search_path.prepend("working directory", f"file://{folder}")
