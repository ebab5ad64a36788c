"""The figures that only a model of some family has."""

from pathlib import Path

from bionets.analysis.stigmergy import draw_memory, trace_memory
from bionets.models import Model, StigmergicModel
from bionets.tasks import Task


def draw_model(directory: Path, title: str, model: Model, task: Task) -> list[Path]:
    """Pictures of a trained model at work on the first test sequence."""
    if isinstance(model, StigmergicModel):
        x, _ = next(iter(task.test_dataloader()[0]))
        sequence = x[:, 0].to(model.device)
        return [draw_memory(directory / "memory.png", sequence, trace_memory(model.memory, sequence), title)]
    return []
