"""Measurements in a new process: a module that prints one JSON value as its last line."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def in_new_process(module: str, *arguments: object, **environment: str) -> Any:
    """The output of `python -m module *arguments`. Raises RuntimeError with the last line of its error."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    path = os.pathsep.join(entry for entry in (str(ROOT), os.environ.get("PYTHONPATH")) if entry)
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path, **environment}, capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or f"{module} ended with {done.returncode}").splitlines()[-1])
    return json.loads(done.stdout.splitlines()[-1])
