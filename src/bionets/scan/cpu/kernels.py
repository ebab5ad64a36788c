"""The kernels of a program, and the matrix products that they share."""

import functools
from dataclasses import dataclass

from bionets.scan.cpu.compile import function_address, function_addresses
from bionets.scan.cpu.delay import delay_addresses
from bionets.scan.cpu.ir import Module
from bionets.scan.cpu.printer import Printer
from bionets.scan.cpu.product import NAMES, define_products
from bionets.scan.cpu.target import Target, host
from bionets.scan.dump import dump
from bionets.scan.locks import ForkSafeLock
from bionets.scan.program import Program
from bionets.scan.program.schedule import Variant
from bionets.scan.program.scheduler import make_schedule

_lock = ForkSafeLock()
_kernels: dict[tuple[str, Variant, tuple[bool, ...]], "Kernel"] = {}


@dataclass(frozen=True)
class Kernel:
    """`address`: the address of a function described in `printer`. The other fields describe its arguments.

    fields: the fields of its table, in order. work: the number of tiles in its memory, without the tape. operations,
    values: numbers of nodes and of carried or streamed tensors of one element, for the sizes of parts and tiles.
    """

    address: int
    fields: tuple[str, ...]
    work: int
    operations: int
    values: int


def find_kernel(program: Program, variant: Variant, scalars: tuple[bool, ...]) -> Kernel:
    """The kernel of a program, taken from this process, loaded from the disk, or compiled.

    scalars: the parameters that are one number for all elements.
    """
    with _lock:
        key = (program.key, variant, scalars)
        if key not in _kernels:
            _kernels[key] = _make_kernel(program, variant, scalars)
        return _kernels[key]


def print_kernel(program: Program, variant: Variant, scalars: tuple[bool, ...], target: Target) -> Printer:
    """The printer that has defined the function `kernel` in its module."""
    printer = Printer(Module(target), program, make_schedule(program, variant), scalars, variant.masked)
    printer.print()
    return printer


def _make_kernel(program: Program, variant: Variant, scalars: tuple[bool, ...]) -> Kernel:
    printer = print_kernel(program, variant, scalars, host())
    name = program.key[:8]
    for number, stage in enumerate(program.stages):
        dump(f"{name}-stage{number}.graph", stage.graph.listing())
    label = f"{name}-{'backward' if variant.backward else 'forward'}"
    dump(f"{label}.schedule", f"{printer.schedule}\n")
    size = program.dtype.itemsize
    imports = product_addresses(size) if program.stages[0].blocks else {}
    if variant.delayed:
        imports = {**imports, **delay_addresses(size)}
    address = function_address(printer.module, "kernel", label, imports)
    operations = sum(len(stage.graph.nodes) for stage in program.stages)
    return Kernel(address, tuple(printer.table.numbers), len(printer.work), operations, printer.most_values)


@functools.cache
def product_addresses(size: int) -> dict[str, int]:
    """The addresses of the functions of `product`, for floats with this number of bytes."""
    module = Module(host())
    define_products(module, size)
    return function_addresses(module, NAMES, f"products{8 * size}")
