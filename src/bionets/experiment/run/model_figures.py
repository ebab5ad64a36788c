"""The figures that only a model of some family has."""

from pathlib import Path

from bionets.analysis.filters import draw_filters
from bionets.analysis.spiking_activity import trace_activity
from bionets.analysis.spiking_figures import draw_membranes, draw_parameters, draw_raster
from bionets.analysis.stigmergy import draw_memory, trace_memory
from bionets.models import Model, SpikingModel, STDPModel, StigmergicModel
from bionets.tasks import Task


def draw_model(directory: Path, title: str, model: Model, task: Task) -> list[Path]:
    """Pictures of what a trained model has learnt, or of how it works on the first test sample."""
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
    shape = task.spec.image_shape or task.spec.step_shape
    if isinstance(model, STDPModel) and shape is not None:
        return [draw_filters(directory / "filters.png", model.weight, shape, model.votes.assigned, title)]
    return []
