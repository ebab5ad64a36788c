"""What the package imports and how it runs where a system lacks what only Linux or POSIX has."""

import os
import subprocess
import sys

HEAD = """
import builtins, ctypes, importlib, os, sys
MISSING = {"fcntl", "resource", "pwd", "grp", "termios", "cpu", "llvmlite", "triton"}
plain = builtins.__import__
def refusing(name, *arguments, **options):
    if name.partition(".")[0] in MISSING and "bionets" in sys._getframe(1).f_globals.get("__name__", ""):
        raise ImportError(f"{name} does not exist here")
    return plain(name, *arguments, **options)
"""
SYSTEM = """
for name in ("register_at_fork", "fork", "getuid", "O_NOFOLLOW", "O_NONBLOCK", "mkfifo"):
    if hasattr(os, name):
        delattr(os, name)
library = ctypes.CDLL
def without_openmp(name, *arguments, **options):
    if name is None or "torch_cpu" in str(name) or "gomp" in str(name):
        raise OSError("not found")
    return library(name, *arguments, **options)
"""
PATCH = "builtins.__import__ = refusing\nctypes.CDLL = without_openmp\n"
REFERENCE = """
import torch, bionets.layers, bionets.scan
from bionets.layers import BRC
from bionets.layers.spiking import LIB
from bionets.scan import scan
x = torch.randn(4, 2, 3, requires_grad=True)
y, _ = BRC(3, 5, backend="reference")(x)
y.sum().backward()
LIB(3, quant_fn="identity", backend="reference").over_time(x)[0].sum().backward()
from bionets.scan.cpu import cache
cache.write("0" * 32, b"content")
assert cache.read("0" * 32) == b"content"
"""
TASKS = "import bionets.tasks, bionets.models, bionets.experiment.run.run_folder, bionets.experiment.run.environment\n"
TASKS += "bionets.experiment.run.environment.keep_large_buffers()\n"
COMPILED = """
import torch
from bionets.scan import scan
x = torch.randn(60, 64, 300)
def step(x, h, params):
    h = torch.tanh(h + x)
    return h, h
torch.set_num_threads(2)
y, _ = scan(step, x, torch.zeros(64, 300), backend="cpu")
torch.testing.assert_close(y, scan(step, x, torch.zeros(64, 300), backend="reference")[0])
"""


def run(script: str, cache: object) -> None:
    environment = os.environ | {"BIONETS_CACHE": str(cache)}
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], env=environment, check=True, timeout=300)


def test_layers_and_the_reference_need_only_torch_and_numpy(tmp_path: object) -> None:
    run(HEAD + "import torch\n" + SYSTEM + PATCH + REFERENCE, tmp_path)


def test_the_rest_of_the_package_is_imported_without_posix(tmp_path: object) -> None:
    head = HEAD.replace(', "cpu", "llvmlite", "triton"', "")
    run(head + "import torch, lightning, pooch\n" + SYSTEM + PATCH + TASKS, tmp_path)


def test_kernels_run_without_the_openmp_of_torch(tmp_path: object) -> None:
    head = HEAD.replace(', "cpu", "llvmlite", "triton"', "")
    run(head + "import torch, numba\n" + SYSTEM + PATCH + COMPILED, tmp_path)
