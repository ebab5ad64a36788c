"""The hash in the name of a run folder, of all settings that can change the result."""

import hashlib
import json
from collections.abc import Mapping
from inspect import Parameter
from typing import Any

from bionets.import_path import import_object

SCIENTIFIC = (
    "model",
    "task",
    "optimizer",
    "schedule",
    "parameters",
    "average_weights",
    "trainer",
    "matmul_precision",
)
# Settings of the machine and the data folder, which are not part of the digest.
LEFT_OUT = {
    "trainer": ("accelerator", "devices", "strategy", "num_nodes", "profiler", "detect_anomaly", "fast_dev_run"),
    "task": ("data_dir",),
}
ENDING = ("patience", "extra")  # callbacks that change the result
# Options that were added after the first runs, with their defaults (a tuple: those of several classes). At its default
# such an option is not part of the digest, so that an earlier run is still found by its command.
LATER: dict[str, dict[str, Any]] = {
    "optimizer": {
        "amsgrad": False,
        "capturable": False,
        "centered": False,
        "dampening": 0.0,
        "decoupled_weight_decay": False,
        "differentiable": False,
        "foreach": None,
        "fused": None,
        "maximize": False,
    },
    "model": {
        "decoder": [],
        "delay_sigma": 0.0,
        "dilation": 1,
        "gradients": "bptt",
        "groups": 1,
        "initialisation": None,
        "initialisation_arguments": {},
        "loss_every_step": False,
        "max_delay": 1,
        "positions_lr": 1.0,
        "presentations": 1,
        "readout": "last",
        "readout_layers": 1,
        "tick_inputs": None,
        "velocity": None,
    },
    "task": {
        "arguments": {},
        "bin_ms": None,
        "channels": 2,
        "centred": False,
        "colour": None,
        "cue": False,
        "lengths": (None, False),
        "loss_over": "all",
        "patch": 4,
        "permute_rows": False,
        "random_start": False,
        "size": None,
        "sort_by": None,
        "split_seed": 0,
        "target_kind": None,
        "target_weights": None,
    },
    "trainer": {"val_check_interval": None, "tbptt": None},
}


def scientific_digest(config: dict[str, Any]) -> str:
    """The first eight hexadecimal digits of a hash of `scientific_part`, with `own_options`. `resolve` sets the seed to
    0 before."""
    science = scientific_part(config)
    for part, defaults in LATER.items():
        if part in science and (options := own_options(config[part], defaults)):
            science[part] |= options
    canonical = json.dumps(science, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def scientific_part(config: dict[str, Any]) -> dict[str, Any]:
    """The settings of a resolved config that can change the result, without options of `LATER` at their defaults."""
    science = {key: config[key] for key in SCIENTIFIC if config.get(key) is not None}
    for part, left_out in LEFT_OUT.items():
        science[part] = {key: value for key, value in science[part].items() if key not in left_out}
    for part, defaults in LATER.items():
        items = science.get(part, {}).items()
        science[part] = {
            key: value for key, value in items if key not in defaults or value not in one_of(defaults[key])
        }
    callbacks = {key: value for key, value in config.get("callbacks", {}).items() if key in ENDING and value}
    science |= {"callbacks": callbacks} if callbacks else {}
    science |= {"metrics": config["metrics"]} if config.get("metrics") else {}
    return science | ({} if config.get("flush_denormals", True) else {"flush_denormals": False})


def own_options(node: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a class of the user's that have the name and the default of an option of `LATER`, while the
    constructor of the class has another default. Imports the class."""
    target = str(node.get("_target_", ""))
    if "." not in target or target.startswith(("bionets.", "torch.")):
        return {}
    from bionets.annotations import parameters_of  # imports torch, which Hydra's plugins must not

    try:
        parameters = parameters_of(import_object(target))
    except ValueError:  # an error that the construction of the class reports
        return {}
    named = {key: parameters[key].default for key in node if key in later and key in parameters}
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in node.items()}
    return {key: node[key] for key, default in named.items() if default not in (Parameter.empty, node[key], given[key])}


def one_of(default: Any) -> tuple[Any, ...]:
    return default if isinstance(default, tuple) else (default,)
