"""A trained spatial network and its analyses."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from bionets.analysis.activations import record
from bionets.analysis.spatial_plots import draw_activations, draw_animation, draw_positions
from bionets.analysis.split_score import Score, accuracies, score
from bionets.analysis.subnetworks import NO_SINGLE_TASK, Split, owners, split, subnetwork
from bionets.analysis.task_clusters import TaskClusters, task_clusters
from bionets.atomic import write_atomically
from bionets.csv_text import csv_text
from bionets.experiment.errors import UserError
from bionets.experiment.run.build import model_class
from bionets.experiment.run.recorded_arrays import read_recorded_arrays, write_npz
from bionets.experiment.run.report import figure_title, title_of
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.run.trained import load_trained
from bionets.experiment.run.trust import require_trusted
from bionets.layers import spatial_layers
from bionets.models import SpatialModel
from bionets.tasks import MultiImage

DATA = ("test", "val", "train")


class SpatialRun:
    """A run of a spatial model on several tasks, read from its folder. All results are computed on demand.

    ``write_*`` and ``draw`` write files (csv, npz, png, gif and safetensors) to the folder ``analysis/`` of the run,
    and return their paths::

        run = SpatialRun("outputs/multi_image/spatial_linear/run-a1535f2f/seed-0")
        masks = run.split("greedy")         # for each layer [tasks, neurons]
        run.scores("greedy")                # every subnetwork on every task
        run.subnetwork("greedy", "mnist")   # a network of what belongs to MNIST
        run.draw(["greedy"])

    Args:
        folder: the folder of the run.
        checkpoint: ``best`` or ``last``.
        data_dir: the folder of the images; None for the folder used by the run.
        reduction: statistic of the recorded activations: their ``variance``, or the ``mean`` of their absolute values.
        data: the images on which activations are recorded and splits are scored: ``test``, ``train``, or ``val``, for
            choosing settings.
        seed: seed of the splits.
        trust, task_options: see `load_trained`.

    Raises:
        UserError: the folder is not a run, the run has another model or a single task, or files are damaged.
    """

    def __init__(
        self,
        folder: str | Path,
        checkpoint: str = "best",
        data_dir: str | None = None,
        reduction: str = "variance",
        data: str = "test",
        seed: int = 0,
        trust: Sequence[str] = (),
        task_options: Mapping[str, Any] | None = None,
    ) -> None:
        run_folder = RunFolder.existing(folder)
        config = run_folder.config()
        require_tasks_to_split(run_folder, config, trust)
        model, task = load_trained(folder, checkpoint, data_dir, trust, task_options=task_options)
        assert isinstance(task, MultiImage) and isinstance(model, SpatialModel)
        self.folder, self.config, self.task = run_folder, config, task
        if any(getattr(layer, "groups", 1) > 1 for layer in spatial_layers(model.network)):
            raise UserError(f"{folder} is a run with model.groups above 1, which cannot be split into subnetworks")
        self.network: nn.Module = model.network.eval()
        self.names = self.task.datasets
        self.title = title_of(self.config)
        self.directory = self.folder.analysis()
        self.reduction, self.data, self.seed = reduction, data, seed
        self._splits: dict[str, Split] = {}

    @cached_property
    def batches(self) -> list[tuple[Tensor, Tensor]]:
        """The images of ``data``, presented as in training."""
        return [(x, target) for x, target in self.task.batches_of(self.data)]

    @cached_property
    def activations(self) -> list[Tensor]:
        """The activation of each neuron for the images of each task, shown alone; see `record`."""
        alone = [self.task.alone(task, self.data) for task in range(len(self.names))]
        return record(self.network, alone, self.reduction)

    @cached_property
    def accuracies(self) -> list[float]:
        """The accuracies of the whole network on each task."""
        return accuracies(self.network, self.batches, len(self.names))

    def split(self, method: str) -> Split:
        """The masks of the subnetwork of every task; see `bionets.analysis.subnetworks.split`."""
        if method not in self._splits:
            activations = self.activations if method == "activations" else ()
            self._splits[method] = split(self.network, len(self.names), method, activations=activations, seed=self.seed)
        return self._splits[method]

    def subnetwork(self, method: str, name: str) -> nn.Module:
        """The subnetwork of the task with this data set."""
        return subnetwork(self.network, self.split(method), self.names.index(name))

    def scores(self, method: str) -> list[Score]:
        """The scores of every subnetwork on every task; see `bionets.analysis.split_score.score`."""
        return score(self.network, self.split(method), self.batches, self.names)

    def clusters(self, method: str = "greedy") -> TaskClusters:
        """Silhouette and neighbourhood purity of the positions by task, compared with chance; see `task_clusters`."""
        return task_clusters(self.network, self.split(method), seed=self.seed)

    def write_activations(self) -> list[Path]:
        """Write ``activations-<reduction>.npz``: ``layer_<i>`` ``[tasks, neurons]``, and the names of the ``tasks``."""
        arrays: dict[str, Any] = {f"layer_{i}": each.numpy() for i, each in enumerate(self.activations)}
        return [self._npz(f"activations-{self.reduction}.npz", {"tasks": list(self.names), **arrays})]

    def write_splits(self, methods: list[str]) -> list[Path]:
        """Write ``neurons.csv``, the position of every neuron and its task by each method (see `owners`; empty without
        a single task), and for each method, in ``split-<method>/``, the masks (``masks.npz``) and the weights of each
        subnetwork (``<task>.safetensors``, for ``network.load_state_dict``).
        """
        files = [self._write("neurons.csv", self._neurons(methods))]
        for method in methods:
            masks = {f"layer_{i}": mask.numpy() for i, mask in enumerate(self.split(method))}
            files.append(self._npz(f"split-{method}/masks.npz", {"tasks": list(self.names), **masks}))
            for name in self.names:
                state = {key: value.contiguous() for key, value in self.subnetwork(method, name).state_dict().items()}
                files.append(self._write(f"split-{method}/{name}.safetensors", safetensors.torch.save(state)))
        return files

    def write_scores(self, scores: dict[str, list[Score]]) -> list[Path]:
        """Write ``scores.csv``, with a row for each method, subnetwork and task."""
        columns = ("subnetwork", "task", "accuracy", "retention", "through_outputs")
        rows = [[method, *(getattr(each, name) for name in columns)] for method in scores for each in scores[method]]
        return [self._write("scores.csv", csv_text(["method", *columns], rows))]

    def draw(self, methods: list[str], animation: bool = True) -> list[Path]:
        """Draw positions and connections for each method, the activations, and an animation of the training."""
        title = figure_title(self.config)
        files = [
            draw_positions(
                self.directory / f"positions-{method}.png",
                self.network,
                self.split(method),
                self.names,
                f"{title}: {method}",
            )
            for method in methods
        ]
        name = f"activations-{self.reduction}"
        what = "mean |activation|" if self.reduction == "mean" else "variance of the activation"
        file = self.directory / f"{name}.png"
        files.append(draw_activations(file, self.network, self.activations, self.names, title, what))
        if animation:
            moves = read_recorded_arrays(self.folder.path / "positions.npz")
            if any(values.ndim != 3 for name, values in moves.items() if name != "epoch"):
                raise UserError(f"{self.folder.path / 'positions.npz'} holds no positions: restore it, or train again")
            method = methods[0] if methods else "greedy"
            file = self.directory / "positions.gif"
            files.append(draw_animation(file, moves, self.split(method), self.names, title))
        return files

    def _neurons(self, methods: list[str]) -> str:
        task_of = {method: owners(self.split(method)) for method in methods}
        dim = spatial_layers(self.network)[0].positions.shape[1]
        rows = []
        for i, layer in enumerate(spatial_layers(self.network)):
            for neuron, place in enumerate(layer.positions.tolist()):
                tasks = (int(task_of[m][i][neuron]) for m in methods)
                rows.append([i, neuron, *place, *(None if t == NO_SINGLE_TASK else self.names[t] for t in tasks)])
        return csv_text(["layer", "neuron", *"xyz"[:dim], *(f"x{k}" for k in range(3, dim)), *methods], rows)

    def _npz(self, name: str, arrays: dict[str, Any]) -> Path:
        file = self.directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_npz(file, arrays)
        return file

    def _write(self, name: str, content: str | bytes) -> Path:
        file = self.directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, content)
        return file


def require_tasks_to_split(folder: RunFolder, config: Mapping[str, Any], trust: Sequence[str]) -> None:
    """Raise UserError unless the config of a run has a spatial model and a task of several data sets."""
    require_trusted(config, folder.config_file, trust)
    if not issubclass(model_class(config["model"]["_target_"]), SpatialModel):
        raise UserError(
            f"{folder.path} is a run of model={config['model']['name']}: "
            "name a run of model=spatial_linear or model=spatial_conv; for a recurrent model add method=dynamics"
        )
    if len(config["task"].get("datasets", [])) < 2:
        raise UserError(
            f"{folder.path} is a run of task={config['task']['name']}, with one task alone: "
            "there is nothing to tell apart; name a run of task=multi_image with two data sets or more"
        )
