"""``analyse.py method=dynamics`` writes the values of the functions of `bionets.analysis.dynamics`."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bionets.analysis.dynamics import FixedPoint, bistable_share, state_map
from bionets.experiment.run.dynamics_run import HORIZON, DynamicsRun
from bionets.experiment.run.trained import load_trained
from tests.acceptance.conftest import Command, Outcome, cli, the_run, workplace

__all__ = ["cli", "workplace"]

TINY = (
    "task=copy_first_input",
    "task.length=8",
    "task.train_size=40",
    "task.val_size=20",
    "task.test_size=20",
    "model.hidden_size=4",
    "trainer.max_epochs=1",
    "callbacks=quiet",
    "logger=none",
)


def refused(outcome: Outcome, *words: str) -> None:
    assert outcome.code == 1
    assert outcome.error.startswith("error: ") and outcome.error.count("\n") == 1, outcome.error
    assert all(word in outcome.error for word in words), outcome.error


@pytest.mark.slow
def test_analyse_writes_the_dynamics_of_a_bistable_run(cli: Command, workplace: Path) -> None:
    assert cli("train", "model=nbrc", "model.num_layers=2", *TINY).code == 0
    folder = the_run(workplace / "outputs").path
    done = cli("analyse", f"run={folder}", "method=dynamics", "unit=5", "style=slides")
    assert done.code == 0, done.error
    assert "largest Lyapunov exponent" in done.out and "unit 1 of layer 2" in done.out

    written = {file.name for file in (folder / "analysis").iterdir()}
    figures = {"fixed_points", "bifurcation", "hysteresis", "half_lives", "bistable_share"}
    assert written == {"dynamics.npz", *(f"{name}.{kind}" for name in figures for kind in ("png", "svg"))}
    numbers = np.load(folder / "analysis" / "dynamics.npz")
    model, task = load_trained(folder)
    x = next(iter(task.test_dataloader()[-1]))[0][:, :32].double()
    layer = model.recurrent_layer()
    assert layer is not None
    _, _, gates = layer.double()(x, return_gates=True)
    shares = torch.stack([bistable_share(each.a) for each in gates])
    assert np.allclose(numbers["bistable_share"], shares.detach())
    step = state_map(layer)
    points = torch.from_numpy(numbers["fixed_points"])
    assert len(points) > 0
    torch.testing.assert_close(step(points, torch.zeros(x.size(2))), points, rtol=0, atol=1e-8)
    for factor, value, _ in numbers["bifurcation"]:
        assert abs(factor) <= 3 and abs(value) <= 1.2
    assert len(numbers["half_lives"]) == 8
    assert ((numbers["half_lives"] <= HORIZON) | np.isinf(numbers["half_lives"])).all()
    assert f"median {np.median(numbers['half_lives']):g} steps" in done.out
    refused(cli("analyse", f"run={folder}", "method=dynamics", "unit=8"), "unit must lie between 0 and 7")
    refused(cli("analyse", f"run={folder}"), "method=dynamics")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lstm", "lru", "unicornn"])
def test_runs_without_bistable_gates_are_analysed_without_a_bistable_share(
    cli: Command, workplace: Path, model: str
) -> None:
    assert cli("train", f"model={model}", *TINY).code == 0
    run = DynamicsRun(the_run(workplace / "outputs").path)
    numbers = run.measure()
    assert "bistable_share" not in numbers
    assert {file.name for file in run.draw()} == {
        f"{name}.png" for name in ("fixed_points", "bifurcation", "hysteresis", "half_lives")
    }
    assert numbers["half_lives"].shape == (8,)
    assert numbers["fixed_point_eigenvalues"].shape == numbers["fixed_points"].shape


@pytest.mark.slow
def test_stigmergic_and_bidirectional_models_are_refused_in_one_line(cli: Command, workplace: Path) -> None:
    assert cli("train", "model=stigmergic", *TINY[:-4], *TINY[-3:]).code == 0
    refused(
        cli("analyse", f"run={the_run(workplace / 'outputs').path}", "method=dynamics"), "model=stigmergic", "model=brc"
    )
    assert cli("train", "model=brc", "model.bidirectional=true", "paths.output_dir=both", *TINY).code == 0
    refused(cli("analyse", f"run={the_run(workplace / 'both').path}", "method=dynamics"), "bidirectional")


def measured(gates: dict[str, torch.Tensor], visited: torch.Tensor) -> DynamicsRun:
    """An analysis with the results that the table and the choice of the unit read."""
    run = object.__new__(DynamicsRun)
    run.gates, run.visited, run.x, run.unit = gates, visited, torch.zeros(8, 20, 1), 1
    run.step = state_map(torch.nn.GRU(1, visited.size(2)))
    eigenvalues = torch.tensor([[0.5, 0.1], [-1.5, 0.2], [0.9j, 0.3]], dtype=torch.complex128)
    run.points = [FixedPoint(torch.zeros(2), 0.0, each) for each in eigenvalues]
    run.half_lives, run.exponents = torch.tensor([2.0, torch.inf, 4.0]), [0.1, -0.3]
    return run


def test_the_table_holds_the_results() -> None:
    a = torch.tensor([[[0.5, 0.5]], [[0.5, 1.5]]])  # [T, B, H]
    rows = measured({"layer 1": a}, torch.zeros(8, 20, 2)).rows()
    assert rows == [
        ("data", "20 sequences of 8 steps"),
        ("bistable units at the end, layer 1", "50.0%"),
        ("fixed points under zero input", "2 stable, 1 unstable"),
        ("largest |eigenvalue| there", "1.5000"),
        ("memory half-life", f"median 4 steps, 1 of 3 longer than {HORIZON}"),
        ("largest Lyapunov exponent", "-0.1000 per step"),
        ("unit in the diagrams", "unit 1"),
    ]


def test_the_diagrams_show_the_unit_with_the_largest_mean_gate_or_variance() -> None:
    a = torch.tensor([[[1.9, 1.2]], [[0.1, 1.2]]])
    states = torch.tensor([[[0.9, -0.5]], [[0.8, 0.5]]])
    assert measured({"layer 1": a}, states)._most_bistable() == 1
    assert measured({}, states)._most_bistable() == 1


def test_unknown_methods_and_styles_are_refused(cli: Command) -> None:
    refused(cli("analyse", "run=here", "method=dynamic"), "method=dynamic is unknown", "spatial, dynamics")
    refused(cli("analyse", "runs=here", "method=dynamics"), "one run")
    refused(cli("train", "style=purple", *TINY), "style=purple is unknown", "paper, slides, dark")
    refused(cli("compare", "style=purple"), "style=purple is unknown", "style=dark")
