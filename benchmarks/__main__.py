"""Time bionets and other libraries: tables in the terminal, all numbers in a JSON file.

Other libraries take part if they are installed (see benchmarks/requirements-peers.txt). All libraries run in this
process and take turns in each round; a row shows the median over the rounds.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks import report
from benchmarks.copy_first_input import copy_first_input
from benchmarks.decay import decay
from benchmarks.first_call import first_calls
from benchmarks.floor import COPY_BYTES, Floor, copy_bandwidth, measure_floor
from benchmarks.memory import CONV_SIZE, LIF_SIZE, conv_peaks, lif_peaks
from benchmarks.plastic import presentation
from benchmarks.results import Measured, Results
from benchmarks.spiking import dsrlits, lif
from benchmarks.spiking_conv import spiking_conv
from benchmarks.stigmergic import stigmergic
from benchmarks.timing import Comparison, compare
from bionets.experiment.run.environment import describe, keep_large_buffers, version_of

PEERS = ("brc_pytorch", "tracetorch", "snntorch", "spikingjelly", "norse", "jax")
MEMORY, FIRST_CALL = "memory", "first-call"
OUTPUT = Path("results/benchmarks/benchmarks.json")
QUICK_LIF_SIZE, QUICK_CONV_SIZE = (5, 4, 8), (3, 2)
PROCESSES = 3  # rounds of measurements in new processes


def comparisons(quick: bool) -> Iterator[Comparison]:
    """All comparisons, at full or at tiny size."""
    batch, hidden = (4, 8) if quick else (100, 100)
    for length in (5,) if quick else (100, 300, 1000):
        yield copy_first_input("BRC", length, batch, hidden)
    for cell in ("nBRC", "GRU", "LSTM"):
        yield copy_first_input(cell, 5 if quick else 300, batch, hidden)
    for quantiser in ("round", "bernoulli"):
        yield lif(quantiser, QUICK_LIF_SIZE if quick else LIF_SIZE)
        yield dsrlits(quantiser, QUICK_LIF_SIZE if quick else LIF_SIZE)
        yield spiking_conv(quantiser, QUICK_CONV_SIZE if quick else CONV_SIZE)
    yield decay((50, 2, 8) if quick else (10_000, 16, 64))
    for size in (2,) if quick else (32, 256):
        yield stigmergic(size)
    for batch in (1, 2) if quick else (1, 32):
        yield presentation(batch, *((8, 5) if quick else (400, 350)))


def measure(options: argparse.Namespace, results: Results, console: Console) -> None:
    """Run the chosen comparisons, and print each when it is complete."""
    chosen = [c for c in comparisons(options.quick) if _wanted(c.name, options.only)]
    if chosen:
        results.bytes_per_second = copy_bandwidth(options.rounds, COPY_BYTES // 256 if options.quick else COPY_BYTES)
        report.print_environment(results, console)
    for comparison in chosen:
        measured = Measured(comparison, compare(comparison, options.rounds), _floors(comparison, options, results))
        results.comparisons[comparison.name] = measured
        report.print_comparison(measured, console)
    if _wanted(MEMORY, options.only):
        results.memory = {name: (peak, reason) for name, peak, reason in lif_peaks(options.threads)}
        results.conv_memory = {name: (peak, reason) for name, peak, reason in conv_peaks(options.threads)}
        report.print_memory(results, console)
    if _wanted(FIRST_CALL, options.only):
        rounds = 1 if options.quick else min(options.rounds, PROCESSES)
        results.first_calls = {
            cell: (compiled, cached, reason) for cell, compiled, cached, reason in first_calls(rounds)
        }
        report.print_first_calls(results, console)
    if not options.quick:
        report.print_goals(results, console)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks. Returns 0 if every measurement of bionets succeeded, else 1. If another library fails, its
    row holds the reason.
    """
    options = _parse(arguments)
    if not options.plain_allocator:
        keep_large_buffers()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(not options.keep_denormals)
    results, console = Results(_environment(options)), Console(width=None if sys.stdout.isatty() else 140)
    try:
        measure(options, results, console)
    finally:  # also after Ctrl-C
        if options.output is None:
            console.print("not written: --output names a file")
        else:
            options.output.parent.mkdir(parents=True, exist_ok=True)
            options.output.write_text(json.dumps(results.as_json(), indent=1) + "\n")
            console.print(f"written to {options.output}")
    return int(results.ours_failed())


def _floors(comparison: Comparison, options: argparse.Namespace, results: Results) -> list[Floor]:
    bandwidth = results.bytes_per_second or float("nan")
    shared = measure_floor(comparison.work, bandwidth, options.rounds)
    return [
        measure_floor(contestant.work, bandwidth, options.rounds) if contestant.work else shared
        for contestant in comparison.contestants
    ]


def _wanted(name: str, only: list[str]) -> bool:
    return not only or any(name.startswith(text) for text in only)


def _environment(options: argparse.Namespace) -> dict[str, Any]:
    environment = describe(torch.device("cpu"))
    environment["versions"] |= {peer: version_of(peer) for peer in PEERS}
    return environment | {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "rounds": options.rounds,
        "quick": options.quick,
        "allocator": "as it is" if options.plain_allocator else "told to keep large buffers, for all contestants alike",
        "denormals": "as they are" if options.keep_denormals else "flushed, for all contestants alike",
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown processor"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown processor")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    names = ", ".join([*(comparison.name for comparison in comparisons(quick=False)), MEMORY, FIRST_CALL])
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help=f"what begins with TEXT, repeatable: {names}"
    )
    parser.add_argument("--rounds", type=int, default=7, help="how often each contestant runs (default: 7)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, times nothing real")
    parser.add_argument(
        "--output", type=Path, help=f"JSON file; without it, only a run without options is written, to {OUTPUT}"
    )
    parser.add_argument("--plain-allocator", action="store_true", help="leave the memory allocator as it is")
    parser.add_argument("--keep-denormals", action="store_true", help="do not flush denormals: as without bionets")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.threads < 1:
        parser.error("--rounds and --threads must be at least 1")
    if options == parser.parse_args([]):
        options.output = OUTPUT
    known = [comparison.name for comparison in comparisons(options.quick)] + [MEMORY, FIRST_CALL]
    if options.quick and not options.only:
        options.only = known[:-2]  # measurements in new processes take long
    if options.only and not any(_wanted(name, options.only) for name in known):
        parser.error(f"--only {' '.join(options.only)} fits nothing; choose from {', '.join(known)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
