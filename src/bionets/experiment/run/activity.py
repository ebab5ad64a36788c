"""How busy a spiking model is."""

import torch

from bionets.analysis.spiking_activity import SpikeRate, SynapticOperations
from bionets.models import Model, SpikingModel
from bionets.tasks import Task


def measure_activity(model: Model, task: Task) -> dict[str, float]:
    """Spikes of a neuron and step, and the energy of a sample's synaptic operations, on the first test batch; empty for
    models that do not spike.
    """
    if not isinstance(model, SpikingModel):
        return {}
    x, _ = next(iter(task.test_dataloader()[0]))
    x, model = x.to(model.device), model.eval()
    rate, operations = SpikeRate(), SynapticOperations(batch_dim=task.spec.batch_dims[0])
    with torch.random.fork_rng():  # random spikes here leave the run's random numbers as they are
        for metric in (rate, operations):
            metric.to(x.device).update(model, x)
    return {
        "test/spikes_per_step": float(rate.compute()),
        "test/nanojoules": float(operations.compute()["nanojoules"]),
    }
