"""Analysis of the machine code of a kernel: registers, spills, widths of loads and stores, instructions of loops."""

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)([^;]*);")
USAGE = re.compile(r"REG:(\d+) STACK:(\d+)")
LOADS, STORES, ASYNCHRONOUS = ("LDG", "LD"), ("STG", "ST"), "LDGSTS"
LOCAL = ("LDL", "STL")


@dataclass(frozen=True)
class Instruction:
    address: int
    name: str
    operands: str

    @property
    def kind(self) -> str:
        return self.name.split(".")[0]

    @property
    def width(self) -> int:
        """Bytes that a load or store moves for each thread."""
        for mark, count in ((".128", 16), (".64", 8), (".U16", 2), (".S16", 2), (".U8", 1), (".S8", 1)):
            if mark in self.name:
                return count
        return 4


@dataclass(frozen=True)
class MachineCode:
    """The machine code of a kernel.

    spills: loads and stores of local memory. loop: the instructions of all innermost loops, each counted once.
    """

    registers: int
    stack: int
    spills: int
    loop: tuple[Instruction, ...]

    def widths(self, kinds: tuple[str, ...]) -> Counter[int]:
        return Counter(each.width for each in self.loop if each.kind in kinds)

    def count(self, kind: str) -> int:
        return sum(each.kind == kind for each in self.loop)

    @property
    def bytes_per_thread(self) -> int:
        """Bytes moved from and to global memory by one thread in one iteration of the loops."""
        moving = (*LOADS, *STORES, ASYNCHRONOUS)
        return sum(width * count for width, count in self.widths(moving).items())


def read_cubin(cubin: bytes) -> MachineCode:
    """Disassemble a compiled kernel.

    Raises:
        FileNotFoundError: there is no cuobjdump, neither Triton's nor on the path.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "kernel.cubin")
        file.write_bytes(cubin)
        usage, code = (_dump(option, file) for option in ("-res-usage", "-sass"))
    registers, stack = (int(number) for number in USAGE.findall(usage)[0])
    instructions = [Instruction(int(address, 16), *rest) for address, *rest in INSTRUCTION.findall(code)]
    loops = innermost_loops(instructions)
    inside = tuple(each for each in instructions if any(begin <= each.address <= end for begin, end in loops))
    spills = sum(each.kind in LOCAL for each in instructions)
    return MachineCode(registers, stack, spills, inside)


def innermost_loops(instructions: list[Instruction]) -> list[tuple[int, int]]:
    """First and last address of each innermost loop. The endless loop after the code is left out."""
    loops = []
    for each in instructions:
        target = re.search(r"0x([0-9a-f]+)\s*$", each.operands) if each.kind == "BRA" else None
        if target and int(target[1], 16) < each.address:
            loops.append((int(target[1], 16), each.address))
    return [
        loop
        for loop in loops
        if not any(other != loop and loop[0] <= other[0] and other[1] <= loop[1] for other in loops)
    ]


def _dump(option: str, file: Path) -> str:
    return subprocess.run([_cuobjdump(), option, str(file)], capture_output=True, text=True, check=True).stdout


def _cuobjdump() -> str:
    import triton

    carried = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    found = str(carried) if carried.exists() else shutil.which("cuobjdump")
    if found is None:
        raise FileNotFoundError("cuobjdump is neither in Triton's package nor on the path: install a CUDA toolkit")
    return found
