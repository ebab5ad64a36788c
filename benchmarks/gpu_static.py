"""Static analysis of every kind of GPU kernel, without a GPU: registers, spills, occupancy, widths of loads and stores,
instructions per element and time step, and the share of the memory bandwidth that these allow.

The limit is that of a roofline model: the largest of the times of the bytes at the full bandwidth, of the instructions
at the issue rate, and of the special functions (exp2, reciprocal) at their rate, without any other stalls. The rates
are the vendor's.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks.gpu.compiling import Launch, compile_ahead, recorded_launches
from benchmarks.gpu.sass import ASYNCHRONOUS, LOADS, STORES, read_cubin
from bionets.layers import BRC, GRU, LSTM, NBRC, PeepholeLSTM, RecurrentStigmergicMemory, spiking

OUTPUT = Path("results/gpu_static.json")
STEPS, BATCH = 16, 64
WIDE = 65_536  # neurons of a layer that uses a whole GPU


@dataclass(frozen=True)
class Device:
    """Limits of a multiprocessor, and the rates of the whole GPU: bytes per second, and cycles per second."""

    name: str
    processors: int
    clock: float
    bandwidth: float
    shared: int
    registers: int = 65_536
    warps: int = 64
    blocks: int = 32


DEVICES = {
    80: Device("A100 80 GB", 108, 1.41e9, 2.04e12, 164 * 1024),
    90: Device("H100 SXM", 132, 1.98e9, 3.35e12, 228 * 1024),
}
ISSUED, SPECIAL = 128, 16  # instructions of threads per multiprocessor and cycle: all, and special functions


@dataclass(frozen=True)
class Report:
    """One kernel of one kind on one architecture. Numbers per element are for one time step. `limit` is the slowest
    resource.
    """

    kind: str
    pass_: str
    architecture: int
    registers: int
    spills: int
    shared: int
    occupancy: float
    load_bytes: list[int]
    store_bytes: list[int]
    asynchronous: bool
    instructions: float
    bytes: float
    limit: str
    bandwidth_share: float


def kinds() -> dict[str, Callable[[], None]]:
    """Functions that run a layer forward and backward, at the size at which it is compiled, by name."""
    layers: dict[str, Callable[[], None]] = {}
    for kind in spiking.KINDS:
        layers[kind.name] = lambda name=kind.name: _over_time(getattr(spiking, name)(WIDE), WIDE)  # type: ignore[misc]
    layers["LIB, 1024 neurons"] = lambda: _over_time(spiking.LIB(1024), 1024)
    for width in (100, 128, 1024):
        layers[f"BRC {width}"] = lambda width=width: _recurrent(BRC(8, width))  # type: ignore[misc]
    for width in (64, 100, 128, 256):
        layers[f"nBRC {width}"] = lambda width=width: _recurrent(NBRC(8, width))  # type: ignore[misc]
    for width in (64, 100, 128):
        layers[f"GRU {width}"] = lambda width=width: _recurrent(GRU(8, width))  # type: ignore[misc]
        layers[f"LSTM {width}"] = lambda width=width: _recurrent(LSTM(8, width))  # type: ignore[misc]
    layers["peephole LSTM 64"] = lambda: _recurrent(PeepholeLSTM(8, 64))
    layers["recurrent LIB 128"] = lambda: _over_time(spiking.FullyRecurrent(spiking.LIB(128)), 128)
    layers["stigmergic"] = lambda: _over_time(RecurrentStigmergicMemory(28, 15, 1, 20), 28)
    return layers


def reports(kind: str, architectures: tuple[int, ...] = tuple(DEVICES)) -> Iterator[Report]:
    """The report of each kernel that this kind launches, for each architecture."""
    with recorded_launches() as launches:
        kinds()[kind]()
    for text, launch in {launch.kernel.source.text: launch for launch in launches}.items():
        for architecture in architectures:
            name = "backward" if "grad_" in text else "forward"
            yield _report(kind, name, launch, architecture)


def _report(kind: str, name: str, launch: Launch, architecture: int) -> Report:
    device, compiled = DEVICES[architecture], compile_ahead(launch, architecture)
    code = read_cubin(compiled.asm["cubin"])
    threads = 32 * launch.warps
    elements = launch.block / threads  # elements of a thread; below 1 if several threads share an element
    instructions, moved = len(code.loop) / elements, code.bytes_per_thread / elements
    times = {
        "memory": moved / device.bandwidth,
        "instructions": instructions / (ISSUED * device.processors * device.clock),
        "special functions": code.count("MUFU") / elements / (SPECIAL * device.processors * device.clock),
    }
    limit = max(times, key=lambda name: times[name])
    return Report(
        kind,
        name,
        architecture,
        code.registers,
        code.spills,
        compiled.metadata.shared,
        occupancy(device, code.registers, launch.warps, compiled.metadata.shared),
        sorted(code.widths((*LOADS, ASYNCHRONOUS))),
        sorted(code.widths(STORES)),
        bool(code.count(ASYNCHRONOUS)),
        instructions,
        moved,
        limit,
        times["memory"] / times[limit] if moved else 0.0,
    )


def occupancy(device: Device, registers: int, warps: int, shared: int) -> float:
    """The share of a multiprocessor's warps that can be resident. Registers are allocated in units of 8 per thread, and
    shared memory in units of 128 bytes; each block needs 1 KiB of shared memory for itself.
    """
    of_registers = device.registers // (32 * -(-registers // 8) * 8 * warps)
    of_shared = device.shared // (-(-shared // 128) * 128 + 1024)
    blocks = min(of_registers, of_shared, device.warps // warps, device.blocks)
    return blocks * warps / device.warps


def _over_time(layer: Any, width: int) -> None:
    x = torch.zeros(STEPS, BATCH, width, requires_grad=True)
    y, _ = layer.over_time(x)
    y.backward(torch.zeros_like(y))


def _recurrent(layer: nn.Module) -> None:
    y, _ = layer(torch.zeros(STEPS, BATCH, 8))
    y.backward(torch.zeros_like(y))


def table(found: list[Report]) -> Table:
    result = Table(title="GPU kernels, as compiled", title_justify="left")
    for name in ("kernel", "sm", "registers", "spills", "shared KiB", "occupancy", "loads B", "stores B", "cp.async"):
        result.add_column(name, justify="left" if name == "kernel" else "right")
    for name in ("instructions", "bytes", "limit", "bandwidth"):
        result.add_column(name, justify="right")
    for report in found:
        result.add_row(
            f"{report.kind} {report.pass_}",
            str(report.architecture),
            str(report.registers),
            str(report.spills),
            f"{report.shared / 1024:.0f}",
            f"{report.occupancy:.0%}",
            " ".join(map(str, report.load_bytes)),
            " ".join(map(str, report.store_bytes)),
            "yes" if report.asynchronous else "no",
            f"{report.instructions:.0f}",
            f"{report.bytes:.0f}",
            report.limit,
            f"{report.bandwidth_share:.0%}",
        )
    return result


def main(arguments: list[str] | None = None) -> int:
    """Print the reports, and write those of everything. Returns 0 if no kernel spills, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_static", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="kinds that begin with TEXT")
    parser.add_argument("--architecture", action="append", type=int, choices=DEVICES, default=[], help="80, 90: both")
    parser.add_argument(
        "--output", type=Path, help=f"JSON file; without it, only a report of everything is written, to {OUTPUT}"
    )
    options = parser.parse_args(arguments)
    chosen = [kind for kind in kinds() if not options.only or kind.startswith(tuple(options.only))]
    if not chosen:
        parser.error(f"--only {' '.join(options.only)} fits nothing; choose from {', '.join(kinds())}")
    if not (options.output or options.only or options.architecture):
        options.output = OUTPUT
    found: list[Report] = []
    for kind in chosen:
        found += reports(kind, tuple(options.architecture) or tuple(DEVICES))
        print(f"compiled {kind}", file=sys.stderr, flush=True)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps([asdict(report) for report in found], indent=1) + "\n")
    Console(width=None if sys.stdout.isatty() else 160).print(table(found))
    return int(any(report.spills for report in found))


if __name__ == "__main__":
    sys.exit(main())
