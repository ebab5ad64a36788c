"""Runs made by an earlier version resume, evaluate and compare; every choice keeps the digest that names its folder."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from bionets.experiment.config.resolve import resolve
from bionets.experiment.config.schemas import register
from bionets.experiment.run.metrics_file import read_metrics
from bionets.experiment.run.run_folder import RunFolder
from tests.acceptance.conftest import ROOT, Command
from tests.tasks import idx_files

FIXTURES = ROOT / "tests" / "fixtures"
RUNS = sorted(str(file.parent.relative_to(FIXTURES / "runs")) for file in FIXTURES.rglob("runs/**/config.yaml"))
COMPLETE = [run for run in RUNS if "interrupted" not in run]
DIGESTS = json.loads((FIXTURES / "digests.json").read_text())


@pytest.fixture
def outputs(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runs in a folder of one's own, beside the images on which they were trained."""
    monkeypatch.delenv("BIONETS_DATA", raising=False)
    idx_files.write(workplace / "data", "mnist")
    idx_files.write(workplace / "data", "fashion_mnist")
    shutil.copytree(FIXTURES / "runs", workplace / "outputs")
    return workplace / "outputs"


def words_of(folder: RunFolder) -> list[str]:
    return list(yaml.safe_load(folder.overrides_file.read_text()))


def test_fixtures_cover_every_kind_of_run() -> None:
    assert {Path(run).parent.name.partition("-")[0] for run in RUNS} == {
        "single", "interrupted", "together", "spiking", "stdp", "spatial",
    }  # fmt: skip


@pytest.mark.parametrize("run", COMPLETE)
def test_a_complete_run_is_not_repeated_and_evaluates_to_its_recorded_metrics(
    cli: Command, outputs: Path, run: str
) -> None:
    folder = RunFolder(outputs / run)
    result = folder.result()
    assert result is not None
    outcome = cli("train", *words_of(folder))
    assert outcome.code == 0, outcome.error
    assert "already complete" in outcome.out
    outcome = cli("evaluate", f"run=outputs/{run}")
    assert outcome.code == 0, outcome.error
    evaluation = json.loads((folder.path / "evaluation-best.json").read_text())
    for name, value in evaluation["metrics"].items():
        assert value == pytest.approx(result["metrics"][name], rel=1e-3, abs=1e-4), name


@pytest.mark.parametrize("run", COMPLETE)
def test_a_run_without_result_file_is_tested_again_from_its_checkpoints(cli: Command, outputs: Path, run: str) -> None:
    folder = RunFolder(outputs / run)
    before = folder.result()
    assert before is not None
    folder.result_file.unlink()
    outcome = cli("train", *words_of(folder))
    assert outcome.code == 0, outcome.error
    after = folder.result()
    assert after is not None and after["epochs"] == before["epochs"] and after["best_epoch"] == before["best_epoch"]
    for name, value in before["metrics"].items():
        assert after["metrics"][name] == pytest.approx(value, rel=1e-3, abs=1e-4), name


def test_an_interrupted_run_resumes_to_the_metrics_of_an_uninterrupted_run(cli: Command, outputs: Path) -> None:
    (stopped,) = (RunFolder(outputs / run) for run in RUNS if "interrupted" in run)
    (whole,) = (RunFolder(outputs / run) for run in RUNS if "single" in run)
    outcome = cli("train", *words_of(stopped))
    assert outcome.code == 0, outcome.error
    assert "going on after epoch 2" in outcome.out
    result, expected = stopped.result(), whole.result()
    assert result is not None and expected is not None
    assert result["steps"] == expected["steps"]
    for name, value in expected["metrics"].items():
        assert result["metrics"][name] == pytest.approx(value, rel=1e-3, abs=1e-4), name
    found, known = (read_metrics(folder.metrics_file) for folder in (stopped, whole))
    for name, (steps, _) in known.items():  # values of later versions start at the interrupted epoch
        assert found[name][0] == steps, name


def test_complete_batched_seeds_of_an_earlier_version_are_not_repeated(cli: Command, outputs: Path) -> None:
    folder = next(RunFolder(outputs / run) for run in RUNS if "together" in run)
    words = [word for word in words_of(folder) if not word.startswith("seed=")]
    outcome = cli("train", *words, "seeds=2")
    assert outcome.code == 0, outcome.error
    assert outcome.out.count("already complete") == 2


def test_compare_and_analyse_accept_runs_of_earlier_versions(cli: Command, outputs: Path) -> None:
    outcome = cli("compare", "runs=outputs/binary_addition")
    assert outcome.code == 0, outcome.error
    assert "brc" in outcome.out and "interrupted" in outcome.out  # as left out
    (spatial,) = (run for run in RUNS if "spatial" in run)
    outcome = cli("analyse", f"run=outputs/{spatial}", "methods=[greedy]", "film=false")
    assert outcome.code == 0, outcome.error
    assert (outputs / spatial / "analysis" / "positions-greedy.png").exists()
    assert not (outputs / spatial / "analysis" / "positions.gif").exists()  # film: the earlier name of animation


def test_every_config_keeps_its_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIONETS_DATA", raising=False)
    register(ROOT / "configs")
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        found = {words: resolve(compose("train", words.split())).digest for words in DIGESTS}
    assert found == DIGESTS
