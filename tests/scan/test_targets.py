"""Kernels for other processors: assembly for ARM, and x86 with fewer instructions than this machine's."""

import os
import re
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest
import torch

from bionets.scan.arguments import read_arguments
from bionets.scan.cpu.compile import optimise
from bionets.scan.cpu.ir import Module
from bionets.scan.cpu.kernels import print_kernel
from bionets.scan.cpu.product import define_products
from bionets.scan.cpu.target import LEVELS, Target, host, named
from bionets.scan.dump import dump
from bionets.scan.program import Program, find_program
from bionets.scan.program.schedule import Variant

from .cells import brc, nbrc, peephole_gates, peephole_output

ARM = named("aarch64-unknown-linux-gnu", "neoverse-n1")
X = torch.zeros(4, 3, 8)


def program(kind: str, dtype: torch.dtype) -> Program:
    x, state = X.to(dtype), X[0].to(dtype)
    if kind == "elementwise":
        arguments = read_arguments((x, x, x), state, (state[0], state[0]), (), None, False, 1)
        return find_program((brc,), arguments).program
    if kind == "dense":
        weights = (torch.zeros(16, 8, dtype=dtype),)
        return find_program((nbrc,), read_arguments((x, x, x), state, (), weights, None, False, 1)).program
    weights = (torch.zeros(32, 8, dtype=dtype), torch.zeros(24, 8, dtype=dtype))
    arguments = read_arguments((x,) * 4, (state,) * 4, (), weights, None, False, 1)
    return find_program((peephole_gates, peephole_output), arguments).program


def assembly(module: Module, target: Target) -> str:
    machine = target.machine()
    return str(machine.emit_assembly(optimise(str(module), machine)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", ["plain", "lengths and checkpoints"])
@pytest.mark.parametrize("kind", ["elementwise", "dense", "stages"])
def test_kernels_are_vectorised_on_arm(kind: str, options: str, dtype: torch.dtype) -> None:
    given, every = program(kind, dtype), options != "plain"
    needs = ((True,) * given.x, (True,) * given.params)
    for variant in (Variant(every, every, histories=(0,)), Variant(every, every, (), *needs, backward=True)):
        module = print_kernel(given, variant, (False,) * given.params, ARM).module
        assert "x86" not in str(module).replace("target triple", "")
        text = assembly(module, ARM)
        lanes = "4s" if dtype == torch.float32 else "2d"
        assert re.search(rf"fmla\s+v\d+\.{lanes}", text) and re.search(rf"fdiv\s+v\d+\.{lanes}", text)
        assert not re.search(r"\s(fmadd|fdiv|fmul)\s+[sd]\d+", text)  # nothing element by element
        assert "FPCR" in text


@pytest.mark.parametrize("size", [4, 8])
def test_products_are_vectorised_on_arm(size: int) -> None:
    module = Module(ARM)
    define_products(module, size)
    assert re.search(rf"fmla\s+v\d+\.{'4s' if size == 4 else '2d'}", assembly(module, ARM))


SCRIPT = """
import torch
from bionets.scan.cpu.target import host
from tests.scan.cells import OPTIONS, assert_close, run_cell
assert host().vector_bytes == {vector_bytes}
for name, options in (("brc", "plain"), ("brc", "lengths"), ("peephole_lstm", "plain"), ("nbrc", "checkpoints")):
    found, expected = (run_cell(name, backend, torch.float32, **OPTIONS[options]) for backend in ("cpu", "reference"))
    assert_close(found, expected, 3e-5)
"""


@pytest.mark.skipif(llvm.get_process_triple().split("-")[0] not in ("x86_64", "amd64"), reason="needs x86")
@pytest.mark.parametrize("level", LEVELS)
def test_kernels_for_older_processors_agree_with_the_reference(level: str, tmp_path: Path) -> None:
    features = llvm.get_host_cpu_features()
    if not features.get({"x86-64-v2": "sse4.2", "x86-64-v3": "avx2", "x86-64-v4": "avx512f"}[level]):
        pytest.skip(f"this processor is no {level}")
    environment = {**os.environ, "BIONETS_CPU": level, "BIONETS_CACHE": str(tmp_path)}
    script = SCRIPT.format(vector_bytes=LEVELS[level])
    root = str(Path(__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [environment.get("PYTHONPATH")])])
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, cwd=root)


def test_an_unknown_processor_level_is_refused() -> None:
    with pytest.raises(ValueError, match="choose one of x86-64-v2, x86-64-v3, x86-64-v4"):
        named("x86_64-unknown-linux-gnu", "pentium")


DUMPED = """
import torch
from bionets.scan import scan
x = torch.zeros(2, 3, 4, requires_grad=True)
scan(lambda x, h, p: (torch.tanh(x + h),) * 2, x, torch.zeros(3, 4))[0].sum().backward()
"""


def test_the_dump_folder_gets_graph_schedule_llvm_ir_and_assembly(tmp_path: Path) -> None:
    environment = {**os.environ, "BIONETS_DUMP": str(tmp_path), "BIONETS_CACHE": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", DUMPED], env=environment, check=True)
    texts = {path.name.partition("-")[2]: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    assert "tanh" in texts["stage0.graph"]
    assert "steps backward" in texts["backward.schedule"]
    for direction in ("forward", "backward"):
        assert "define void @kernel" in texts[f"{direction}.ll"] and "kernel:" in texts[f"{direction}.s"]


def test_a_dump_is_utf_8_in_any_locale(tmp_path: Path) -> None:
    script = tmp_path / "Zähler.py"  # the listing of a graph names the file of each line
    script.write_text(DUMPED, encoding="utf-8")
    environment = {**os.environ, "BIONETS_DUMP": str(tmp_path / "dump"), "BIONETS_CACHE": str(tmp_path / "cache")}
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    subprocess.run([sys.executable, str(script)], env={**environment, **ascii_only}, check=True)
    (listing,) = (tmp_path / "dump").glob("*.graph")
    assert "Zähler.py, line" in listing.read_text(encoding="utf-8")


def four_parameters(x: torch.Tensor, h: torch.Tensor, params: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    a, b, c, d = params
    h = torch.tanh(a * x + b * h) * c + d
    return h, h


def printed_kernel() -> str:
    params = (X[0, 0],) * 4
    given = find_program((four_parameters,), read_arguments(X, X[0], params, (), None, False, 1)).program
    variant = Variant(needs_x=(True,), needs_params=(True,) * 4, backward=True)
    return str(print_kernel(given, variant, (False,) * 4, ARM).module)


def test_every_process_prints_the_same_kernel() -> None:
    """For any hash seed of strings: otherwise a kernel on the disk would not be found again."""
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [environment.get("PYTHONPATH")])])
    code = "from tests.scan.test_targets import printed_kernel; print(printed_kernel(), end='')"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, env=environment, check=True, cwd=root, capture_output=True, text=True).stdout
    assert found == printed_kernel()


def test_a_level_that_this_processor_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    if not llvm.get_process_triple().startswith(("x86_64", "amd64")):
        pytest.skip("the levels are those of x86")
    monkeypatch.setattr(llvm, "get_host_cpu_features", dict)
    monkeypatch.setenv("BIONETS_CPU", "x86-64-v4")
    with pytest.raises(ValueError, match="BIONETS_CPU=x86-64-v4 needs vectors of 512 bits, and this processor has 128"):
        host.__wrapped__()


def test_a_file_as_the_folder_of_the_dump_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BIONETS_DUMP", str(tmp_path / "file"))
    with pytest.raises(ValueError, match="file is a file: name a folder"):
        dump("name", "text")
