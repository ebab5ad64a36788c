"""Resolution of Hydra's config into the plain, complete config that is stored in the run folder."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from bionets.experiment.config.digest import scientific_digest
from bionets.experiment.errors import UserError

if TYPE_CHECKING:
    from bionets.tasks import Task


@dataclass(frozen=True)
class RunConfig:
    """A resolved config, the overrides on the command line, and the digest of the scientific part."""

    values: dict[str, Any]
    overrides: list[str]
    digest: str


def resolve(config: DictConfig) -> RunConfig:
    """Resolve all interpolations, and compute the digest, which is the same for every seed. Raises UserError."""
    typed = list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []
    config = emptied(config, typed)
    if not 0 <= config.seed < 2**32:
        raise UserError(f"seed must lie between 0 and {2**32 - 1}, got {config.seed}")
    without_seed = config.copy()
    without_seed.seed = 0
    # These two are options of the command.
    values = {key: value for key, value in _plain(config).items() if key not in ("seeds", "find")}
    if (other := values["task"].get("seed")) not in (None, config.seed):  # the digest would be that of another run
        raise UserError(f"task.seed={other} is not the seed of the run, {config.seed}: leave out task.seed")
    return RunConfig(values, for_one_run(typed), scientific_digest(_plain(without_seed)))


def resolve_seeds(config: DictConfig) -> list[RunConfig]:
    """Resolve the config once for each of its ``seeds``, counted from ``seed``."""
    if config.seeds == 1:
        return [resolve(config)]
    runs = []
    for seed in range(config.seed, config.seed + config.seeds):
        one = config.copy()
        one.seed = seed
        run = resolve(one)
        words = [word for word in run.overrides if not word.startswith("seed=")]
        runs.append(replace(run, overrides=[*words, f"seed={seed}"]))
    return runs


def for_one_run(words: list[str]) -> list[str]:
    """The overrides without those for sweeps, several seeds and searches of a value."""
    return [word for word in words if not word.startswith(("sweep=", "launcher=", "seeds=", "find="))]


def emptied(config: DictConfig, typed: list[str]) -> DictConfig:
    """A copy of the config without the entries of mappings with free keys that the user emptied, as in
    ``model.layer_arguments={}``. Hydra would merge the empty mapping with the existing entries.
    """
    config = config.copy()
    words = [word.lstrip("+") for word in typed]
    for word in words:
        path, _, value = word.partition("=")
        node = OmegaConf.select(config, path) if value == "{}" else None
        if isinstance(node, DictConfig) and OmegaConf.get_type(node) is dict:
            with open_dict(node):
                for key in list(node):
                    if not any(other.startswith((f"{path}.{key}=", f"{path}.{key}.")) for other in words):
                        del node[key]
    return config


def with_protocol(config: RunConfig, task: "Task") -> RunConfig:
    """The config with the number of epochs of the task's protocol, if the user has not set one."""
    trainer = config.values["trainer"]
    if trainer["max_epochs"] is not None:
        return config
    return replace(config, values={**config.values, "trainer": {**trainer, "max_epochs": task.epochs}})


def in_multirun() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def _plain(config: DictConfig) -> dict[str, Any]:
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise UserError(f"{missing[0]} has no value: give it on the command line, as in {missing[0]}=...")
    plain = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
