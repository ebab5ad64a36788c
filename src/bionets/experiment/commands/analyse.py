"""Analysis of trained networks: splits of spatial networks, dynamics of recurrent networks."""

from contextlib import suppress
from importlib import import_module

from omegaconf import DictConfig, OmegaConf

from bionets.analysis.style import use_style
from bionets.experiment.command_line import refuse_without_effect
from bionets.experiment.commands.train import silence_libraries
from bionets.experiment.comparison.runs import run_folders
from bionets.experiment.console import print_line
from bionets.experiment.errors import UserError, refuse_unknown
from bionets.experiment.run.own_files import note_changes, own_files
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.run.trust import as_modules

METHODS = {
    "spatial": "bionets.studies.spatial.split_analysis",
    "dynamics": "bionets.experiment.run.dynamics_run",
}
"""The module of each method, with its function ``analyse``; by name, because studies import `bionets.experiment`."""

OF_SPLITS = ("steps", "methods", "reduction", "animation", "film", "seed")
OF_MANY = ("by", "output_dir")
"""Options of method=spatial, and those for many runs."""


def analyse(hydra_config: DictConfig) -> None:
    """Analyse one run, and write to its folder ``analysis/``; or the ``runs``, and write to ``output_dir``."""
    refuse_unknown("method", [hydra_config.method], METHODS)
    if (hydra_config.run is None) == (hydra_config.runs is None):
        raise UserError("name the folder of one run with run=, or a folder or glob of many with runs=")
    if hydra_config.method == "dynamics":
        refuse_without_effect("method=dynamics", (*OF_SPLITS, *OF_MANY))
    else:
        refuse_without_effect("method=spatial", ("unit",))
        if hydra_config.runs is None:
            refuse_without_effect("run=", OF_MANY)
        else:
            refuse_without_effect("runs=", ("steps", "animation", "film"))
    silence_libraries()
    options = {key: hydra_config[key] for key in ("checkpoint", "data_dir", "data")}
    options["trust"] = as_modules(hydra_config.trust)
    options["task_options"] = OmegaConf.to_container(hydra_config.task, resolve=True)
    with use_style(hydra_config.style):
        for file in import_module(METHODS[hydra_config.method]).analyse(hydra_config, options):
            print_line(str(file))
    digests: dict[str, str] = {}
    for path in run_folders(hydra_config.runs) if hydra_config.run is None else [hydra_config.run]:
        with suppress(UserError):  # of many folders, one that is damaged or not complete
            config = (folder := RunFolder.existing(path)).config()
            note_changes(folder, config["name"], own_files(config, digests))
