"""The options of ``analyse``."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from bionets.experiment.config.schemas.run import free_mapping


@dataclass
class Analyse:
    """The options of ``analyse``.

    Args:
        run: the folder of one run, into whose folder analysis/ everything goes.
        runs: or a folder with runs in or below it, or a glob: the splits of all, as one table and one figure.
        method: spatial, what each neuron of a spatial network is for; or dynamics, of a recurrent network.
        unit: with method=dynamics, the element of the state in its diagrams; null for the most bistable one.
        steps: some of record, split, score and plot.
        methods: of splitting: greedy, probability, rescale, activations, clusters.
        by: with runs, the config keys that tell groups apart, beside task.presentation.
        data: train, val or test, or with method=dynamics a test set by its name: the data that the network is shown.
        task: options of the run's task to change, as in task={dataset:kmnist}: other data than those of training.
        reduction: what is recorded of an activation: its variance, or the mean of its size.
        style: of the figures: paper (one column wide), slides or dark.
        film: with plot, also a film of the positions during training.
        checkpoint: best or last.
        seed: of what is random: the split by probability, and the clusters.
        output_dir: for the table and the figure of many runs.
        data_dir: the folder of all data sets.
        trust: modules whose code a run's config.yaml may name, as in trust=my_cells.
    """

    run: str | None = None
    runs: str | None = None
    method: str = "spatial"
    unit: int | None = None
    steps: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    by: list[str] = field(default_factory=list)
    data: str = "test"
    task: dict[str, Any] = field(default_factory=free_mapping)
    reduction: str = "variance"
    style: str = "paper"
    film: bool = True
    checkpoint: str = "best"
    seed: int = 0
    output_dir: str = "analysis"
    data_dir: str = MISSING
    trust: Any = None


def register() -> None:
    """Put them into Hydra's ConfigStore, for ``configs/analyse.yaml``."""
    ConfigStore.instance().store(name="analyse", node=Analyse, group="schema")
