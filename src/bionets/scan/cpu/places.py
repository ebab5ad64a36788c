"""The operands of a kernel: the fields of its table, and the addresses of the elements of a tile."""

from dataclasses import dataclass

from bionets.scan.cpu.ir import Function
from bionets.scan.cpu.values import Value

OPTIONAL = ("grad_y",)  # tensors that may be missing: their address is 0, and their elements count as 0
STRIDED = ("x", "grad_y")  # tensors whose rows need not be adjacent
DELAYED = ("earlier", "later", "grad_delayed")  # tensors whose steps are not adjacent; see `delay.Steps`
# tensors that lie side by side in one: the name of their strides
GROUPS = {"grad_x": "grad_x", "grad_recurrent": "", "recurrent": ""}


@dataclass
class View:
    """The current location of an operand: the address of the tile's first element, and the distance of rows.

    present: whether the operand exists; None: always. padded: whether rows end in whole vectors. ahead: the distance to
    the next time step, which is prefetched; None if there is none.
    """

    address: Value
    row: Value
    present: Value | None = None
    padded: bool = False
    ahead: Value | None = None


class Table:
    """The fields of the table, which are read at the beginning of the kernel."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.function: Function

    def __getitem__(self, name: str) -> Value:
        number = self.numbers.setdefault(name, len(self.numbers))
        return Value(self.function, "i64", f"%field{number}")

    def lines(self) -> list[str]:
        lines = []
        for number in self.numbers.values():
            lines.append(f"  %place{number} = getelementptr i64, ptr %table, i64 {number}")
            lines.append(f"  %field{number} = load i64, ptr %place{number}, align 8")
        return lines


def stride_field(name: str, role: str, axis: str) -> str:
    """The field of the distance of rows (`axis` "row") or of time steps ("time") of an operand."""
    if role in STRIDED or role == "params":
        return f"{name}_{axis}"
    if role in GROUPS:
        return f"{GROUPS[role] or name.rpartition('_')[0]}_{axis}"
    if axis == "row":
        return "row"
    return "delay_step" if role in DELAYED else "step"
