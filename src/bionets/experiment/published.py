"""Published figures, to stand beside ours. Those read off a figure say so; none of them is measured by us."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Published:
    value: float
    source: str


BRC_PYTORCH = "brc_pytorch, read off its figure, mean of 5 runs"
BRC_PYTORCH_SINGLE = "brc_pytorch, read off its figure: training MSE near 5,400 steps"

BINARY_ADDITION = {"nbrc": 0.995, "brc": 0.92, "gru": 0.59, "lstm": 0.48}
BINARY_ADDITION_PROTOCOL = {
    "name": "binary_addition",
    "curriculum": True,
    "min_length": 3,
    "length": 20,
    "epochs_per_length": 15,
    "train_size": 10_000,
}
BINARY_ADDITION_EPOCHS = 18 * 15
COPY_FIRST_INPUT_PROTOCOL = {"name": "copy_first_input", "train_size": 45_000, "batch_size": 100}
COPY_FIRST_INPUT = {
    100: {"nbrc": 0.13, "brc": 0.30, "gru": 0.81, "lstm": 0.87},
    300: {"brc": 0.26, "nbrc": 0.38, "gru": 0.69, "lstm": 0.79},
}
STIGMERGIC_MNIST_SOURCE = "Galatolo, Cimino and Vaglini, ICPRAM 2019, mean of 10 runs"
STIGMERGIC_MNIST_PROTOCOL = {"name": "mnist", "read_as": "rows", "permuted": False, "threshold": 0.05, "batch_size": 20}
STIGMERGIC_MNIST: dict[str, tuple[dict[str, Any], float]] = {
    "stigmergic": ({"memory_size": 15, "recurrent": True, "hidden_layers": 1, "hidden_size": 20}, 0.965),
    "feed_forward": ({"hidden_size": 300, "num_layers": 2}, 0.951),
    "lstm": ({"hidden_size": 10, "num_layers": 3}, 0.943),
    "stigmergic_perceptron": ({"hidden_size": 10}, 0.927),
    "rnn": ({"hidden_size": 42, "num_layers": 1}, 0.766),
}
STIGMERGIC_MNIST_EPOCHS = 10


def published(config: dict[str, Any]) -> dict[str, Published]:
    """Metric -> published figure, for a run under the published protocol; empty where there is none."""
    task, model, epochs = config["task"], config["model"], config["trainer"]["max_epochs"] or 0
    name = model["name"]
    size = (model.get("num_layers"), model.get("hidden_size"))
    plain = not model.get("bidirectional") and model.get("initialisation") in (None, "paper2020")
    addition = plain and _is(task, BINARY_ADDITION_PROTOCOL) and size == (1, 100) and epochs >= BINARY_ADDITION_EPOCHS
    copying = plain and _is(task, COPY_FIRST_INPUT_PROTOCOL) and size == (2, 100)
    if addition and name in BINARY_ADDITION:
        return {"test/accuracy_length_60": Published(BINARY_ADDITION[name], BRC_PYTORCH)}
    if copying and name in COPY_FIRST_INPUT.get(task["length"], {}):
        return {"train/loss_step_5400": Published(COPY_FIRST_INPUT[task["length"]][name], BRC_PYTORCH_SINGLE)}
    if name in STIGMERGIC_MNIST and _is(task, STIGMERGIC_MNIST_PROTOCOL) and epochs == STIGMERGIC_MNIST_EPOCHS:
        sizes, accuracy = STIGMERGIC_MNIST[name]
        if _is(model, sizes):
            return {"test/accuracy": Published(accuracy, STIGMERGIC_MNIST_SOURCE)}
    return {}


def _is(config: dict[str, Any], protocol: dict[str, Any]) -> bool:
    return all(config.get(key) == value for key, value in protocol.items())
