"""Analysis of a trained recurrent network as a dynamical system, from its run folder: numbers, figures, a table."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from omegaconf import DictConfig
from rich.table import Table
from torch import Tensor, nn

from bionets.analysis.dynamics import (
    bifurcation_diagram,
    bistable_share,
    find_fixed_points,
    hysteresis_loop,
    largest_lyapunov_exponent,
    memory_half_life,
    settled,
    state_map,
    visited_states,
)
from bionets.analysis.dynamics_figures import (
    draw_bifurcation,
    draw_bistable_share,
    draw_fixed_points,
    draw_half_lives,
    draw_hysteresis,
)
from bionets.analysis.style import new_figure, save, styled
from bionets.experiment.console import print_line, print_wide
from bionets.experiment.errors import UserError, user_errors
from bionets.experiment.run.recorded_arrays import write_npz
from bionets.experiment.run.report import figure_title
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.run.trained import load_trained, using

SEQUENCES = 32  # number of sequences on which states are visited
NEWTON_STEPS = 50
STARTS = 32  # visited states from which fixed points are searched
LYAPUNOV_SEQUENCES = 4
HORIZON = 1000  # time steps within which the half-life of memory is measured
FACTORS, LOOP_STEPS = 21, 400  # inputs of the bifurcation diagram, and of each direction of the hysteresis loop
WIDEST = 3.0  # largest input, in standard deviations


class DynamicsRun:
    """A run of a recurrent model, whose layer is analysed as a dynamical system; see `bionets.analysis.dynamics`.

    Args:
        folder: the run folder.
        checkpoint: ``best`` or ``last``.
        data_dir: the folder of the data; None for that in the config of the run.
        data: the sequences on which states are visited: ``train``, ``val``, ``test`` (the last test set), or a test set
            by its name.
        unit: the element of the state in the bifurcation diagram and the hysteresis loop; None for the one with the
            largest mean gate a, or, in a layer without bistable gates, the one with the largest variance.
        trust, task_options: see `load_trained`.

    Raises:
        UserError: the model has no recurrent layer, or a bidirectional one, or the unit does not exist.
    """

    def __init__(
        self,
        folder: str | Path,
        checkpoint: str = "best",
        data_dir: str | None = None,
        data: str = "test",
        unit: int | None = None,
        trust: Sequence[str] = (),
        task_options: Mapping[str, Any] | None = None,
    ) -> None:
        run_folder = RunFolder.existing(folder)
        config = run_folder.config()
        model, task = load_trained(folder, checkpoint, data_dir, trust, task_options=task_options)
        layer = model.recurrent_layer()
        name = config["model"]["name"]
        if layer is None:
            raise UserError(
                f"{folder} is a run of model={name}: method=dynamics is for recurrent models "
                "(model=brc, nbrc, gru, lstm and others with the interface of nn.GRU)"
            )
        with user_errors(f"{folder} cannot be analysed: "):
            self.step = state_map(layer)
        with user_errors():
            batches = task.batches_of(data)
        x, _, *lengths = next(iter(batches))
        steps = int(lengths[0][:SEQUENCES].min()) if lengths else len(x)
        self.x: Tensor = x[:steps, :SEQUENCES].double()
        self.layer, self.title = layer.double(), figure_title(config)
        self.directory = run_folder.analysis()
        self.gates = bistable_gates(self.layer, self.x)
        self.visited = visited_states(self.step, self.x)
        states = self.visited.size(2)
        if unit is not None and not 0 <= unit < states:
            raise UserError(f"unit must lie between 0 and {states - 1}, got {unit}")
        self.unit = self._most_bistable() if unit is None else unit
        deviation = self.x.std((0, 1), correction=0)
        self.direction = deviation if bool(deviation.any()) else torch.ones_like(deviation)

    def measure(self) -> dict[str, Any]:
        """Compute all numbers that `write` stores."""
        silence = torch.zeros_like(self.direction)
        visited = self.visited.flatten(0, 1)
        chosen = visited[torch.linspace(0, len(visited) - 1, min(STARTS, len(visited))).long()]
        factors = np.linspace(-WIDEST, WIDEST, FACTORS).tolist()
        near = torch.cat((chosen, settled(self.step, silence, chosen)))
        self.points = find_fixed_points(self.step, silence, near, iterations=NEWTON_STEPS, margin=0.1)
        begin = settled(self.step, -WIDEST * self.direction, torch.zeros_like(chosen[:1]))
        self.loop = hysteresis_loop(self.step, self.direction, -WIDEST, WIDEST, LOOP_STEPS, begin)
        starts = torch.cat((chosen[::4], *(way[:: LOOP_STEPS // 4] for way in self.loop[1:])))
        self.diagram = bifurcation_diagram(self.step, self.direction, factors, self.unit, starts)
        self.half_lives = memory_half_life(self.step, self.x[:, 0], horizon=HORIZON)
        self.exponents = [
            largest_lyapunov_exponent(self.step, x, discard=len(x) // 10)
            for x in self.x[:, :LYAPUNOV_SEQUENCES].unbind(1)
        ]
        states = self.visited.size(2)
        numbers: dict[str, Any] = {
            "unit": self.unit,
            "direction": self.direction,
            "fixed_points": np.array([point.state for point in self.points]).reshape(-1, states),
            "fixed_point_eigenvalues": np.array([p.eigenvalues for p in self.points], complex).reshape(-1, states),
            "fixed_point_residuals": [point.residual for point in self.points],
            "bifurcation": np.array(self.diagram, dtype=np.float64).reshape(-1, 3),
            "hysteresis_input": self.loop[0],
            "hysteresis_rising": self.loop[1][:, self.unit],
            "hysteresis_falling": self.loop[2][:, self.unit],
            "half_lives": self.half_lives,
            "lyapunov_exponents": self.exponents,
        }
        if self.gates:
            numbers["bistable_share"] = torch.stack([bistable_share(a) for a in self.gates.values()])
        return {name: np.asarray(value) for name, value in numbers.items()}

    def write(self, numbers: dict[str, Any]) -> Path:
        """Write ``dynamics.npz`` to the folder ``analysis/`` of the run, and return its path."""
        self.directory.mkdir(parents=True, exist_ok=True)
        write_npz(self.directory / "dynamics.npz", numbers)
        return self.directory / "dynamics.npz"

    @styled
    def draw(self) -> list[Path]:
        """Draw the figures of the results of `measure` as png and svg, and return the png files."""
        label = f"state of {self.unit_name()}"
        rising, falling = self.loop[1][:, self.unit], self.loop[2][:, self.unit]
        visited = self.visited.flatten(0, 1)
        drawings: dict[str, Callable[[Axes], None]] = {
            "fixed_points": lambda axes: draw_fixed_points(axes, visited, self.points),
            "bifurcation": lambda axes: draw_bifurcation(axes, self.diagram, label),
            "hysteresis": lambda axes: draw_hysteresis(axes, self.loop[0], rising, falling, label),
            "half_lives": lambda axes: draw_half_lives(axes, self.half_lives, HORIZON),
        }
        if self.gates:
            shares = {name: bistable_share(a) for name, a in self.gates.items()}
            drawings["bistable_share"] = lambda axes: draw_bistable_share(axes, shares)
        files = []
        for name, draw in drawings.items():
            figure = new_figure()
            axes = figure.add_subplot()
            draw(axes)
            if name in ("bifurcation", "hysteresis"):
                axes.set_xlabel(
                    "constant input (standard deviations)" if name == "bifurcation" else "input (standard deviations)"
                )
            files.append(save(figure, self.directory / f"{name}.png", self.title))
        return files

    def rows(self) -> list[tuple[str, str]]:
        """The rows of the printed table: quantity and value."""
        stable = sum(point.stable for point in self.points)
        finite = self.half_lives[self.half_lives.isfinite()]
        median = f"median {np.median(self.half_lives):g} steps"
        longer = len(self.half_lives) - len(finite)
        rows = [("data", f"{self.x.size(1)} sequences of {self.x.size(0)} steps")]
        rows += [
            (f"bistable units at the end, {name}", f"{float(bistable_share(a)[-1]):.1%}")
            for name, a in self.gates.items()
        ]
        radii = [point.spectral_radius for point in self.points]
        rows += [
            ("fixed points under zero input", f"{stable} stable, {len(self.points) - stable} unstable"),
            ("largest |eigenvalue| there", f"{max(radii):.4f}" if radii else "-"),
            ("memory half-life", f"{median}, {longer} of {len(self.half_lives)} longer than {HORIZON}"),
            ("largest Lyapunov exponent", f"{np.mean(self.exponents):.4f} per step"),
            ("unit in the diagrams", self.unit_name()),
        ]
        return rows

    def unit_name(self) -> str:
        """``unit 3 of layer 1``; for a second state, such as c of an LSTM, the index in the whole state."""
        layers = int(getattr(self.step.layer, "num_layers", 1))
        hidden = int(getattr(self.step.layer, "hidden_size", self.visited.size(2) // layers))
        if self.unit >= layers * hidden:
            return f"state element {self.unit}"
        return f"unit {self.unit % hidden}" + (f" of layer {self.unit // hidden + 1}" if layers > 1 else "")

    def _most_bistable(self) -> int:
        if self.gates:
            return int(torch.cat([a.mean((0, 1)) for a in self.gates.values()]).argmax())
        return int(self.visited.flatten(0, 1).var(0).argmax())


def bistable_gates(layer: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The gate a ``[T, B, H]`` of each layer of a stack; empty for a layer without bistable gates."""
    if "return_gates" not in inspect.signature(layer.forward).parameters:
        return {}
    with torch.no_grad():
        gates = layer(x, return_gates=True)[2]
    return {f"layer {number}": each.a for number, each in enumerate(gates, 1)}


def analyse(config: DictConfig, options: dict[str, Any]) -> list[Path]:
    """Analyse one run: write the numbers, draw the figures, print the table, and return the files."""
    if config.runs is not None:
        raise UserError("method=dynamics analyses one run: name its folder with run=")
    with using(RunFolder(config.run)):
        run = DynamicsRun(config.run, unit=config.unit, **options)
        elements = f"{run.visited.size(2)} state elements"
        print_line(f"{run.title}: fixed points of {elements} (over a minute for 100)")
        numbers = run.measure()
        files = [run.write(numbers), *run.draw()]
        table = Table("quantity", "value")
        for name, value in run.rows():
            table.add_row(name, value)
        print_wide(table)
        return files
