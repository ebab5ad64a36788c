"""Kernels that call the C library run in a process that has them from the disk, where Numba has never been started."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import torch
from bionets.scan import scan

def step(x, state, params):
    state = torch.sigmoid(x) + torch.tanh(state) + torch.exp(-state) + torch.log1p(state * state) + torch.sin(x)
    return state, state

y, _ = scan(step, torch.ones(3, 2, 4, dtype=torch.float64), torch.zeros(2, 4, dtype=torch.float64), backend="cpu")
print(y.sum().item())
"""


def test_a_second_process_with_cached_kernels_gives_the_same_result(tmp_path: Path) -> None:
    environment = {**os.environ, "BIONETS_CACHE": str(tmp_path)}
    runs = [
        subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout != ""
