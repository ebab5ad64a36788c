"""The report on compiled GPU kernels parses machine code correctly; no kernel spills more registers than recorded."""

import json
import os
from pathlib import Path

import pytest

from benchmarks import gpu_static
from benchmarks.gpu.sass import Instruction, MachineCode, innermost_loops
from benchmarks.gpu_static import DEVICES, OUTPUT, kinds, main, occupancy, reports
from bionets.layers import spiking

pytest.importorskip("triton", reason="kernels are compiled by Triton")
pytestmark = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="Triton interprets in this process")

SPILLS = {
    (report["kind"], report["pass_"], report["architecture"]): report["spills"]
    for report in json.loads(OUTPUT.read_text())
}


def test_only_kernels_with_many_weights_spill_many_registers() -> None:
    weighted = ("GRU 100", "GRU 128", "LSTM 100", "LSTM 128", "peephole LSTM 64")
    assert {kind for (kind, _, _), spills in SPILLS.items() if spills > 2} == set(weighted)


@pytest.mark.slow
@pytest.mark.parametrize("kind", kinds())
def test_no_kernel_spills_more_registers_than_recorded(kind: str) -> None:
    found = list(reports(kind))
    assert {report.pass_ for report in found} == {"forward", "backward"}
    assert {report.architecture for report in found} == set(DEVICES)
    wide = kind in {each.name for each in spiking.KINDS}  # so many elements that threads need not share a load
    for report in found:
        assert report.spills <= SPILLS[kind, report.pass_, report.architecture], report
        assert not wide or min(report.load_bytes + report.store_bytes) >= 8, report


def test_a_large_layer_uses_16_byte_accesses_and_asynchronous_loads(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "static.json"
    assert main(["--only", "SLIEMA", "--architecture", "90", "--output", str(file)]) == 0
    found = json.loads(file.read_text())
    assert [report["pass_"] for report in found] == ["forward", "backward"]
    for report in found:
        assert report["load_bytes"] == report["store_bytes"] == [16]
        assert report["asynchronous"]
        assert report["limit"] == "memory"


def test_a_part_of_the_report_replaces_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["--only", "transformer"])
    assert "--only transformer fits nothing" in capsys.readouterr().err
    monkeypatch.setattr(gpu_static, "reports", lambda kind, architectures: [])
    assert main(["--only", "SLIEMA"]) == main(["--architecture", "90"]) == 0
    assert not list(tmp_path.iterdir())
    assert main([]) == 0 and (tmp_path / gpu_static.OUTPUT).exists()


def test_only_innermost_loops_are_found() -> None:
    code = [
        Instruction(0x00, "MOV", ""),
        Instruction(0x10, "LDG.E.128", ""),
        Instruction(0x20, "BRA", " 0x10 "),
        Instruction(0x30, "BRA", " 0x0 "),
        Instruction(0x40, "BRA", " 0x50 "),
        Instruction(0x50, "BRA", " 0x50"),
    ]
    assert innermost_loops(code) == [(0x10, 0x20)]


def test_only_accesses_to_global_memory_are_counted() -> None:
    names = ("LDG.E.128", "LDGSTS.E.BYPASS.64", "STG.E", "LDS.128", "LDG.E.U16", "FADD")
    code = MachineCode(32, 0, 0, tuple(Instruction(16 * i, name, "") for i, name in enumerate(names)))
    assert code.bytes_per_thread == 16 + 8 + 4 + 2
    assert code.widths(("LDG",)) == {16: 1, 2: 1}


@pytest.mark.parametrize(
    ("registers", "warps", "shared", "expected"),
    [(32, 8, 0, 1.0), (128, 8, 0, 0.25), (255, 16, 0, 0.0), (32, 8, 100 * 1024, 0.25), (32, 1, 0, 0.5)],
)
def test_occupancy_follows_from_registers_warps_and_shared_memory(
    registers: int, warps: int, shared: int, expected: float
) -> None:
    assert occupancy(DEVICES[90], registers, warps, shared) == expected
