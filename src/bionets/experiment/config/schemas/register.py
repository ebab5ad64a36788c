"""Registration of all schemas in Hydra's ConfigStore, and the choices of each config group."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from bionets.experiment.command_line import own_configs
from bionets.experiment.config.schemas.run import Analyse, Callbacks, Compare, Evaluate, Logger, Paths, Runs, Train
from bionets.experiment.config.schemas.sweeps import SWEEPS


@cache
def register(configs: Path, families: bool = True) -> None:
    """Store all schemas in Hydra's ConfigStore for the config files in a folder; repeated calls have no effect. Without
    ``families``, the schemas of models, tasks, optimizers and schedules are left out, because these import PyTorch.
    """
    store = ConfigStore.instance()
    if families:
        from bionets.experiment.config.schemas.registry import MODELS, OPTIMIZERS, SCHEDULES, TASKS

        groups = {"model": MODELS, "task": TASKS, "optimizer": OPTIMIZERS, "schedule": SCHEDULES}
        for group, schemas in groups.items():
            for name, schema in schemas.items():
                store.store(name=name, node=schema, group=f"schema/{group}")
                if group in ("optimizer", "schedule") and name != "cosine":  # these need no file: optimizer=Adagrad
                    store.store(name=name, node=schema, group=group)
        for optimizer in ("Adam", "AdamW", "SGD", "RMSprop", "Muon"):  # these have a file
            store.store(name=optimizer.lower(), node=OPTIMIZERS[optimizer], group="schema/optimizer")
    single = (
        ("train", Train),
        ("evaluate", Evaluate),
        ("compare", Compare),
        ("analyse", Analyse),
        ("runs", Runs),
        ("callbacks", Callbacks),
        ("logger", Logger),
        ("paths", Paths),
    )
    for name, schema in single:
        store.store(name=name, node=schema, group="schema")
    for name, schema in SWEEPS.items():
        store.store(name=name, node=schema, group="hydra/sweeper", provider="bionets")
    OmegaConf.register_new_resolver("choices", lambda: choices([configs, *own_configs()]), replace=True)


def choices(folders: Sequence[Path]) -> str:
    """The choices of each config group in these folders, one line for each group, for the help page."""
    found: dict[str, set[str]] = {}
    for file in (file for folder in folders for file in folder.glob("*/*.yaml")):
        found.setdefault(file.parent.name, set()).add(file.stem)
    groups = sorted(found.keys() - {"hydra", "study"})
    return "\n".join(f"  {group:<12} {', '.join(sorted(found[group]))}" for group in groups)
