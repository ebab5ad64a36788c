"""Whole commands of `train.py` on the device: complete, killed and resumed, in bfloat16, several seeds at once."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.case import DEVICE, Case, Row

ROOT = Path(__file__).parents[2]
ACCELERATOR = "gpu" if DEVICE == "cuda" else "cpu"
QUIET = (f"accelerator={ACCELERATOR}", "callbacks=quiet", "logger=none")
SECONDS = 90


def cases(tiny: bool) -> Iterator[Case]:
    adding = ("task=binary_addition", *_addition_sizes(tiny))
    yield Case("nbrc, to the end", lambda: _train("model=nbrc", *adding))
    yield Case("brc, killed and resumed", lambda: _resumed("model=brc", *adding))
    if tiny:
        return
    yield Case("brc, bf16-mixed", lambda: _train("model=brc", *adding, "trainer.precision=bf16-mixed"))
    yield Case("brc, seeds=5", lambda: _train("model=brc", *adding, "seeds=5"))
    yield Case("peephole_lstm", lambda: _train("model=peephole_lstm", *adding))
    yield Case("spiking_recurrent", lambda: _train("model=spiking_recurrent", *adding))
    boolean = ("task=boolean", "task.epochs=1", "task.train_size=100", "task.val_size=50", "task.test_size=50")
    yield Case("reward_modulated", lambda: _train("model=reward_modulated", *boolean))
    images = ("task=mnist", "task.train_size=5000", "task.val_size=500", "task.test_size=500", "task.epochs=1")
    yield Case("spiking_conv on MNIST", lambda: _train("model=spiking_conv", *images))
    rows = (*images, "task.read_as=rows")
    yield Case("stigmergic on MNIST", lambda: _train("model=stigmergic", *rows))
    yield Case("spiking_conv on MNIST, bf16-mixed", lambda: _train("model=spiking_conv", *images, BFLOAT16))
    digits = ("task=mnist", "task.read_as=poisson", "task.train_size=320", "task.val_size=64", "task.test_size=64")
    learning = ("model.label_size=64", "task.batch_size=32", "task.epochs=1")
    yield Case("stdp on MNIST", lambda: _train("model=stdp", *digits, *learning))


BFLOAT16 = "trainer.precision=bf16-mixed"


def _addition_sizes(tiny: bool) -> tuple[str, ...]:
    sizes = {"length": 5, "epochs_per_length": 2, "train_size": 400, "val_size": 100, "test_size": 50, "test_length": 6}
    if not tiny:
        sizes |= {"length": 8, "train_size": 4000, "val_size": 500, "test_length": 24}
    return ("model.hidden_size=6" if tiny else "model.hidden_size=100", *(f"task.{k}={v}" for k, v in sizes.items()))


def _train(*words: str) -> Row:
    """Seconds of the whole command and, if the run prints them, of its training; the headline metrics."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = subprocess.run(_command(folder, words), cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
        seconds = time.perf_counter() - start
        if done.returncode:
            return {"ok": False, "exit": done.returncode, "stderr": done.stderr[-3000:], "stdout": done.stdout[-1000:]}
        results = [json.loads(file.read_text()) for file in sorted(Path(folder).rglob("result.json"))]
        environments = [json.loads(file.read_text()) for file in Path(folder).rglob("environment.json")]
        return {
            "ok": bool(results),
            "seconds": seconds,
            "metrics": [result["metrics"] for result in results],
            "devices": sorted({str(environment["device"]) for environment in environments}),
            "stderr": done.stderr[-1000:],
        }


def _resumed(*words: str) -> Row:
    """A run that is killed after its first checkpoint and resumed ends with the weights of an uninterrupted one."""
    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as killed:
        subprocess.run(_command(whole, words), cwd=ROOT, capture_output=True, timeout=SECONDS)
        process = subprocess.Popen(
            _command(killed, words), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.perf_counter() + SECONDS
        while not list(Path(killed).rglob("last.ckpt")) and process.poll() is None and time.perf_counter() < deadline:
            time.sleep(0.02)
        stopped_early = process.poll() is None
        process.kill()
        process.wait()
        again = subprocess.run(_command(killed, words), cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
        resumed = stopped_early and "going on after" in again.stdout
        row = {"resumed": resumed, "exit": again.returncode}
        checkpoints = [next(Path(folder).rglob("last.ckpt"), None) for folder in (whole, killed)]
        if None in checkpoints:
            return row | {"ok": False, "stderr": again.stderr[-3000:]}
        one, other = (_weights(checkpoint) for checkpoint in checkpoints if checkpoint is not None)
        equal = one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
        ok = equal and resumed and again.returncode == 0
        return row | {"ok": ok, "equal": equal, "stderr": again.stderr[-1000:]}


def _weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    loaded: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return loaded["state_dict"]


def _command(folder: str, words: tuple[str, ...]) -> list[str]:
    return [sys.executable, "train.py", *words, *QUIET, f"paths.output_dir={folder}"]
