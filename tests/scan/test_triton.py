"""The CUDA backend without a GPU: its cases in Triton's interpreter, and each kind of kernel compiled ahead of time."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.gpu.compiling import Launch, compile_ahead, recorded_launches
from bionets.layers.recurrent.brc import brc_step
from bionets.layers.recurrent.minimal_gated import min_gru_step
from bionets.layers.recurrent.nbrc import nbrc_step
from bionets.layers.recurrent.peephole_lstm import peephole_memory_step, peephole_output_step
from bionets.scan.arguments import read_arguments
from bionets.scan.compiled import compiled_scan
from bionets.scan.gpu import backend as triton_backend
from bionets.scan.gpu import kernels as triton_kernels
from bionets.scan.gpu import printer as triton_printer
from bionets.scan.graph import UnsupportedStepError

pytest.importorskip("triton", reason="the triton backend needs the package triton")
compiling = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="Triton interprets in this process")

SHARED_MEMORY = {80: 163 * 1024, 90: 227 * 1024}  # bytes that one kernel may take on each architecture


def test_the_cases_pass_in_the_triton_interpreter() -> None:
    _run_cases("not slow")


@pytest.mark.slow
def test_every_operation_passes_in_the_triton_interpreter() -> None:
    _run_cases("not slow", "triton_operation_cases.py")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_linear_recurrences_pass_in_the_triton_interpreter() -> None:
    _run_cases("not slow", "triton_parallel_cases.py")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_cell_passes_in_the_triton_interpreter() -> None:
    _run_cases("slow")


def _run_cases(marker: str, file: str = "triton_cases.py") -> None:
    cases = str(Path(__file__).with_name(file))
    command = [sys.executable, "-m", "pytest", cases, "-q", "--no-header", "-p", "no:cacheprovider", "-m", marker]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]


@pytest.fixture
def launches() -> Iterator[list[Launch]]:
    """What would be launched."""
    with recorded_launches() as found:
        yield found


def tensor(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.zeros(shape, dtype=dtype, requires_grad=True)


def train(
    stages: tuple[Any, ...], x: Any, state: Any, params: Any, weights: tuple[Tensor, ...] = (), **options: Any
) -> None:
    """Forward and backward, as `scan` would call the backend."""
    options = {"lengths": None, "reverse": False, "checkpoint_every": 1, **options}
    y, _ = compiled_scan(stages, read_arguments(x, state, params, weights, **options), "triton")
    y.sum().backward()


def brc(time: int = 3, batch: int = 4096, dtype: torch.dtype = torch.float32, **options: Any) -> None:
    x = tensor(time, batch, 300, dtype=dtype).chunk(3, -1)
    train((brc_step,), x, tensor(batch, 100), tuple(tensor(100) for _ in range(4)), **options)


def nbrc(width: int = 128, **options: Any) -> None:
    x = tensor(3, 64, 3 * width).chunk(3, -1)
    params = (tensor(width), tensor(width))
    train((nbrc_step,), x, tensor(64, width), params, (tensor(2 * width, width),), **options)


def min_gru(time: int, **options: Any) -> None:
    train((min_gru_step,), (tensor(time, 2, 40), tensor(time, 2, 40)), tensor(2, 40), (), **options)


def lstm(**options: Any) -> None:
    x, states, params = (tuple(tensor(*shape) for _ in range(4)) for shape in ((3, 64, 64), (64, 64), (64,)))
    train(
        (peephole_memory_step, peephole_output_step), x, states, params, (tensor(256, 64), tensor(192, 64)), **options
    )


def hardest(batch: int) -> dict[str, Any]:
    return {"lengths": torch.arange(batch) % 4, "reverse": True, "checkpoint_every": 2}


KINDS: dict[str, Callable[[], None]] = {
    "elementwise": brc,
    "elementwise with lengths and checkpoints": lambda: brc(**hardest(4096)),
    "elementwise float64": lambda: brc(dtype=torch.float64),
    "dense": nbrc,
    "two stages with lengths and checkpoints": lambda: lstm(**hardest(64)),
    "linear, many time steps at once": lambda: min_gru(2000),
    "loop over time": lambda: nbrc(width=272, lengths=torch.arange(64) % 4),
}


@compiling
@pytest.mark.parametrize("kind", KINDS)
def test_kernels_compile_for_nvidia_gpus(kind: str, launches: list[Launch]) -> None:
    KINDS[kind]()
    kernels = {launch.kernel.source.text: launch for launch in launches}
    assert len(kernels) >= 2
    for launch in kernels.values():
        for architecture, limit in SHARED_MEMORY.items():
            compiled = compile_ahead(launch, architecture)
            assert compiled.asm["cubin"]
            assert compiled.metadata.shared <= limit


@compiling
def test_inputs_of_later_steps_are_loaded_asynchronously(launches: list[Launch]) -> None:
    brc()
    assert all("cp.async" in compile_ahead(launch, 80).asm["ptx"] for launch in launches)


@compiling
def test_kernels_with_64_bit_offsets_compile(launches: list[Launch]) -> None:
    brc(batch=64)
    compile_ahead(replace(launches[0], wide=True), 90)


def test_one_kernel_serves_every_length_and_batch_size(launches: list[Launch]) -> None:
    brc(time=20, batch=64)
    brc(time=7, batch=11)
    assert launches[0].kernel is launches[2].kernel
    assert launches[1].kernel is launches[3].kernel


def test_an_operation_that_cannot_be_printed_is_refused_with_its_line(
    launches: list[Launch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(triton_printer.OPERATIONS, "erf")

    def step(x: Tensor, state: Tensor, params: Any) -> tuple[Tensor, Tensor]:
        return torch.erf(x), state

    with pytest.raises(UnsupportedStepError, match=r"erf.*test_triton.py, line \d+"):
        train((step,), tensor(2, 1, 1), tensor(1, 1), ())


def test_a_missing_triton_gives_an_error_with_an_alternative(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="needs the package triton; install it or use backend='auto'"):
        triton_kernels.load_kernel(triton_printer.Source("", ()))


def test_widths_are_padded_to_powers_of_two_from_16() -> None:
    assert [triton_kernels.padded(width) for width in (1, 16, 100, 128, 129)] == [16, 16, 128, 128, 256]
    assert triton_backend.ON_CHIP == 4 * 128**2
