"""Prints a program as the source of one Numba kernel, forward or backward, over all of time.

The kernel runs on elements `low` to `high` of the flattened [B, N], which no other thread touches:

    forward                                     backward
    for each time step                          for each time step, last to first
        for each stage                              for each stage: as forward, to have its inputs again
            recurrent = product(state, weight)      for each stage, last to first
            for each block                              for each block
                copy in; stage; copy out                    copy in; vector-Jacobian product; copy out
                                                        state gradient += product(recurrent gradient, weight)

With checkpoints, the backward pass first runs forward again through the steps since the last stored state.
Sizes and addresses come in a table of integers, one field each, so that one kernel serves every shape.
"""

from dataclasses import dataclass

from bionets.scan.backend import shared_gradient
from bionets.scan.cpu.numba_writer import Source, Writer
from bionets.scan.graph import Graph
from bionets.scan.program import Program


@dataclass(frozen=True)
class Variant:
    """What is compiled in rather than looked up in the table."""

    backward: bool
    masked: bool = False  # lengths are given
    recompute: bool = False  # checkpoint_every > 1
    needs_x: tuple[bool, ...] = ()  # gradients wanted
    needs_params: tuple[bool, ...] = ()


def print_kernel(program: Program, variant: Variant) -> Source:
    return _Printer(program, variant).print()


class _Printer(Writer):
    def __init__(self, program: Program, variant: Variant) -> None:
        super().__init__(str(program.dtype), variant.masked)
        self.program, self.variant = program, variant
        self.dense = bool(program.stages[0].blocks)
        self.single = len(program.stages) == 1
        self.loaded: set[str] = set()  # slots that hold this time step's inputs
        self.same_slot = self.handed_on()

    def print(self) -> Source:
        with self.indented("for first in range(low, high, range_):"):
            self.emit("last = min(first + range_, high)")
            if self.variant.backward:
                self.backward()
            else:
                self.forward()
        return self.source()

    # the two passes

    def forward(self) -> None:
        program = self.program
        self.load_initial(with_state=True)
        with self.indented("for s in range(time):"):
            self.emit("t = time - 1 - s if reverse else s")
            # With checkpoints, the state after the last step is no history: it is the final state.
            self.emit("due = every == 1 or ((s + 1) % every == 0 and s + 1 < time)")
            self.emit("index = t if every == 1 else (s + 1) // every - 1")
            for i in range(program.state):
                history = self.field(f"history{i}")
                self.emit(f"now{i} = moved({history}, index, size_) if due else 0")
            self.advance(outputs=True)
        with self.blocks():
            for i in range(program.state):
                self.rows("store", f"state0_{i}", self.field(f"final{i}"), "width")

    def backward(self) -> None:
        program, variant = self.program, self.variant
        self.load_initial(with_state=False)
        with self.blocks():
            for i in range(program.state):
                self.rows("load", f"grad0_{i}", self.field(f"grad_final{i}"), "width")
            for i in self.wanted_params:
                self.rows("load", f"sum{i}", "0", "width")
        if not variant.recompute:
            with self.indented("for s in range(time - 1, -1, -1):"):
                self.emit("t = time - 1 - s if reverse else s")
                self.emit("before = t + 1 if reverse else t - 1")
                with self.blocks():
                    self.load_state("s == 0", "before")
                self.retreat()
        else:
            with self.indented("for segment in range((time - 1) // every, -1, -1):"):
                self.emit("begin, end = segment * every, min((segment + 1) * every, time)")
                with self.blocks():
                    self.load_state("segment == 0", "(segment - 1)")
                with self.indented("for s in range(begin, end):"):
                    self.emit("t = time - 1 - s if reverse else s")
                    self.move_tape("store")
                    with self.indented("if s + 1 < end:"):
                        self.advance(outputs=False)
                with self.indented("for s in range(end - 1, begin - 1, -1):"):
                    self.emit("t = time - 1 - s if reverse else s")
                    self.move_tape("load")
                    self.retreat()
        with self.blocks():
            for i in range(program.state):
                self.rows("store", f"grad0_{i}", self.field(f"grad_initial{i}"), "width")
            for i in self.wanted_params:
                self.rows("store", f"sum{i}", self.field(f"grad_params{i}"), "width")

    # one time step

    def advance(self, outputs: bool) -> None:
        """All stages of one time step forward; the state ends where it began, in the slots of stage 0."""
        last = len(self.program.stages) - 1
        self.loaded.clear()
        for k in range(last + 1):
            self.advance_stage(k, outputs and k == last, into=0 if k == last else k + 1)

    def advance_stage(self, k: int, outputs: bool, into: int) -> None:
        stage = self.program.stages[k]
        states = [i for i in range(stage.state_out) if f"state{into}_{i}" not in self.same_slot]
        names = [f"new_state{i}" for i in states] + [f"y{i}" for i in range(stage.outputs if outputs else 0)]
        graph = stage.graph.select(names)
        self.recurrent_product(k)
        with self.blocks():
            self.load_inputs(k, graph)
            places = {f"new_state{i}": self.slot(f"state{into}_{i}") for i in states}
            places |= {f"y{i}": self.slot(f"y{i}") for i in range(stage.outputs if outputs else 0)}
            held = {name: (place if name.startswith("new_state") else "F(0)") for name, place in places.items()}
            leaving: list[tuple[str, str, str]] = []
            if outputs:
                leaving += [(f"y{i}", f"y{i}", f"moved({self.field(f'y{i}')}, t, size_)") for i in range(stage.outputs)]
                leaving += [(f"copy_new_state{i}", f"history{i}", f"now{i}") for i in range(self.program.state)]
            for name, slot, address in leaving:
                self.begin_output(name, slot, address, "width")
            self.call(f"advance{k}_{int(outputs)}", k, graph, places, held if into == 0 else {})
            for name, slot, _ in leaving:
                self.end_output(name, slot, "width")

    def retreat(self) -> None:
        """One time step backward. The state before it lies in the slots of stage 0, the gradient after it in grad0."""
        stages = self.program.stages
        self.loaded.clear()
        for k in range(len(stages) - 1):
            self.advance_stage(k, outputs=False, into=k + 1)
        if self.dense:
            self.recurrent_product(len(stages) - 1)
        seen_x: set[int] = set()
        for k in range(len(stages) - 1, -1, -1):
            self.retreat_stage(k, seen_x)

    def retreat_stage(self, k: int, seen_x: set[int]) -> None:
        stage, last = self.program.stages[k], len(self.program.stages) - 1
        own_state = [i for i in range(stage.state_in) if f"grad{k}_{i}" not in self.same_slot]
        outputs = [f"grad_state{i}" for i in own_state]
        own_recurrent = range(stage.blocks if self.shared(k) is None else 0)
        outputs += [f"grad_recurrent{i}" for i in own_recurrent]
        own_x = [i for i in self.wanted_x if k in self.stages_of_x(i)]
        own_params = [i for i in self.wanted_params if not stage.graph.is_zero(f"grad_params{i}")]
        outputs += [f"grad_x{i}" for i in own_x] + [f"grad_params{i}" for i in own_params]
        graph = stage.graph.select(outputs)
        after = 0 if k == last else k + 1
        with self.blocks():
            self.load_inputs(k, graph)
            for i in range(stage.outputs):
                if f"grad_y{i}" in graph.inputs:
                    source = f"moved({self.field(f'grad_y{i}')}, t, {self.field(f'grad_y{i}_time')})"
                    self.read_input(f"grad_y{i}", f"grad_y{i}", source, self.field(f"grad_y{i}_row"))
            places = {f"grad_state{i}": self.slot(f"grad{k}_{i}") for i in own_state}
            places |= {f"grad_x{i}": self.slot(f"grad_x{i}") for i in own_x}
            places |= {f"grad_params{i}": self.slot(f"sum{i}") for i in own_params}
            places |= {f"grad_recurrent{i}": self.slot(f"grad_recurrent{k}_{i}") for i in own_recurrent}
            held = dict.fromkeys(places, "F(0)")
            if k == 0:
                held |= {f"grad_state{i}": self.slot(f"grad0_{i}") for i in range(stage.state_in)}
            add = {f"grad_params{i}" for i in own_params} | {f"grad_x{i}" for i in own_x if i in seen_x}
            renamed = {f"grad_new_state{i}": self.slot(f"grad{after}_{i}") for i in range(stage.state_out)}
            leaving = self.leaving_gradients(k)
            for output in leaving:
                self.begin_output(*output)
            self.call(f"retreat{k}", k, graph, places, held, add, renamed)
            for name, slot, _, row in leaving:
                self.end_output(name, slot, row)
            for i in own_recurrent:
                row = f"width * {stage.blocks}"
                target = f"moved(moved({self.field(f'grad_recurrent{k}')}, t, size_ * {stage.blocks}), {i}, width)"
                self.rows("store", f"grad_recurrent{k}_{i}", target, row)
        seen_x.update(own_x)
        if self.dense:
            self.gradient_product(k)

    # pieces of a pass

    def handed_on(self) -> dict[str, str]:
        """Slots of states, and of their gradients, that a stage hands on as they are: they stay where they lie."""
        same, last = dict[str, str](), len(self.program.stages) - 1
        for k, stage in enumerate(self.program.stages):
            for i in range(stage.state_out if k < last else 0):
                source = stage.graph.input_behind(f"new_state{i}")
                if source.startswith("state"):
                    same[f"state{k + 1}_{i}"] = f"state{k}_{source.removeprefix('state')}"
            taken = set[str]()
            for i in range(stage.state_in if k > 0 and not self.masked else 0):  # past its end a sequence's are 0
                source = stage.graph.input_behind(f"grad_state{i}")
                if source.startswith("grad_new_state") and source not in taken:
                    taken.add(source)
                    after = 0 if k == last else k + 1
                    same[f"grad{k}_{i}"] = f"grad{after}_{source.removeprefix('grad_new_state')}"
        return same

    def leaving_gradients(self, k: int) -> list[tuple[str, str, str, str]]:
        """Name, slot, address and row of the gradients of x that are complete once stage k has added its part. They lie
        side by side, [T, B, total, N]."""
        total, base = len(self.wanted_x), "grad_x"
        return [
            (
                f"grad_x{i}",
                f"grad_x{i}",
                f"moved(moved({self.field(base)}, t, size_ * {total}), {position}, width)",
                f"width * {total}",
            )
            for position, i in enumerate(self.wanted_x)
            if k == min(self.stages_of_x(i))
        ]

    def load_initial(self, with_state: bool) -> None:
        self.emit(f"size_ = {self.field('batch')} * width")
        for k, stage in enumerate(self.program.stages if self.dense else ()):
            self.clear(self.recurrent_block(k, stage.blocks - 1))
            if self.variant.backward:
                self.clear(f"work + {self.field(f'back{k}')}")
        with self.blocks():
            if with_state:
                for i in range(self.program.state):
                    self.rows("load", f"state0_{i}", self.field(f"initial{i}"), "width")
            for i in range(self.program.params):
                where, step = self.field(f"params{i}"), self.field(f"params{i}_step")
                arguments = f"block, {self.slot(f'params{i}')}, {where}, {step}, start, count, width"
                self.emit(f"invoke({self.field('load_params')}, {arguments})")
            if self.variant.masked:
                arguments = f"{self.slot('length')}, {self.field('lengths')}, 0, start, count, width"
                self.emit(f"invoke({self.field('load_lengths')}, block, {arguments})")

    def load_state(self, at_start: str, index: str) -> None:
        for i in range(self.program.state):
            initial, history = self.field(f"initial{i}"), self.field(f"history{i}")
            source = f"({initial} if {at_start} else moved({history}, {index}, size_))"
            if self.dense or self.variant.recompute:
                self.rows("load", f"state0_{i}", source, "width")
            else:
                self.read_input(f"state{i}", f"state0_{i}", source, "width")

    def load_inputs(self, k: int, graph: Graph) -> None:
        """What the graph reads of x and of the recurrent product, unless an earlier stage has loaded it."""
        for i in range(self.program.x):
            if f"x{i}" in graph.inputs and f"x{i}" not in self.loaded:
                source = f"moved({self.field(f'x{i}')}, t, {self.field(f'x{i}_time')})"
                if self.single:
                    self.read_input(f"x{i}", f"x{i}", source, self.field(f"x{i}_row"))
                else:
                    self.rows("load", f"x{i}", source, self.field(f"x{i}_row"))
                    self.loaded.add(f"x{i}")
        for i in range(self.program.stages[k].blocks):
            if f"recurrent{i}" in graph.inputs:
                self.direct.add(f"recurrent{i}")
                self.emit(f"p_recurrent{i} = {self.recurrent_block(k, i)} + (start - first) * SIZE")

    def recurrent_product(self, k: int) -> None:
        """recurrent = first(state) @ weight.T, for the rows of this thread."""
        if not self.dense:
            return
        first = f"work + {self.field('carry')}"
        with self.blocks():
            self.local_rows("store", f"state{k}_0", first, "width")
            if self.variant.backward and self.needs_before(k):
                self.rows("store", f"state{k}_0", f"moved({self.field(f'before{k}')}, t, size_)", "width")
        for i in range(self.program.stages[k].blocks):
            inner, row = self.field(f"columns{k}"), self.field(f"weight{k}_row")
            weight = f"{self.field(f'weight{k}')} + {i} * {inner} * {row} * SIZE, {row}"
            self.emit(
                f"invoke({self.field('product')}, {self.recurrent_block(k, i)}, width, {first}, width, {weight}, "
                f"(last - first) // width, {inner})"
            )

    def gradient_product(self, k: int) -> None:
        """gradient of first(state) += gradient of recurrent @ weight."""
        blocks = self.program.stages[k].blocks
        shared = self.shared(k)
        if shared is None:
            base, row = f"grad_recurrent{k} + (t * size_ + first) * {blocks} * SIZE", f"width * {blocks}"
        else:
            total = len(self.wanted_x)
            base, row = f"grad_x + ((t * size_ + first) * {total} + {shared} * width) * SIZE", f"width * {total}"
        back = f"work + {self.field(f'back{k}')}"
        weight = f"{self.field(f'transposed{k}')}, {self.field(f'transposed{k}_row')}"
        self.emit(
            f"invoke({self.field('product')}, {back}, width, {base}, {row}, {weight}, "
            f"(last - first) // width, {self.field(f'rows{k}')})"
        )
        with self.blocks():
            self.local_rows("add", f"grad{k}_0", back, "width")

    def move_tape(self, direction: str) -> None:
        """The states of the steps since the last checkpoint, kept in the thread's own memory."""
        with self.blocks():
            for i in range(self.program.state):
                where = f"work + {self.field('tape')} + ((s - begin) * {self.program.state} + {i}) * range_ * SIZE"
                self.local_rows(direction, f"state0_{i}", where, "width")

    def clear(self, address: str) -> None:
        """Zeros for all rows of this thread: products of a weight that lacks rows or columns leave them as they are."""
        self.emit(f"invoke({self.field('load_rows')}, {address}, 0, 0, width, 0, last - first, width)")

    def recurrent_block(self, k: int, i: int) -> str:
        """Where block i of the recurrent product of stage k lies, rows adjoining, for the rows of this thread."""
        return f"work + {self.field(f'recurrent{k}')} + {i} * range_ * SIZE"

    def stages_of_x(self, i: int) -> list[int]:
        """The stages that add to the gradient of x number i; the first one if none does."""
        return [k for k, stage in enumerate(self.program.stages) if not stage.graph.is_zero(f"grad_x{i}")] or [0]

    def needs_before(self, k: int) -> bool:
        return k > 0 or self.variant.recompute

    @property
    def wanted_x(self) -> list[int]:
        return [i for i, needed in enumerate(self.variant.needs_x) if needed]

    @property
    def wanted_params(self) -> list[int]:
        return [i for i, needed in enumerate(self.variant.needs_params) if needed]

    def shared(self, k: int) -> int | None:
        return shared_gradient(self.program, self.variant.needs_x, k)
