"""The figures that only a model of some family has."""

from pathlib import Path

from bionets.analysis.spiking_activity import trace_activity
from bionets.analysis.spiking_figures import draw_membranes, draw_parameters, draw_raster
from bionets.analysis.stigmergy import draw_memory, trace_memory
from bionets.models import Model, SpikingModel, StigmergicModel
from bionets.tasks import Task


def draw_model(directory: Path, title: str, model: Model, task: Task) -> list[Path]:
    """Pictures of a trained model at work on the first test sample."""
    if isinstance(model, StigmergicModel):
        x, _ = next(iter(task.test_dataloader()[0]))
        sequence = x[:, 0].to(model.device)
        return [draw_memory(directory / "memory.png", sequence, trace_memory(model.memory, sequence), title)]
    if isinstance(model, SpikingModel):
        x, _ = next(iter(task.test_dataloader()[0]))
        sample = x.narrow(task.spec.batch_dims[0], 0, 1).to(model.device)
        network = model.eval().network
        activity = trace_activity(network, model.encode(sample))
        return [
            draw_raster(directory / "raster.png", network, activity, title),
            draw_membranes(directory / "membranes.png", network, activity, title),
            draw_parameters(directory / "parameters.png", network, title),
        ]
    return []
