"""Random command lines: the groups of ``configs/``, the keys of what they compose to, and values of any kind."""

import os
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from bionets.experiment.config.schemas import register
from tests.fuzz.runner import ROOT

CONFIGS = ROOT / "configs"
GROUPS = {
    group.name: [str(file.relative_to(group).with_suffix("")) for file in sorted(group.rglob("*.yaml"))]
    for group in sorted(CONFIGS.iterdir())
    if group.is_dir() and group.name not in ("hydra", "study", "paths", "launcher", "sweep", "accelerator")
}
# What keeps a run small, for the keys that a config has.
SMALL: dict[str, object] = {
    "trainer.max_epochs": 1,
    "trainer.limit_train_batches": 1,
    "trainer.limit_val_batches": 1,
    "trainer.limit_test_batches": 1,
    "task.train_size": 8,
    "task.val_size": 8,
    "task.test_size": 8,
    "task.batch_size": 4,
    "task.length": 6,
    "task.test_length": 6,
    "task.forgetting_period": 1,
    "task.steps": 4,
    "model.hidden_size": 3,
    "model.memory_size": 3,
    "model.label_size": 8,
    "callbacks.progress": "false",
    "callbacks.figures": "false",
    "logger.wandb": "false",
}
VALUES = [
    *("0", "1", "2", "3", "-1", "-7", "0.5", "1.5", "1e-9", "-0.1", "nan", "inf", "-inf", "true", "false", "null"),
    *("", "x", "'a b'", "'é→'", "a/b", "..", "/abs", "[]", "[1]", "[1,2]", "[x,[y]]", "{}", "{a:1}", "'[red]x'"),
    *("${seed}", "${nothing.there}", "torch.nn.ReLU", "os.getcwd", "1,2", "range(0)", "range(1,3)", "interval(0,1)"),
    *(
        "choice(1,2)",
        "tag(log,interval(0.1,1))",
        "int(interval(1,3))",
        "shuffle(1,2)",
        "glob(*)",
        "'",
        "[",
        "=",
        "\x1b[31mx",
    ),
]
FLAGS = [
    "--cfg=job",
    "--cfg=all",
    "--help",
    "--resolve",
    "--info=defaults",
    "--shell-completion",
    "--version",
    "--nonsense",
]
SWEEPS = [
    ["sweep=seeds"],
    ["sweep=random", "hydra.sweeper.n_trials=1"],
    ["sweep=tpe", "hydra.sweeper.n_trials=2"],
    ["sweep=cmaes", "hydra.sweeper.n_trials=1"],
    ["launcher=basic"],
    [],
]
OTHER_KEYS = {
    "evaluate": ["run", "checkpoint", "accelerator", "data_dir"],
    "compare": ["runs", "by", "where", "metrics", "curves", "output_dir", "source", "report", "wandb", "study"],
    "analyse": [
        "run",
        "runs",
        "steps",
        "methods",
        "by",
        "data",
        "reduction",
        "animation",
        "film",
        "checkpoint",
        "seed",
        "output_dir",
    ],
}


@cache
def keys_of(model: str, task: str) -> dict[str, Any]:
    """Every key of the config of this pair, with its value."""
    register(CONFIGS)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train", [f"model={model}", f"task={task}", "schedule=cosine"])
    return dict(_leaves(OmegaConf.to_container(config, resolve=False)))


def _leaves(node: Any, path: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in node.items():
        found.append((f"{path}{key}", value))
        if isinstance(value, dict):
            found += _leaves(value, f"{path}{key}.")
    return found


def tasks() -> list[str]:
    """The tasks whose data are generated, or on this machine."""
    data = Path(os.environ.get("BIONETS_DATA", "data"))
    names = {path.name for path in data.iterdir()} if data.is_dir() else set()
    needed = {"mnist", "fashion_mnist", "kmnist", "qmnist", "n_mnist", "n_caltech101", "n_cars"}
    needed |= {"cifar10", "cifar100", "scifar10", "usps"}
    return [task for task in GROUPS["task"] if task not in needed | {"multi_image"} or task in names]


def command(random: Random, runs: list[Path]) -> list[str]:
    """A command line, most of it right: what a user may mistype, not noise."""
    name = random.choices(["train", "evaluate", "compare", "analyse"], [12, 1, 2, 1])[0]
    words = train_words(random) if name == "train" else other_words(random, name, runs)
    if random.random() < 0.08:
        words.insert(0, random.choice(FLAGS))
    return [name, *words]


def other_words(random: Random, name: str, runs: list[Path]) -> list[str]:
    chosen = {key: random.choice(VALUES) for key in random.sample(OTHER_KEYS[name], random.randint(0, 2))}
    if random.random() < 0.8:
        key = "runs" if name == "compare" else "run"
        chosen.setdefault(key, str(random.choice(runs)))
    return [f"{key}={value}" for key, value in chosen.items()]


def train_words(random: Random) -> list[str]:
    model, task = random.choice(GROUPS["model"]), random.choice(tasks())
    if model == "recurrent":
        model = "gru"
    keys = keys_of(model, task)
    chosen = {"model": model, "task": task} | {key: str(value) for key, value in SMALL.items() if key in keys}
    if model == "stack":
        chosen["model.layers"] = "[{layer: BRC, size: 4}, {layer: LIB, size: 4}]"
    for group in random.sample(sorted(GROUPS), random.randint(0, 2)):
        if group not in chosen and group != "experiment":
            chosen[group] = random.choice(GROUPS[group])
    flags: list[str] = []
    if random.random() < 0.12:
        flags.append("-m")
        chosen |= dict(word.split("=", 1) for word in random.choice(SWEEPS))
    for key in random.sample([key for key in keys if not key.startswith("schedule")], random.randint(0, 3)):
        chosen[key] = random.choice(VALUES)
    words = [f"{key}={value}" for key, value in chosen.items()]
    return [*flags, *(mistyped(random, word) if random.random() < 0.02 else word for word in words)]


def mistyped(random: Random, word: str) -> str:
    at = random.randrange(len(word))
    return random.choice(
        [word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:], f"+{word}", f"~{word}", f"{word},"]
    )
