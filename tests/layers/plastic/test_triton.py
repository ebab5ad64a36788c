"""The Triton kernels of plastic networks without a GPU: in Triton's interpreter, and compiled ahead of time."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from benchmarks.gpu.compiling import compile_function
from benchmarks.gpu.sass import read_cubin
from benchmarks.plastic import diehl_and_cook
from bionets.layers.plastic import LIF, Input, Linear, LinearDynamics, Network, PairSTDP, TripletSTDP, simulate

JITFunction = pytest.importorskip("triton", reason="the triton backend needs the package triton").JITFunction

from bionets.layers.plastic.gpu import dynamics, learning, run  # noqa: E402


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_cases_pass_in_the_triton_interpreter() -> None:
    cases = str(Path(__file__).with_name("triton_plastic_cases.py"))
    command = [sys.executable, "-m", "pytest", cases, "-q", "--no-header", "-p", "no:cacheprovider", "-n", "0"]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="Triton interprets in this process")
def test_no_kernel_parameter_has_a_name_reserved_by_triton() -> None:
    """Triton generates a Python function with the kernel's parameters and these names; neither the interpreter nor the
    compiler ahead of time runs it."""
    kernels = [
        each for module in (dynamics, learning) for each in vars(module).values() if isinstance(each, JITFunction)
    ]
    assert learning.learn in kernels
    for kernel in kernels:
        assert not {"options", "params", "specialization", "backend", "grid", "warmup"} & set(kernel.arg_names)


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="Triton interprets in this process")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dependence", [0.0, 0.3])
def test_kernels_compile_for_nvidia_gpus_and_do_not_spill(dtype: torch.dtype, dependence: float) -> None:
    network = diehl_and_cook(400).to(dtype)
    for group in network.rules[0].groups:
        group["weight_dependence"] = dependence
    launches: list[tuple[Any, tuple[Any, ...], int]] = []

    def record(function: Any, grid: tuple[int, ...], *arguments: Any, num_warps: int = 4) -> None:
        launches.append((function, arguments, num_warps))

    with (
        patch("bionets.layers.plastic.gpu.unsupported_reason", lambda network, device: None),
        patch.dict(run.__globals__, _launch=record),
    ):
        network(torch.zeros(1, 32, 784, dtype=torch.bool), backend="triton")
    assert len(launches) == 3  # dynamics, threshold, weights
    for function, arguments, warps in launches:
        values = dict(zip(function.arg_names, arguments, strict=True))
        constants = {name: value for name, value in values.items() if name.isupper()}
        options = {"num_warps": warps, "enable_fp_fusion": False}
        for architecture in (80, 90):
            compiled = compile_function(function, values, constants, ("steps", "batch"), options, architecture)
            assert read_cubin(compiled.asm["cubin"]).spills == 0
            assert compiled.metadata.shared <= 48 * 1024


def small() -> Network:
    network = Network()
    network.add("input", Input(4, trace=LinearDynamics(0.9)))
    network.add("output", LIF(3, LinearDynamics(0.9), trace=LinearDynamics(0.9)))
    network.connect("input", "output", Linear(4, 3))
    return network


def chosen(network: Network, backend: str = "auto") -> str:
    return simulate.choose_backend(network, backend, torch.device("cuda"))[0]


def test_a_gpu_uses_the_kernels_unless_the_reference_is_requested() -> None:
    network = small()
    assert chosen(network) == "triton"
    network.add_rule(PairSTDP([network.connections["input_output"]]))
    assert chosen(network) == "triton"
    assert chosen(network, "reference") == "reference"


def unsupported() -> dict[str, Network]:
    delayed = small()
    delayed.connect("output", "output", Linear(3, 3, delay=2))
    triplet = small()
    triplet.add_rule(TripletSTDP([triplet.connections["input_output"]]))
    recurrent = small()
    recurrent.add_rule(PairSTDP([recurrent.connect("output", "output", Linear(3, 3))]))
    recorded = small()
    recorded.add("recorded", LIF(3, LinearDynamics(0.9), record=("spikes",)))
    return {
        "'output_output' has a delay": delayed,
        "it learns by TripletSTDP": triplet,
        "'output_output' learns and is recurrent": recurrent,
        "'recorded' records its history": recorded,
    }


@pytest.mark.parametrize("reason", unsupported())
def test_networks_that_the_kernels_cannot_compute_run_on_the_reference(reason: str) -> None:
    network = unsupported()[reason]
    assert chosen(network) == "reference"
    with pytest.raises(ValueError, match=f"backend 'triton' cannot compute this network: {reason}"):
        chosen(network, "triton")


def test_the_triton_backend_is_refused_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    x: Tensor = torch.zeros(2, 1, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match="backend 'triton' cannot compute this network: it lies on cpu"):
        small()(x, backend="triton")
