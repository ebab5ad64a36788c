"""The whole comparison, from run folders or from W&B, to its files."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from bionets.experiment.commands.compare import compare
from bionets.experiment.config.schemas.run import Compare
from bionets.experiment.errors import UserError
from bionets.experiment.run.metrics_file import read_metrics
from tests.experiment.logging.wandb_api import Api, ApiRun
from tests.experiment.run_folders import config_of, make_run, result_of

FILES = {"table.csv", "table.md", "table.tex"} | {
    f"{stem}.{kind}" for stem in ("bars", "loss", "val_loss", "accuracy_by_length") for kind in ("png", "svg")
}
ACCURACIES = {"brc": (0.9, 0.91, 0.93, 0.94), "gru": (0.5, 0.6, 0.7, 0.55)}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    for model, accuracies in ACCURACIES.items():
        for seed, accuracy in enumerate(accuracies):
            make_run(tmp_path / "outputs", model, seed, accuracy)
    return tmp_path


def run(**given: Any) -> None:
    compare(OmegaConf.merge(OmegaConf.structured(Compare), given))  # type: ignore[arg-type]


def test_run_folders_give_tables_figures_and_notes(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(place / "outputs", "lstm", 0, None)
    run()
    assert {file.name for file in (place / "comparison").iterdir()} == FILES
    shown = capsys.readouterr().out
    assert "note: left out, not ended: outputs/lstm" in shown
    assert "figure comparison/bars.png" in shown
    assert "brc | 4 | **0.9200 ± 0.0091**" in (place / "comparison" / "table.md").read_text()


def test_wandb_runs_give_the_same_table_as_run_folders(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    for model, accuracies in ACCURACIES.items():
        series = read_metrics(place / "outputs" / model / "run-1-0.001" / "seed-0" / "metrics.csv")["train/loss"]
        history = [{"trainer/global_step": step, "train/loss": value} for step, value in zip(*series, strict=True)]
        for seed, accuracy in enumerate(accuracies):
            result = result_of(accuracy)
            summary = {**result["metrics"], **result, "headline": list(result["metrics"])}
            runs.append(ApiRun(config_of(model, seed), summary, history, id=f"{model}{seed}"))
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr("wandb.Api", lambda: Api({"lab/bionets": runs}))
    run()
    run(source="wandb", runs="lab/bionets", output_dir="theirs")
    for name in ("table.csv", "table.tex"):
        assert (place / "theirs" / name).read_text() == (place / "comparison" / name).read_text()
    assert (place / "theirs" / "loss.svg").exists()


def test_where_by_metrics_and_curves_select_what_is_compared(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(place / "outputs", "brc", 0, 0.8, layers=2)
    wanted = ["length_3/accuracy", "parameters", "test/acuracy"]
    run(where={"model.num_layers": 2}, by=["model", "task.length"], metrics=wanted, curves=["val/loss"])
    header, row = (place / "comparison" / "table.md").read_text().splitlines()[::2][:2]
    assert header == "| model | length | n | length_3/accuracy | parameters |"
    assert row == "| brc | 20 | 1 | **0.8** | **20901** |"
    assert not (place / "comparison" / "loss.png").exists()
    assert "metrics=test/acuracy is in no run" in capsys.readouterr().out


def test_figures_of_an_earlier_comparison_in_the_same_folder_are_removed(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    for name in ("val_accuracy.png", "mine.png", "mine.csv"):
        (place / "comparison" / name).touch()
    run(curves=["train/loss"])
    kept = FILES - {"val_loss.png", "val_loss.svg"}
    assert {file.name for file in (place / "comparison").iterdir()} == {*kept, "mine.png", "mine.csv"}
    assert [line for line in capsys.readouterr().out.splitlines() if "earlier" in line] == [
        f"removed comparison/{name}.png, of an earlier comparison" for name in ("val_loss", "val_accuracy")
    ]


def test_files_in_a_folder_without_a_comparison_are_kept(place: Path) -> None:
    (place / "comparison").mkdir()
    (place / "comparison" / "val_accuracy.png").touch()
    run()
    assert {file.name for file in (place / "comparison").iterdir()} == {*FILES, "val_accuracy.png"}


def test_the_table_counts_complete_runs_only(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(place / "outputs", "brc", 4, None)
    make_run(place / "outputs", "gru", 4, 0.6)
    run(unfinished=True)
    assert "brc | 4 | 0.9200 ± 0.0091" in (place / "comparison" / "table.md").read_text().replace("**", "")
    shown = capsys.readouterr().out
    assert "brc has no complete run of seed 4" in shown and "not ended, and only part of the curves" in shown


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"source": "disk"}, "source=folders or source=wandb"),
        ({"report": "html"}, "report=wandb"),
        ({"wandb": "push"}, "wandb=sync"),
        ({"where": "model"}, "where="),
        ({"where": {"model": "rnn"}}, "none of the 8 complete runs"),
        ({"by": ["num_layers"]}, "by=num_layers is not a key of any run's config.yaml, did you mean model.num_layers?"),
        ({"where": {"num_layers": 2}}, "where=num_layers is not .* did you mean model.num_layers?"),
        ({"metrics": ["nothing"]}, "metrics=nothing is in no run"),
        ({"metrics": ["val/los"]}, "did you mean val/loss"),
        ({"metrics": []}, "metrics=\\[\\] leaves nothing to compare"),
        ({"columns": "task"}, "columns=task must be one of by="),
        ({"curves": ["train/los"]}, "did you mean train/loss"),
        ({"runs": "elsewhere"}, "no run folder"),
        ({"report": "wandb"}, "wandb login"),
        ({"source": "wandb"}, "wandb login"),
    ],
)
def test_invalid_arguments_are_refused_before_anything_is_written(
    place: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        run(**given)
    assert not (place / "comparison").exists()


def test_a_leaderboard_notes_seeds_that_are_counted_twice(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(leaderboard="board.md")
    assert "more than once" not in capsys.readouterr().out
    shutil.copytree(place / "outputs" / "brc" / "run-1-0.001" / "seed-0", place / "outputs" / "copy" / "seed-0")
    run(leaderboard="board.md")
    assert "note: binary_addition: brc, run counts a seed more than once: 0, 0, 1, 2, 3" in capsys.readouterr().out


def test_a_comparison_without_complete_runs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "outputs", accuracy=None)
    with pytest.raises(UserError, match=r"no complete run .* not ended: .*; start them again with the same command"):
        run()
    shutil.rmtree(tmp_path / "outputs")
    folder = make_run(tmp_path / "outputs")
    folder.rename(folder.with_name("seed-7"))
    with pytest.raises(UserError, match=r"no complete run .* name the folder seed-0\): outputs/.*/seed-7$"):
        run()
    shutil.rmtree(tmp_path / "outputs")
    make_run(tmp_path / "outputs", accuracy=math.nan)  # training it again would change nothing
    with pytest.raises(UserError, match=r"no complete run .* its test/accuracy_length_60 is nan: outputs/.*/seed-0$"):
        run()
