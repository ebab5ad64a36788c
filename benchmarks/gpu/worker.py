"""The process that runs the cases of one part, or some of them, and appends JSON lines to a file.

One line says that a case begins, and the next one holds its result. The parent process therefore knows which case ended
this process, and starts another process for the remaining cases. If the device does not respond after an error, this
process ends itself.
"""

import argparse
import gc
import itertools
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import ceilings, commands, correctness, linear, plastic, timings
from benchmarks.gpu.case import DEVICE, Case, Row

CASES: dict[str, Callable[[bool], Iterator[Case]]] = {
    "correctness": lambda tiny: itertools.chain(
        correctness.cases(tiny), linear.agreement_cases(tiny), plastic.agreement_cases(tiny)
    ),
    "ceilings": ceilings.cases,
    "layers": timings.layer_cases,
    "graphs": timings.graph_cases,
    "steps": timings.step_cases,
    "commands": commands.cases,
    "plastic": plastic.cases,
    "linear": linear.cases,
}
LOST = 3  # the exit code if the device does not respond


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=CASES)
    parser.add_argument("lines", type=Path)
    parser.add_argument("--share", type=int, default=0)
    parser.add_argument("--shares", type=int, default=1)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    done = {line["name"] for line in read_lines(options.lines)}
    cases = list(CASES[options.part](options.tiny))[options.share :: options.shares]
    for case in cases:
        if case.name in done:
            continue
        _append(options.lines, {"name": case.name, "begin": True})
        _append(options.lines, {"name": case.name, **_attempt(case)})
        if not _answers():
            return LOST
    return 0


def read_lines(file: Path) -> list[dict[str, Any]]:
    """The complete lines written so far."""
    if not file.exists():
        return []
    lines = file.read_text().split("\n")[:-1]
    return [json.loads(line) for line in lines]


def _append(file: Path, line: dict[str, Any]) -> None:
    with file.open("a") as stream:
        stream.write(json.dumps(line) + "\n")


def _attempt(case: Case) -> Row:
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for of_no_interest in (DeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", of_no_interest)
        try:
            row = case.run()
        except Exception as error:
            row = {"failure": f"{type(error).__name__}: {str(error)[-1500:]}", "where": _where(error)}
    seen = list(dict.fromkeys(str(warning.message).splitlines()[0][:300] for warning in caught))
    gc.collect()
    if DEVICE == "cuda":
        torch.cuda.empty_cache()
    return row | {"wall_s": time.perf_counter() - start} | ({"warnings": seen[:5]} if seen else {})


def _where(error: BaseException) -> list[str]:
    """The innermost lines of the traceback."""
    places, trace = [], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{Path(code.co_filename).name}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return places[-6:]


def _answers() -> bool:
    if DEVICE == "cpu":
        return True
    try:
        torch.cuda.synchronize()
        torch.zeros(1, device=DEVICE)
    except RuntimeError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
