"""Prints a linear recurrence as Triton kernels that compute many time steps in parallel.

Time is cut into segments. Each instance computes BLOCK elements of the flattened [B, N] in one segment, in chunks of
many steps:

    summary                                 forward, and likewise backward from the last step to the first
    for each chunk                          value at the start: through the summaries of the segments before
        linear map of each step             for each chunk
        compose them by a scan                  linear map of the step before each
    store the map of the segment                value at each step, by an associative scan
                                                the step (its derivative), at all time steps of the chunk
                                                store y and history (the gradient of x)

The value is the state before a step, or in the backward pass the gradient of the state after it. The scan composes
(A, b) and (A', b') to (A' A, A' b + b'). A product of many factors may overflow although the values do not. A step may
discard a value that is not finite (by `where`, as at a reset), but its map gives 0 · inf = NaN. Where the scan gives
values that are not finite, the step itself is therefore evaluated, one step after the other. The rows of a tile are
time steps, its columns are elements. `n` counts steps in the order of processing, and the arguments are the tensors at
the first step of the forward pass.
"""

import contextlib
from collections.abc import Iterable, Iterator

from bionets.scan.gpu.printer import KernelPrinter, Source, Variant
from bionets.scan.program import Program
from bionets.scan.program.linear import LinearMap, linear_steps


def print_summary(program: Program, variant: Variant, chunk: int, backward: bool) -> Source:
    return _ParallelPrinter(program, variant, chunk, backward).summary()


def print_parallel_forward(program: Program, variant: Variant, chunk: int) -> Source:
    return _ParallelPrinter(program, variant, chunk, backward=False).forward()


def print_parallel_backward(program: Program, variant: Variant, chunk: int) -> Source:
    return _ParallelPrinter(program, variant, chunk, backward=True).backward()


def summary_size(program: Program, backward: bool) -> int:
    """The numbers that the summary of a segment holds for each element."""
    return len(_names(_linear_map(program, backward), "a", "b"))


class _ParallelPrinter(KernelPrinter):
    """step: the time step at which tensors are read and written; "" for tensors without time.

    prefix: a prefix of variables. A variable must not change its shape, so the variables of one step and of a tile of
    steps have different prefixes.
    """

    def __init__(self, program: Program, variant: Variant, chunk: int, backward: bool) -> None:
        super().__init__(program, variant, rows=False)
        self.linear, self.chunk, self.is_backward = _linear_map(program, backward), chunk, backward
        self.graph_of_step, self.states = program.stages[0].graph, range(program.state)
        self.instance = f"(tl.program_id(0) // {self.argument('segments')})"
        self.step = self.prefix = ""

    # the kernels

    def summary(self) -> Source:
        whole, own = _names(self.linear, "r", "s"), _names(self.linear, "u", "v")
        self.begin("initial")
        for name, value in zip(whole, self.identity(), strict=True):
            self.emit(f"{name} = tl.full(SHAPE, {value}, DTYPE)")
        with self.indented("for begin in tl.range(first_step, end_step, CHUNK):"):
            self.emit("n = begin + when")
            self.emit("there = inside & (n < end_step)")
            self.scan("n", "there")
            for name, scanned in zip(own, _names(self.linear, "p", "q"), strict=True):
                self.emit(f"{name} = tl.sum(tl.where(when == CHUNK - 1, {scanned}, 0.0), 0)")
            self.emit(f"{', '.join(whole)} = compose({', '.join([*whole, *own])})")
        self.at("", "inside")
        for number, name in enumerate(whole):
            self.emit(f"tl.store({self.summary_place('segment', number)}, {name}, mask=inside)")
        return self.finish()

    def forward(self) -> Source:
        new_states, y = [f"new_state{i}" for i in self.states], [f"y{i}" for i in range(self.program.y)]
        self.begin("initial")
        with self.chunks():
            found = self.evaluate([*new_states, *y])
            for name in y:
                self.store(name, self.active(found[name]))
            for i in self.states:
                self.emit(f"next{i} = {self.active(found[f'new_state{i}'], f'tile{i}')}")
            self.store_histories()
        self.end("final")
        return self.finish()

    def backward(self) -> Source:
        gradients, x = [f"grad_state{i}" for i in self.states], [f"grad_x{i}" for i in self.variant.wanted_x]
        params = [f"grad_params{i}" for i in self.variant.wanted_params]
        self.begin("grad_final")
        for name in params:
            self.emit(f"sum_{name} = tl.full(SHAPE, 0.0, DTYPE)")
        with self.chunks():
            found = self.evaluate([*gradients, *x, *params])
            for name in x:
                self.store(name, self.active(found[name]))
            for name in params:
                self.emit(f"sum_{name} += tl.sum(tl.where(there, {self.active(found[name])}, 0.0), 0)")
            for i in self.states:
                self.emit(f"next{i} = {self.active(found[f'grad_state{i}'], f'tile{i}')}")
        for name in params:  # a separate sum for each segment
            self.emit(f"tl.store({self.argument(name)} + segment * total + element, sum_{name}, mask=inside)")
        self.end("grad_initial")
        return self.finish()

    # parts of the kernels

    def begin(self, carried: str) -> None:
        """The steps of this instance, and the value before the first processed step."""
        self.load_params()
        self.emit("when = tl.arange(0, CHUNK)[:, None]")
        self.emit("segment = tl.program_id(0) % segments")
        self.emit(f"first_step = segment * {self.argument('segment_steps')}")
        self.emit(f"end_step = tl.minimum(first_step + segment_steps, {self.argument('steps')})")
        if self.is_backward:
            for i in self.states:
                self.load(f"initial_state{i}", f"initial{i}")
        for i in self.states:
            self.load(f"carry{i}", f"{carried}{i}")

    @contextlib.contextmanager
    def chunks(self) -> Iterator[None]:
        """For each chunk, compute `tile{i}`, the values at its steps; the body computes `next{i}`, those after it."""
        self.fold_summaries()
        with self.indented("for begin in tl.range(first_step, end_step, CHUNK):"):
            self.emit("n = begin + when")
            self.emit("there = inside & (n < end_step)")
            self.scan("n - 1", "there & (when > 0)")
            for i in self.states:
                self.emit(f"tile{i} = {self.linear.row(i, 'p{}_{} * carry{}', f'q{i}')}")
            not_finite = " | ".join(f"(tile{i} - tile{i} != 0)" for i in self.states)
            with self.indented(f"if tl.max((there & ({not_finite})).to(tl.int32)) > 0:"):
                self.walk("begin", "tl.minimum(begin + CHUNK, end_step)", record=True)
            self.emit(f"here = {self.time_step('n')}")
            self.at("here", "there")
            yield
            for i in self.states:
                self.emit(f"carry{i} = tl.sum(tl.where(n == tl.minimum(begin + CHUNK, end_step) - 1, next{i}, 0.0), 0)")
        self.at("", "inside")

    def fold_summaries(self) -> None:
        """`carry{i}`: the values at the first step of the segment."""
        carried, start = [f"carry{i}" for i in self.states], [f"start{i}" for i in self.states]
        self.assign(start, carried)
        with self.indented("for before in tl.range(0, segment):"):
            for number, name in enumerate(_names(self.linear, "u", "v")):
                self.emit(f"{name} = tl.load({self.summary_place('before', number)}, mask=inside, other=0.0)")
            self.assign(carried, [self.linear.row(i, "u{}_{} * carry{}", f"v{i}") for i in self.states])
        not_finite = " | ".join(f"(carry{i} - carry{i} != 0)" for i in self.states)
        with self.indented(f"if tl.max((inside & ({not_finite})).to(tl.int32)) > 0:"):
            self.assign(carried, start)
            self.walk("0", "first_step", record=False)
            self.assign(carried, [f"walked{i}" for i in self.states])

    def walk(self, begin: str, end: str, record: bool) -> None:
        """`walked{i}`: the values after these steps, computed one after the other; record: keep them in the tile."""
        walked = [f"walked{i}" for i in self.states]
        self.assign(walked, [f"carry{i}" for i in self.states])
        with self.indented(f"for number in tl.range({begin}, {end}):"):
            for i in self.states if record else ():
                self.emit(f"tile{i} = tl.where(when == number - begin, walked{i}, tile{i})")
            self.prefix = "one_"
            self.emit(f"one_place = {self.time_step('number')}")
            self.at("one_place", "inside")
            results = [f"grad_state{i}" if self.is_backward else f"new_state{i}" for i in self.states]
            found = self.evaluate(results, "walked")
            self.assign(walked, [self.active(found[name], old) for name, old in zip(results, walked, strict=True)])
        self.prefix = ""
        self.at("", "inside")

    def scan(self, n: str, mask: str) -> None:
        """`p{i}_{j}`, `q{i}`: for each row, the composed linear maps of all rows up to it, at existing steps `n`."""
        self.emit(f"moves = {mask}")
        self.emit(f"place = {self.time_step(f'({n})')}")
        self.at("place", "moves")
        found = self.linear_map()
        if self.variant.masked:
            self.emit("moves = moves & active")
        own, scanned = _names(self.linear, "a", "b"), _names(self.linear, "p", "q")
        entries = [f"matrix{i}_{j}" for i, j in self.linear.filled] + [f"offset{i}" for i in self.states]
        for name, entry, identity in zip(own, entries, self.identity(), strict=True):
            self.emit(f"{name} = tl.where(moves, {found[entry]}, {identity})")
        self.emit(f"{', '.join(scanned)} = tl.associative_scan(({', '.join(own)}), 0, compose)")

    def linear_map(self) -> dict[str, str]:
        """The matrix and the offset at the current steps."""
        graph = self.linear.graph
        return self.graph(graph, f"{self.prefix}m", self.inputs(graph.inputs, {}))

    def evaluate(self, outputs: Iterable[str], values: str = "tile") -> dict[str, str]:
        """Outputs of the step or of its derivative at the current steps, given the variables of the values there."""
        graph = self.graph_of_step.select(outputs)
        role = "grad_new_state" if self.is_backward else "state"
        given = {f"{role}{i}": f"{values}{i}" for i in self.states}
        return self.graph(graph, f"{self.prefix}g", self.inputs(graph.inputs, given))

    def inputs(self, names: Iterable[str], given: dict[str, str]) -> dict[str, str]:
        """Load the inputs of a graph at the current steps, except the given ones."""
        found = {name: given.get(name, f"{self.prefix}v_{name}") for name in names}
        found |= {name: f"v_{name}" for name in found if name.startswith("params")}
        for name, variable in found.items():
            if name in given or name.startswith("params"):
                continue
            if name.startswith("state"):
                self.load_state(variable, name.removeprefix("state"))
            else:
                self.load(variable, name)
        if self.variant.masked:
            self.emit(
                f"{self.prefix}active = length > {self.argument('time')} + {self.step} * {self.argument('direction')}"
            )
        return found

    def load_state(self, variable: str, number: str) -> None:
        """The state before the current steps, from the history or the initial state."""
        step, mask, earlier, stored = self.step, self.mask, f"{self.prefix}earlier", f"{self.prefix}stored"
        self.emit(f"{earlier} = {step} - 1")
        self.emit(f"{stored} = {mask} & ({earlier} + element * 0 >= 0)")
        self.at(earlier, stored)
        self.load(variable, f"history{number}")
        self.emit(f"{variable} = tl.where({stored}, {variable}, initial_state{number})")
        self.at(step, mask)

    def store_histories(self) -> None:
        if self.variant.recompute:
            self.emit(f"slot = (here + 1) // {self.argument('every')} - 1")
            self.emit("kept = there & ((here + 1) % every == 0) & (here + 1 < steps)")
            self.at("slot", "kept")
        for i in self.variant.histories:
            self.store(f"history{i}", f"next{i}")

    def end(self, result: str) -> None:
        """Store the values after the last processed step."""
        self.emit("inside = inside & (element < total * (end_step >= steps))")
        for i in self.states:
            self.store(f"{result}{i}", f"carry{i}")

    def finish(self) -> Source:
        """The source, with the function that composes two linear maps, the earlier map first."""
        filled, products = set(self.linear.filled), []
        for i, j in self.linear.filled:
            products.append(" + ".join(f"c{i}_{k} * a{k}_{j}" for k in self.states if {(i, k), (k, j)} <= filled))
        products += [self.linear.row(i, "c{}_{} * b{}", f"d{i}") for i in self.states]
        arguments = ", ".join([*_names(self.linear, "a", "b"), *_names(self.linear, "c", "d")])
        self.functions = ["@triton.jit", f"def compose({arguments}):", f"    return {', '.join(products)}", "", ""]
        return self.source({"CHUNK": str(self.chunk)})

    def identity(self) -> list[float]:
        """The identity as a linear map."""
        return [float(i == j) for i, j in self.linear.filled] + [0.0 for _ in self.states]

    def summary_place(self, segment: str, number: int) -> str:
        size = len(self.identity())
        return f"{self.argument('summary')} + ({segment} * {size} + {number}) * total + element"

    def time_step(self, n: str) -> str:
        """The time step, in forward order, that is processed as the n-th."""
        return f"{self.argument('steps')} - 1 - {n}" if self.is_backward else n

    def at(self, step: str, mask: str) -> None:
        """Load and store at these time steps from here on, if they exist."""
        self.step, self.mask = step, mask

    def active(self, value: str, otherwise: str = "0.0") -> str:
        return f"tl.where({self.prefix}active, {value}, {otherwise})" if self.variant.masked else value

    def place(self, name: str) -> str:
        place = super().place(name)
        return f"{place} + tl.cast({self.step}, tl.int64) * {self.argument(f'{name}_time')}" if self.step else place


def _linear_map(program: Program, backward: bool) -> LinearMap:
    found = linear_steps(program.key)
    assert found is not None
    return found[backward]


def _names(linear: LinearMap, matrix: str, offset: str) -> list[str]:
    return [*(f"{matrix}{i}_{j}" for i, j in linear.filled), *(f"{offset}{i}" for i in range(linear.size))]
