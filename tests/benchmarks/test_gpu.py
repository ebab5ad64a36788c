"""The GPU benchmarks without a GPU: a failing case does not stop the others, and all cases run at tiny size."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import commands, correctness
from benchmarks.gpu.__main__ import Part, failed, run_part
from benchmarks.gpu.case import Case

ROOT = Path(__file__).parents[2]


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "WORKER", "tests.benchmarks.faulty_gpu_worker")


def rows_of(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in result["rows"]}


@pytest.mark.slow
@pytest.mark.parametrize("shares", [1, 3])
def test_a_case_that_raises_exits_or_hangs_is_recorded_and_the_others_run(
    faulty: None, tmp_path: Path, shares: int
) -> None:
    *_, result = run_part(Part("correctness", 0, silence=25, shares=shares), 250, tiny=True, folder=tmp_path)
    rows = rows_of(result)
    assert result["complete"]
    assert rows.keys() == {"first", "raises", "dies", "hangs", "last"}
    assert rows["first"]["ok"] and rows["last"]["ok"]
    assert rows["raises"]["failure"] == "ValueError: two shapes\ndo not fit"
    assert rows["dies"]["failure"] == "the process ended with 5"
    assert rows["hangs"]["failure"] == "no answer within 25 s"


@pytest.mark.slow
def test_a_part_ends_at_its_time_limit_and_keeps_its_rows(faulty: None, tmp_path: Path) -> None:
    *_, result = run_part(Part("correctness", 0, silence=600), 40, tiny=True, folder=tmp_path)
    assert not result["complete"]
    assert rows_of(result)["first"]["ok"]
    assert "cut off at the part's limit" in rows_of(result)["hangs"]["failure"]


def test_a_worker_that_cannot_start_reports_the_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu, "WORKER", "benchmarks.no_such_module")
    *_, result = run_part(Part("correctness", 0, silence=600), 100, tiny=True, folder=tmp_path)
    assert result["rows"] == []
    assert "no_such_module" in result["failure"]
    assert not result["complete"]


def test_a_case_of_bionets_that_was_not_measured_gives_the_status_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cases = [Case("brc 13", dict), Case("lif / bionets scan", dict), Case("lif / norse", dict)]
    monkeypatch.setattr(gpu, "DEVICE", "cuda")
    monkeypatch.setattr(gpu, "describe", dict)
    monkeypatch.setitem(gpu.CASES, "correctness", lambda tiny: iter(cases))
    for measured, status in ((3, 0), (2, 0), (1, 1), (0, 1)):
        rows = [{"name": case.name, "ok": True} for case in cases[:measured]]
        result = {"rows": rows, "complete": measured == 3, "seconds": 1.0, "limit_s": 1.0}
        monkeypatch.setattr(gpu, "run_part", lambda *_, result=result: iter([result]))
        assert gpu.main(["--only", "correctness", "--output", str(tmp_path / "gpu.json")]) == status


RUN = """
import pathlib, shutil, sys, time
folder, checkpoint, says = sys.argv[1:]
file = pathlib.Path(folder, "last.ckpt")
resumed = file.exists()
shutil.copy(checkpoint, file)
print(says) if resumed else time.sleep(3)
"""


@pytest.mark.parametrize(
    ("says", "weight", "ok"),
    [("going on after epoch 0", 1.0, True), ("training", 1.0, False), ("going on after epoch 0", float("nan"), False)],
)
def test_a_run_counts_as_resumed_only_if_it_says_so_and_its_weights_are_equal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str, weight: float, ok: bool
) -> None:
    file = tmp_path / "whole.ckpt"
    torch.save({"state_dict": {"bias": torch.ones(2), "weight": torch.tensor([weight])}}, file)
    monkeypatch.setattr(commands, "_command", lambda folder, _: [sys.executable, "-c", RUN, folder, str(file), says])
    assert commands._resumed()["ok"] is ok


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"name": "brc 13", "ok": True}, False),
        ({"name": "brc 13", "ok": False}, True),
        ({"name": "lif / bionets scan", "failure": "ValueError"}, True),
        ({"name": "lif / norse", "failure": "ModuleNotFoundError"}, False),
    ],
)
def test_only_failures_of_bionets_count(row: dict[str, Any], expected: bool) -> None:
    assert failed(row) == expected


def test_agreement_detects_wrong_values_missing_gradients_and_nan() -> None:
    one = torch.tensor([1.0, 100.0])
    assert correctness.agreement([one], [one.clone()], 1e-6)["ok"]
    assert correctness.agreement([one], [one + 1e-3], 1e-6)["error"] == pytest.approx(1e-5, rel=1e-2)
    assert not correctness.agreement([one], [one + 1e-3], 1e-6)["ok"]
    assert not correctness.agreement([None], [one], 1e-6)["ok"]
    assert correctness.agreement([None], [0 * one], 1e-6)["ok"]
    assert not correctness.agreement([torch.tensor([1.0, float("nan")]), one], [one, one], 1e-6)["ok"]
    assert not correctness.agreement([one.double()], [one], 1e-6)["ok"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(torch.cuda.is_available(), reason="a rehearsal for machines without a GPU")
def test_all_parts_run_at_tiny_size_in_the_triton_interpreter(tmp_path: Path) -> None:
    pytest.importorskip("triton")
    file = tmp_path / "gpu.json"
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHON": sys.executable}
    command = ["bash", "benchmarks/gpu.sh", "--tiny", "--minutes", "25", "--output", str(file)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    parts = json.loads(file.read_text())["parts"]
    assert parts.keys() == {part.name for part in gpu.PARTS}
    assert all(part["complete"] for part in parts.values())


def test_a_full_run_without_a_gpu_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a device")
    with pytest.raises(SystemExit):
        gpu.main(["--minutes", "1"])
    assert "no CUDA device here" in capsys.readouterr().err
