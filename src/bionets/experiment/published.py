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
COPY_FIRST_INPUT = {
    100: {"nbrc": 0.13, "brc": 0.30, "gru": 0.81, "lstm": 0.87},
    300: {"brc": 0.26, "nbrc": 0.38, "gru": 0.69, "lstm": 0.79},
}


def published(config: dict[str, Any]) -> dict[str, Published]:
    """Metric -> published figure, for a run under the published protocol; empty where there is none."""
    task, model = config["task"], config["model"]
    name = model["name"]
    if task["name"] == "binary_addition" and model["num_layers"] == 1 and name in BINARY_ADDITION and task["test_length"] >= 60:
        return {"test/accuracy_length_60": Published(BINARY_ADDITION[name], BRC_PYTORCH)}
    if task["name"] == "copy_first_input" and task["length"] in COPY_FIRST_INPUT and name in COPY_FIRST_INPUT[task["length"]]:
        return {"train/loss_step_5400": Published(COPY_FIRST_INPUT[task["length"]][name], BRC_PYTORCH_SINGLE)}
    return {}
