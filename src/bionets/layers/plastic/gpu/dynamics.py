"""Prints the dynamics of a network as one Triton kernel, each instance of which computes one sample of the batch.

    for each time step
        for each group, in order
            input: take the spikes of this step
            else: currents of the connections, from the lists of spikes; voltages; new spikes
            list the spikes; update the trace; reset the neurons that have spiked

All states are in global memory, and neurons are processed in tiles of BLOCK. A barrier separates writes of one thread
from reads by another. A connection from an earlier group reads the spikes of this step; any other connection reads the
spikes of the previous step, because the spikes of a group are replaced after all its neurons have been updated. Values
shared by samples (weights, homeostatic thresholds) do not change here; if they change at each step, one launch computes
one step.
"""

from dataclasses import dataclass

from bionets.layers.plastic.graph import Graph
from bionets.layers.plastic.integrate_and_fire import AdaptiveLIF
from bionets.layers.plastic.lateral import LateralInhibition, OneToOne
from bionets.layers.plastic.neuron import Input
from bionets.scan.gpu.printer import Source

EVENTS = 16  # rows of weights that are added together


@dataclass(frozen=True)
class GroupKind:
    """A group of neurons in the printed kernel. inputs: (number of the connection, its kind, number of its source)."""

    is_input: bool
    has_trace: bool
    nearest: bool
    adaptation: str  # "", "shared" by all samples, or "own" for each sample
    inputs: tuple[tuple[int, str, int], ...]


def kinds_of(network: Graph) -> tuple[GroupKind, ...]:
    numbers = {name: number for number, name in enumerate(network.neurons)}
    kinds = []
    for name, neurons in network.neurons.items():
        inputs = tuple(
            (number, type(connection).__name__, numbers[network.paths[each][0]])
            for number, (each, connection) in enumerate(network.connections.items())
            if network.paths[each][1] == name
        )
        adaptation = "" if not isinstance(neurons, AdaptiveLIF) else "shared" if neurons.homeostasis else "own"
        is_input = isinstance(neurons, Input)
        kinds.append(GroupKind(is_input, neurons.has_trace, neurons.nearest_spike, adaptation, inputs))
    return tuple(kinds)


class DynamicsPrinter:
    """Prints the kernel. dtype: type of all floats, "tl.float32" or "tl.float64"."""

    def __init__(self, kinds: tuple[GroupKind, ...], dtype: str) -> None:
        self.kinds, self.dtype = kinds, dtype
        self.arguments: dict[str, None] = dict.fromkeys(("clock", "steps", "batch"))  # an ordered set
        self.lines: list[str] = []

    def source(self) -> Source:
        for number, kind in enumerate(self.kinds):
            if kind.is_input:
                self.take_input(number)
            else:
                self.integrate(number, kind)
            self.fire(number, kind)
        lines = [
            "import triton",
            "import triton.language as tl",
            "",
            "",
            '@triton.jit(do_not_specialize=["steps", "batch"])',
            f"def kernel({', '.join(self.arguments)}, BLOCK: tl.constexpr, EVENTS: tl.constexpr):",
            "    sample = tl.program_id(0).to(tl.int64)",
            "    lane = tl.arange(0, BLOCK)",
            "    event = tl.arange(0, EVENTS)[:, None]",
            "    first = tl.load(clock)",
            "    for step in tl.range(0, steps):",
            "        row = (first + step).to(tl.int64) * batch + sample",
            *(f"        {line}" for line in self.lines),
        ]
        return Source("\n".join(lines).replace("DTYPE", self.dtype) + "\n", tuple(self.arguments))

    def argument(self, name: str) -> str:
        self.arguments[name] = None
        return name

    def emit(self, line: str, depth: int = 0) -> None:
        self.lines.append("    " * depth + line)

    def tiles(self, number: int) -> None:
        """Open the loop over the tiles of a group."""
        size = self.argument(f"size{number}")
        self.emit(f"for begin in tl.range(0, {size}, BLOCK):")
        self.emit("j = begin + lane", 1)
        self.emit(f"inside = j < {size}", 1)
        self.emit(f"own = sample * {size} + j", 1)

    def load(self, name: str, index: str, kind: str = "DTYPE") -> str:
        return f"tl.load({self.argument(name)} + {index}, mask=inside, other=0).to({kind})"

    def store(self, name: str, index: str, value: str) -> None:
        self.emit(f"tl.store({self.argument(name)} + {index}, {value}, mask=inside)", 1)

    def take_input(self, g: int) -> None:
        self.tiles(g)
        self.store(f"fresh{g}", "own", self.load(f"x{g}", f"row * size{g} + j", "tl.uint8"))
        self.emit("tl.debug_barrier()")

    def integrate(self, g: int, kind: GroupKind) -> None:
        """Compute the voltages, and in `fresh` the neurons that spike."""
        self.tiles(g)
        self.emit("current = tl.full((BLOCK,), 0.0, DTYPE)", 1)
        for connection, name, source in kind.inputs:
            self.add_current(connection, name, source)
        self.emit(f"voltage = {self.load(f'voltage{g}', 'own')}", 1)
        self.emit(f"ready = {self.load(f'waiting{g}', 'own', 'tl.int32')} == 0", 1)
        self.emit(f"rest = {self.load(f'rest{g}', 'j')}", 1)
        moved = f"{self.load(f'voltage_decay{g}', 'j')} * (voltage - rest) + {self.load(f'voltage_gain{g}', 'j')}"
        self.emit(f"voltage = tl.where(ready, rest + {moved} * current, voltage)", 1)
        self.emit(f"threshold = {self.load(f'threshold{g}', 'j')}", 1)
        if kind.adaptation:
            index = "j" if kind.adaptation == "shared" else "own"
            self.emit(f"threshold += {self.load(f'adaptation{g}', index)}", 1)
        self.store(f"voltage{g}", "own", "voltage")
        self.store(f"fresh{g}", "own", "(ready & (voltage >= threshold)).to(tl.uint8)")
        self.emit("tl.debug_barrier()")

    def add_current(self, connection: int, kind: str, source: int) -> None:
        weight = self.argument(f"weight{connection}")
        counts, size = self.argument(f"counts{source}"), self.argument(f"size{source}")
        if kind in (OneToOne.__name__, LateralInhibition.__name__):
            spikes = self.load(f"spikes{source}", f"sample * {size} + j")
            if kind == LateralInhibition.__name__:
                spikes = f"(tl.load({counts} + sample).to(DTYPE) - {spikes})"
            self.emit(f"current += {self.load(weight, 'j')} * {spikes}", 1)
            return
        columns = f"size_of_target{connection}"
        self.emit(f"count = tl.load({counts} + sample)", 1)
        self.emit("for k in tl.range(0, count, EVENTS):", 1)
        self.emit(f"i = tl.load({self.argument(f'list{source}')} + sample * {size} + k + event,", 2)
        self.emit("            mask=k + event < count, other=0)", 2)
        address = f"{weight} + i.to(tl.int64) * {self.argument(columns)} + j[None, :]"
        self.emit(f"rows = tl.load({address}, mask=(k + event < count) & inside[None, :], other=0.0)", 2)
        self.emit("current += tl.sum(rows, 0)", 2)

    def fire(self, g: int, kind: GroupKind) -> None:
        """Replace the spikes of a group by `fresh`, and update the states that depend on them."""
        self.emit("found = 0")
        self.tiles(g)
        self.emit(f"spikes = {self.load(f'fresh{g}', 'own', 'tl.int32')}", 1)
        self.store(f"spikes{g}", "own", "spikes.to(tl.uint8)")
        self.emit("place = found + tl.cumsum(spikes, 0) - spikes", 1)
        address = f"{self.argument(f'list{g}')} + sample * size{g} + place"
        self.emit(f"tl.store({address}, j, mask=inside & (spikes != 0))", 1)
        self.emit("found += tl.sum(spikes, 0)", 1)
        if kind.has_trace:
            self.emit(f"faded = {self.load(f'trace_decay{g}', 'j')} * {self.load(f'trace{g}', 'own')}", 1)
            self.emit(f"gain = {self.load(f'trace_gain{g}', 'j')}", 1)
            bumped = "gain" if kind.nearest else "faded + gain"
            self.store(f"trace{g}", "own", f"tl.where(spikes != 0, {bumped}, faded)")
        if not kind.is_input:
            self.emit(f"voltage = {self.load(f'voltage{g}', 'own')}", 1)
            self.store(f"voltage{g}", "own", f"tl.where(spikes != 0, {self.load(f'reset{g}', 'j')}, voltage)")
            waiting = f"tl.maximum({self.load(f'waiting{g}', 'own', 'tl.int32')} - 1, 0)"
            refractory = self.load(f"refractory{g}", "j", "tl.int32")
            self.store(f"waiting{g}", "own", f"tl.where(spikes != 0, {refractory}, {waiting})")
            self.store(f"out{g}", f"row * size{g} + j", "spikes.to(tl.uint8)")
        if kind.adaptation == "own":
            adapted = f"{self.load(f'adaptation_decay{g}', 'j')} * {self.load(f'adaptation{g}', 'own')}"
            driven = f"{self.load(f'adaptation_gain{g}', 'j')} * spikes.to(DTYPE)"
            self.store(f"adaptation{g}", "own", f"{adapted} + {driven}")
        self.emit(f"tl.store({self.argument(f'counts{g}')} + sample, found)")
        self.emit("tl.debug_barrier()")
