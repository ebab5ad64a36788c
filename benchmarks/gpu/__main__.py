"""Correctness and timings on a CUDA device, the most important parts first, within a number of minutes.

The results are written after every part. Each part runs in its own processes with its own time limit. A case that
fails, hangs or ends its process becomes a row with the reason, and the other cases continue. Without a CUDA device,
only --tiny runs, with TRITON_INTERPRET=1.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.case import DEVICE
from benchmarks.gpu.report import print_part
from benchmarks.gpu.worker import CASES, read_lines
from bionets.experiment.run.environment import version_of

ROOT = Path(__file__).parents[2]
WORKER = "benchmarks.gpu.worker"
OUTPUT = Path("results/gpu.json")
PACKAGES = ("torch", "triton", "numpy", "numba", "llvmlite", "lightning", "hydra-core", "spikingjelly", "snntorch")


@dataclass(frozen=True)
class Part:
    """A part of the benchmark.

    seconds: its share of the eight minutes of all parts. silence: seconds without output after which a case counts as
    hung. shares: number of processes that run its cases at the same time, for parts without timings.
    """

    name: str
    seconds: float
    silence: float
    shares: int = 1


PARTS = (
    Part("correctness", 80, 60, shares=12),
    Part("ceilings", 20, 20),
    Part("plastic", 40, 30),
    Part("linear", 60, 30),
    Part("graphs", 60, 30),
    Part("layers", 110, 45),
    Part("steps", 40, 40),
    Part("commands", 90, 90, shares=6),
)


@dataclass
class Share:
    """One process of a part and the file to which it writes its lines."""

    part: Part
    number: int
    file: Path
    tiny: bool
    process: subprocess.Popen[bytes] | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    seen: float = 0.0
    broken: bool = False  # it ended without beginning a case

    @property
    def log(self) -> Path:
        return self.file.with_suffix(".log")

    def start(self) -> None:
        command = [sys.executable, "-m", WORKER, self.part.name, str(self.file)]
        command += ["--share", str(self.number), "--shares", str(self.part.shares), *(["--tiny"] if self.tiny else [])]
        path = os.pathsep.join(entry for entry in (str(ROOT), os.environ.get("PYTHONPATH")) if entry)
        environment = {**os.environ, "PYTHONPATH": path, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        if self.part.shares > 1:
            environment.setdefault("OMP_NUM_THREADS", "2")  # the processes share the cores
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self.seen = time.monotonic()

    def running(self) -> bool:
        """Check the process. If it ended before its last case, or hangs, another process continues."""
        assert self.process is not None
        if (lines := read_lines(self.file)) != self.rows:
            self.rows, self.seen = lines, time.monotonic()
        code = self.process.poll()
        if code is None and time.monotonic() - self.seen < self.part.silence:
            return True
        if code == 0:
            return False
        self.stop()
        reason = f"no answer within {self.part.silence:.0f} s" if code is None else f"the process ended with {code}"
        if not self.fail(reason) and code not in (None, 3):
            self.broken = True  # another process would not begin a case either
            return False
        self.start()
        return True

    def fail(self, reason: str) -> bool:
        """End the case that has begun, if any, as a failure."""
        self.rows = read_lines(self.file)
        if not self.rows or "begin" not in self.rows[-1]:
            return False
        tail = self.log.read_text(errors="replace").strip().splitlines()[-3:]
        row = {"name": self.rows[-1]["name"], "failure": reason, "log": tail}
        with self.file.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        self.rows.append(row)
        return True

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def finished_rows(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if "begin" not in row]


def run_part(part: Part, seconds: float, tiny: bool, folder: Path) -> Iterator[dict[str, Any]]:
    """The results of the part so far, about every second; the last ones are final."""
    begin = time.monotonic()
    shares = [Share(part, number, folder / f"{part.name}-{number}.jsonl", tiny) for number in range(part.shares)]
    for share in shares:
        share.start()
    running, looked = list(shares), begin
    while running and time.monotonic() - begin < seconds:
        time.sleep(0.1)
        running = [share for share in running if share.running()]
        if time.monotonic() - looked > 1:
            looked = time.monotonic()
            yield _result(shares, begin, seconds, complete=False)
    for share in running:
        share.stop()
        share.fail(f"cut off at the part's limit of {seconds:.0f} s")
    result = _result(shares, begin, seconds, complete=not running and not any(share.broken for share in shares))
    if not result["rows"]:
        result["failure"] = shares[0].log.read_text(errors="replace")[-2000:]
    yield result


def _result(shares: list[Share], begin: float, seconds: float, complete: bool) -> dict[str, Any]:
    rows = [row for share in shares for row in share.finished_rows()]
    return {"seconds": time.monotonic() - begin, "limit_s": seconds, "complete": complete, "rows": rows}


def describe() -> dict[str, Any]:
    environment: dict[str, Any] = {
        "python": platform.python_version(),
        "versions": {name: version_of(name) for name in PACKAGES},
        "device": "CPU, Triton's interpreter",
        "cores": os.cpu_count(),
    }
    if DEVICE == "cuda":
        properties = torch.cuda.get_device_properties(0)
        environment |= {
            "device": properties.name,
            "multiprocessors": properties.multi_processor_count,
            "memory_bytes": properties.total_memory,
            "capability": [properties.major, properties.minor],
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return environment


def main(arguments: list[str] | None = None) -> int:
    """Run the parts. Returns 0 if every case of bionets was measured and agreed; other libraries may fail."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--minutes", type=float, default=8.0, help="for all parts together (default: 8)")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="JSON file (default: %(default)s)")
    parser.add_argument("--only", action="append", choices=CASES, default=[], help="this part, repeatable")
    parser.add_argument("--tiny", action="store_true", help="a few cases at tiny sizes: a rehearsal, times nothing")
    options = parser.parse_args(arguments)
    if DEVICE == "cpu" and not (options.tiny and os.environ.get("TRITON_INTERPRET") == "1"):
        parser.error("no CUDA device here; --tiny with TRITON_INTERPRET=1 rehearses on the CPU")
    parts = [part for part in PARTS if not options.only or part.name in options.only]
    results: dict[str, Any] = {"environment": describe(), "minutes": options.minutes, "tiny": options.tiny, "parts": {}}
    end = time.monotonic() + 60 * options.minutes
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for number, part in enumerate(parts):
            # Time that earlier parts did not use is given to the following ones.
            left = end - time.monotonic()
            weight = sum(other.seconds for other in parts[number:])
            for result in run_part(part, left * part.seconds / weight, options.tiny, Path(folder)):
                results["parts"][part.name] = result
                _write(options.output, results)
            print_part(part.name, results["parts"][part.name])
    parts_rows = [(name, part["rows"]) for name, part in results["parts"].items()]
    found = [row for name, rows in parts_rows for row in [*rows, *missing(name, rows, options.tiny)]]
    return int(any(map(failed, found)))


def missing(part: str, rows: list[dict[str, Any]], tiny: bool) -> list[dict[str, Any]]:
    """A failed row for each case of this part that has none, because its time or its process ended."""
    names = {row["name"] for row in rows}
    return [{"name": case.name, "failure": "not measured"} for case in CASES[part](tiny) if case.name not in names]


def failed(row: dict[str, Any]) -> bool:
    """Whether a measurement of bionets failed. Rows of other libraries are named 'comparison / library'."""
    _, _, contestant = row["name"].partition(" / ")
    ours = not contestant or contestant.startswith("bionets")
    return ours and ("failure" in row or row.get("ok") is False)


def _write(file: Path, results: dict[str, Any]) -> None:
    new = file.with_suffix(".new")
    new.write_text(json.dumps(results, indent=1) + "\n")
    new.replace(file)


if __name__ == "__main__":
    sys.exit(main())
