"""Mackey-Glass, CogScale, spoken digits, models of a given size, and the tables made of them."""

import json
from pathlib import Path

import pytest

from bionets.tasks.cogscale import PROBLEMS
from tests.acceptance.conftest import Command, the_run
from tests.tasks import spoken_digits

QUIET = ("callbacks=quiet", "logger=none", "trainer.max_epochs=1")
MACKEY_GLASS = (
    "task=mackey_glass",
    "task.points=10",
    "task.train_times=3",
    "task.val_times=1",
    "task.test_times=1",
    "task.window=1",
    "task.train_size=4",
    "task.batch_size=4",
    *QUIET,
)
CLOSED_LOOP = ("brc", "lstm", "spiking_recurrent", "stigmergic")  # all cells: tests/models/test_forecast.py
CELLS = ("brc", "nbrc", "gru", "lstm", "lem", "lru", "lmu", "min_gru", "src", "cornn", "unicornn", "spiking_recurrent")


@pytest.mark.parametrize("model", CLOSED_LOOP)
def test_mackey_glass_trains_and_reports_the_error_of_the_closed_loop(
    cli: Command, workplace: Path, model: str
) -> None:
    outcome = cli("train", f"model={model}", "model.hidden_size=4", *MACKEY_GLASS)
    assert outcome.code == 0, outcome.error
    folder = the_run(workplace)
    metrics = json.loads(folder.result_file.read_text())["metrics"]
    assert 0 < metrics["test/smape"] <= 200
    outcome = cli("evaluate", f"run={folder.path}")
    assert outcome.code == 0, outcome.error
    again = json.loads((folder.path / "evaluation-best.json").read_text())["metrics"]
    assert again["test/smape"] == pytest.approx(metrics["test/smape"], rel=1e-5)


def test_closed_loop_errors_of_batched_seeds_equal_those_of_single_seeds(cli: Command, workplace: Path) -> None:
    def smape(name: str) -> list[float]:
        files = sorted(workplace.glob(f"outputs/mackey_glass/brc/{name}-*/seed-*/result.json"))
        return [json.loads(file.read_text())["metrics"]["test/smape"] for file in files]

    arguments = ("model=brc", "model.hidden_size=4", *MACKEY_GLASS)
    assert cli("train", *arguments, "seeds=2", "name=together").code == 0
    assert cli("train", "-m", *arguments, "seed=0,1", "name=alone").code == 0
    assert len(smape("alone")) == 2
    assert smape("together") == pytest.approx(smape("alone"), rel=1e-3)


def test_the_mackey_glass_experiment_and_study_give_a_table(cli: Command, workplace: Path) -> None:
    few = ("model=brc,gru", "model.hidden_size=4", "seed=0")
    outcome = cli("train", "-m", "experiment=mackey_glass", *few, *MACKEY_GLASS[1:])
    assert outcome.code == 0, outcome.error
    outcome = cli("compare", "study=mackey_glass")
    assert outcome.code == 0, outcome.error
    assert "| brc | 17 | 1 |" in (workplace / "comparison" / "mackey_glass" / "table.md").read_text()


def test_the_speech_digits_experiment_and_study_give_a_table(
    cli: Command, workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken_digits.write(tmp_path / "data")
    monkeypatch.setenv("BIONETS_DATA", str(tmp_path / "data"))
    few = ("model=brc,spiking_recurrent", "model.hidden_size=4", "task.steps=10", "seed=0")
    outcome = cli("train", "-m", "experiment=speech_digits", *few, *QUIET)
    assert outcome.code == 0, outcome.error
    outcome = cli("compare", "study=speech_digits")
    assert outcome.code == 0, outcome.error
    table = (workplace / "comparison" / "speech_digits" / "table.md").read_text()
    assert "| brc | 1 |" in table and "| spiking_recurrent | 1 |" in table


@pytest.mark.parametrize("problem", ["sinus_forecasting", "adding_problem", "cross_situation"])
def test_cogscale_trains(cli: Command, workplace: Path, problem: str) -> None:
    outcome = cli("train", "model=brc", "model.hidden_size=4", "task=cogscale", f"task.problem={problem}", *QUIET)
    assert outcome.code == 0, outcome.error
    folder = the_run(workplace)
    assert folder.path.parts[-4] == f"cogscale_{problem}"
    assert 0 <= json.loads(folder.result_file.read_text())["metrics"]["test/error"] < 5


def test_the_cogscale_study_gives_a_table_of_cells_by_problem(cli: Command, workplace: Path) -> None:
    few = ("model=brc,gru", "task.problem=adding_problem,simple_copy", "parameters=500,1000", "seed=0")
    outcome = cli("train", "-m", "experiment=cogscale", *few, "trainer.max_epochs=1", "logger=none")
    assert outcome.code == 0, outcome.error
    outcome = cli("compare", "study=cogscale")
    assert outcome.code == 0, outcome.error
    lines = (workplace / "comparison" / "cogscale" / "table.md").read_text().splitlines()
    assert lines[2] == "| parameters | problem | brc | gru |"
    assert [line.split(" | ")[:2] for line in lines[4:8]] == [
        ["| 500", "adding_problem"],
        ["| 500", "simple_copy"],
        ["| 1000", "adding_problem"],
        ["| 1000", "simple_copy"],
    ]
    outcome = cli("compare", "study=cogscale", "columns=task.length")
    assert outcome.error.startswith("error: columns=task.length must be one of by=[model,parameters,task.problem]")


def test_the_cogscale_experiment_lists_every_problem_and_cell() -> None:
    text = (Path(__file__).parents[2] / "configs" / "experiment" / "cogscale.yaml").read_text()
    (problems,) = (line.split(": ")[1] for line in text.splitlines() if "task.problem:" in line)
    (models,) = (line.split(": ")[1] for line in text.splitlines() if " model:" in line)
    assert problems.split(",") == list(PROBLEMS)
    assert models.split(",") == list(CELLS)


def test_a_run_sized_by_parameters_equals_a_run_with_that_hidden_size(cli: Command, workplace: Path) -> None:
    arguments = ("model=gru", "task=copy_first_input", "task.length=3", "task.train_size=40", "task.batch_size=10")
    sizes = ("task.val_size=10", "task.test_size=10")
    assert cli("train", *arguments, *sizes, *QUIET, "parameters=200", "name=sized").code == 0
    size = the_run(workplace).config()["model"]["hidden_size"]
    assert cli("train", *arguments, *sizes, *QUIET, f"model.hidden_size={size}", "name=told").code == 0
    losses = [json.loads(file.read_text())["metrics"]["test/mse"] for file in workplace.rglob("result.json")]
    assert len(losses) == 2
    assert losses[0] == losses[1]
    outcome = cli("train", *arguments, *sizes, *QUIET, "parameters=200", "name=sized")
    assert "already complete" in outcome.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("model=gru", "parameters=10"), "parameters=10 is too few: model=gru has more with model.hidden_size=1"),
        (("model=gru", "parameters=900", "model.hidden_size=4"), "parameters=900 chooses model.hidden_size: give one"),
        (
            ("model=stack", "model.layers=[{layer: BRC, size: 4}]", "parameters=900"),
            "parameters=900 chooses model.hidden_size, which model=stack does not have",
        ),
    ],
)
def test_impossible_numbers_of_parameters_give_a_one_line_error(
    cli: Command, words: tuple[str, ...], message: str
) -> None:
    outcome = cli("train", *words)
    assert outcome.code == 1
    assert outcome.error.startswith(f"error: {message}")
    assert outcome.error.count("\n") == 1


def test_compare_writes_a_leaderboard_of_all_runs(cli: Command, workplace: Path) -> None:
    small = ("task.length=3", "task.train_size=10", "task.val_size=10", "task.test_size=10", "task.batch_size=10")
    assert cli("train", "-m", "model=brc,gru", "task=copy_first_input", *small, "seed=0,1", *QUIET).code == 0
    assert cli("train", "model=spiking_recurrent", "model.hidden_size=4", *MACKEY_GLASS).code == 0
    outcome = cli("compare", "leaderboard=results/leaderboard.md")
    assert outcome.code == 0, outcome.error
    assert "leaderboard results/leaderboard.md: 5 runs" in outcome.out
    text = (workplace / "results" / "leaderboard.md").read_text()
    assert text.index("## copy_first_input") < text.index("## mackey_glass")
    assert "| spiking_recurrent | run |" in text
    assert not (workplace / "comparison").exists()
