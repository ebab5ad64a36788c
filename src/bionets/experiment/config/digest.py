"""The hash in the name of a run folder, of all settings that can change the result."""

import hashlib
import json
from typing import Any

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
    """The first eight hexadecimal digits of a hash of `scientific_part`. `resolve` sets the seed to 0 before."""
    canonical = json.dumps(scientific_part(config), sort_keys=True, default=str)
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


def one_of(default: Any) -> tuple[Any, ...]:
    return default if isinstance(default, tuple) else (default,)
