"""Prints a schedule as one LLVM function over all time steps.

    kernel(table, row_low, row_high, column_low, column_high, work)

computes a part of the elements [B, N], which no other thread touches, in tiles. Each tile is computed over all time
steps before the next one, so that carried values stay in the cache. Sizes, addresses and strides (in bytes) are passed
in a table of integers, so that one kernel serves every shape.

Carried states, gradients and sums are stored in the tensors that hold them at the end. Values between two operations of
a time step (recurrent products, states between stages) and the tape are stored in `work`, the memory of this thread.
"""

from dataclasses import dataclass, field

from bionets.scan.cpu.elements import evaluate, products_in_sums
from bionets.scan.cpu.ir import Module
from bionets.scan.cpu.mode import denormals_flushed
from bionets.scan.cpu.places import OPTIONAL, Table, View, stride_field
from bionets.scan.cpu.values import Value, at_most, fma, select
from bionets.scan.program import Program
from bionets.scan.program.schedule import Delayed, Evaluate, Loop, Place, Product

BOUNDS = ("row_low", "row_high", "column_low", "column_high")


@dataclass
class Printer:
    """`scalars`: the parameters that are one number for all elements."""

    module: Module
    program: Program
    schedule: Loop
    scalars: tuple[bool, ...]
    masked: bool
    table: Table = field(default_factory=Table)
    work: dict[str, None] = field(default_factory=dict)  # the places of a tile in the thread's memory, in order
    most_values: int = 0  # maximum number of tensors and carried values of an operation

    def print(self) -> None:
        size = self.program.dtype.itemsize
        self.size, self.lanes = size, self.module.target.lanes(size)
        self.vector = f"<{self.lanes} x {'float' if size == 4 else 'double'}>"
        arguments = {"table": "ptr", **dict.fromkeys(BOUNDS, "i64"), "work": "ptr"}
        self.function = f = self.module.function("kernel", arguments)
        self.table.function = f
        _, row_low, row_high, column_low, column_high, self.memory = f.arguments
        with denormals_flushed(f), f.loop(row_low, row_high, self.table["tile_rows"]) as self.first_row:
            self.rows = at_most(row_high - self.first_row, self.table["tile_rows"])
            with f.loop(column_low, column_high, self.table["tile_columns"]) as self.first_column:
                self.columns = at_most(column_high - self.first_column, self.table["tile_columns"])
                self.offset = self.first_column * size
                if self.program.stages[0].blocks:  # missing rows and columns of a weight
                    sizes = (f.constant("i8", 0), self.table["work_bytes"], f.constant("i1", 0))
                    f.call_external("llvm.memset.p0.i64", "void", self.memory, *sizes)
                self.loop(self.schedule)
        f.finish()
        f.first_lines += self.table.lines()

    # loops over time

    def loop(self, loop: Loop) -> None:
        time, every, f = self.table["time"], self.table["every"], self.function
        zero = f.index(0)
        match loop.over:
            case "steps":
                with f.loop(0, time) as step:
                    self.step(loop, step, zero)
            case "steps backward":
                with f.loop(0, time) as done:
                    self.step(loop, time - 1 - done, zero)
            case "segments backward":
                segments = (time + every - 1) / every
                with f.loop(0, segments) as done:
                    self.segment = segments - 1 - done
                    self.begin = self.segment * every
                    self.end = at_most(self.begin + every, time)
                    for inner in loop.body:
                        assert isinstance(inner, Loop)
                        self.loop(inner)
            case "steps of the segment":
                with f.loop(self.begin, self.end - 1) as step:
                    self.step(loop, step, self.begin)
            case "steps of the segment backward":
                with f.loop(self.begin, self.end) as done:
                    self.step(loop, self.begin + self.end - 1 - done, self.begin)

    def step(self, loop: Loop, step: Value, begin: Value) -> None:
        reverse = self.table["reverse"].differs(0)
        self.number, self.begins = step, begin
        self.time = select(reverse, self.table["time"] - 1 - step, step)
        self.time_before = select(reverse, self.time + 1, self.time - 1)
        for work in loop.body:
            assert not isinstance(work, Loop)
            if isinstance(work, Product):
                self.product(work)
            elif isinstance(work, Delayed):
                self.delayed(work)
            else:
                self.evaluate(work)

    # operations

    def evaluate(self, work: Evaluate) -> None:
        f, vector = self.function, self.vector
        places = dict.fromkeys(work.reads.values())
        places |= {place: None for targets in work.writes.values() for place in targets}
        places |= {place: None for place in work.held.values() if place}
        places |= {place: None for pair in work.copies for place in pair}
        self.most_values = max(self.most_values, len(places))
        scalars = {f"params{i}" for i, scalar in enumerate(self.scalars) if scalar}
        views = {place: self.view(place) for place in places if place.name not in scalars}
        constants = {name: self.scalar(name) for name in work.reads if name in scalars}
        length = self.view(Place("length")) if self.masked and work.held else None
        now = self.time.convert("sitofp", vector.rpartition(" ")[2][:-1])
        fused = products_in_sums(work.graph, () if length else work.added)
        with f.loop(0, self.rows) as row:
            addresses = {place: f.at(view.address, row * view.row) for place, view in views.items()}
            of_length = f.at(length.address, row * length.row) if length else None
            with f.loop(0, self.columns, self.lanes) as column:
                self.column, self.left = column * self.size, self.columns - column
                loaded: dict[Place, Value] = {}

                def load(place: Place) -> Value:
                    if place not in loaded:
                        loaded[place] = self.load(addresses[place], views[place])
                    return loaded[place]

                def read(name: str) -> Value:
                    return constants[name] if name in constants else load(work.reads[name])

                for place, view in views.items():
                    if view.ahead is not None:
                        f.prefetch(f.at(addresses[place], self.column + view.ahead))
                copied = [(load(source), target) for source, target in work.copies]
                held = {name: load(place) if place else f.constant(vector, 0) for name, place in work.held.items()}
                before = {name: load(work.writes[name][0]) for name in work.added}
                values = evaluate(f, vector, work.graph, fused, read)
                results = {}
                for name, number in work.graph.outputs.items():
                    if name in fused:
                        a, b = (values[i] for i in work.graph.nodes[number].inputs)
                        results[name] = fma(a, b, before[name])
                        continue
                    result = values[number]
                    if of_length is not None and name in held:
                        active = f.broadcast(now, vector) < f.load_part(vector, f.at(of_length, self.column), self.left)
                        result = select(active, result, held[name])
                    results[name] = before[name] + result if name in before else result
                for value, target in copied:
                    f.store_part(value, f.at(addresses[target], self.column), self.left)
                for name, result in results.items():
                    for target in work.writes[name]:
                        self.store(result, addresses[target], views[target])

    def load(self, address: Value, view: View) -> Value:
        address = self.function.at(address, self.column)
        if view.padded:
            return self.function.load(self.vector, address)
        return self.function.load_part(self.vector, address, self.present(view))

    def store(self, value: Value, address: Value, view: View) -> None:
        address = self.function.at(address, self.column)
        if view.padded:
            self.function.store(value, address)
        else:
            self.function.store_part(value, address, self.present(view))

    def present(self, view: View) -> Value:
        """The number of existing elements from this column on."""
        return self.left if view.present is None else select(view.present, self.left, 0)

    def scalar(self, name: str) -> Value:
        f = self.function
        number = f.load(self.vector.rpartition(" ")[2][:-1], self.pointer(self.table[name]))
        return f.broadcast(number, self.vector)

    def product(self, work: Product) -> None:
        f, table, k = self.function, self.table, work.stage
        left = self.view(work.lefts[0])
        if work.backward:
            target = self.view(work.targets[0])
            weight = self.pointer(table[f"transposed{k}"])
            name = "product" if work.targets[0].name == "grad_delayed" else "add_product"
            sizes = (table[f"transposed{k}_row"], table[f"columns{k}"], self.rows, table[f"rows{k}"])
            f.call_external(name, "void", target.address, target.row, left.address, left.row, weight, *sizes)
            return
        for i, place in enumerate(work.targets):
            target = self.view(place)
            weight = self.pointer(table[f"weight{k}"] + table[f"weight{k}_block"] * i)
            sizes = (table[f"weight{k}_row"], table[f"width{k}"], self.rows, table[f"columns{k}"])
            f.call_external("product", "void", target.address, target.row, left.address, left.row, weight, *sizes)

    def delayed(self, work: Delayed) -> None:
        f, table = self.function, self.table
        source, target = self.view(work.source), self.view(work.target)
        name = "add_delayed" if work.backward else "set_delayed"
        lags = (self.pointer(table["lags"]), table["row"])
        sizes = (table["delay_step"], self.columns, self.rows, table["lag_count"])
        f.call_external(name, "void", target.address, target.row, *lags, source.address, source.row, *sizes)

    # places

    def view(self, place: Place) -> View:
        """The location of the tile's elements at this time step."""
        view = self.place_of(place)
        if place.first is None:
            return view
        first = self.view(place.first)
        is_first = self.number.equals(self.begins) if place.step == "before" else self.segment.equals(0)
        return View(
            select(is_first, first.address, view.address), select(is_first, first.row, view.row), ahead=view.ahead
        )

    def place_of(self, place: Place) -> View:
        table, f, name = self.table, self.function, place.name
        role = name.rstrip("0123456789_")
        if role == "tape":
            number = self.number - (1 if place.step == "before" else 0) - self.begins
            entry = number * self.program.state + int(name.removeprefix("tape"))
            base = table["tape"] + entry * table["tile_bytes"]
            return View(f.at(self.memory, base), table["pitch"], padded=True)
        if not place.step and role in ("recurrent", "state", "grad") and not name.startswith(("state0_", "grad0_")):
            self.work.setdefault(name)
            position = list(self.work).index(name)
            return View(f.at(self.memory, table["tile_bytes"] * position), table["pitch"], padded=True)
        row = table[stride_field(name, role, "row")]
        address = table[name]
        present = address.differs(0) if role in OPTIONAL else None
        distance = self.first_row * row + self.offset
        if place.step:
            index, due = self.index(place.step)
            present = present if due is None else due
            distance = distance + index * table[stride_field(name, role, "time")]
        ahead = None
        if place.step in ("now", "before"):
            stride = table[stride_field(name, role, "time")]
            back = table["reverse"].differs(0) ^ ("backward" in self.schedule.over)
            ahead = select(back, 0 - stride, stride)
        return View(f.at(self.pointer(address), distance), row, present, ahead=ahead)

    def index(self, step: str) -> tuple[Value, Value | None]:
        """The index in time, and for tensors that are not written at every step, whether this step writes them."""
        if step == "now":
            return self.time, None
        if step == "before":
            return self.time_before, None
        if self.schedule.over != "steps":
            return self.segment - 1, None
        walked, every = self.number + 1, self.table["every"]
        return walked / every - 1, (walked % every).equals(0) & (walked < self.table["time"])

    def pointer(self, address: Value) -> Value:
        return self.function.value("ptr", f"inttoptr i64 {address.text} to ptr")
