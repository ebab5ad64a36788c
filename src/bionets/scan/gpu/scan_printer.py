"""Prints a program as one Triton kernel, forward or backward, over all time steps.

Each instance of the kernel computes a tile of the elements of [B, N] and keeps its state in registers:

    forward                                     backward
    for each time step                          for each time step, last to first
        load x                                      load x, the state before the step, the gradient of y
        for each stage                              for each stage but the last: as forward
            recurrent = state @ weight.T            for each stage, last to first
            stage                                       vector-Jacobian product
        store y and history                             state gradient += recurrent gradient @ weight
                                                    store the gradient of x

A tile is BLOCK elements of the flattened [B, N], independently of their rows, or with weights one whole row; the
registers of all threads together then hold the weights. With checkpoints, the backward kernel first runs forward again
through the steps since the last stored state, and keeps their states on a tape. The arguments are the tensors at the
first processed step. The kernel does not depend on the direction of time: it adds `x0_time` to reach the next step and
subtracts it to go back.
"""

from bionets.scan.call import needs_before
from bionets.scan.gpu.printer import KernelPrinter, Source, Variant
from bionets.scan.program import Program


def print_forward(program: Program, variant: Variant) -> Source:
    return _ForwardPrinter(program, variant, rows=bool(program.stages[0].blocks)).print()


def print_backward(program: Program, variant: Variant) -> Source:
    return _BackwardPrinter(program, variant, rows=bool(program.stages[0].blocks)).print()


class _ScanPrinter(KernelPrinter):
    times = "times"  # the function that multiplies a row with the transpose of a weight

    @property
    def states(self) -> range:
        return range(self.program.state)

    @property
    def last(self) -> int:
        return len(self.program.stages) - 1

    def used_x(self) -> list[int]:
        """The tensors of x that are used by any stage."""
        graphs = [stage.graph for stage in self.program.stages]
        return [i for i in range(self.program.x) if any(f"x{i}" in graph.inputs for graph in graphs)]

    def load_weights(self) -> None:
        """Each block of rows of a weight as one square tile [H, H], padded with zeros."""
        if not self.rows:
            return
        self.emit("below = tl.arange(0, BLOCK)[:, None]")
        self.emit(f"square = (below < {self.argument('width')}) & (column < width)")
        for k, stage in enumerate(self.program.stages):
            for g in range(stage.blocks):
                address = f"{self.argument(f'weight{k}')} + ({g} * width + below) * width + column"
                self.emit(f"weight{k}_{g} = tl.load({address}, mask=square, other=0.0)")

    def product(self, k: int, first: str) -> dict[str, str]:
        """recurrent = first(state) @ weight.T, one variable for each block. Padding must not introduce NaN."""
        blocks = self.program.stages[k].blocks
        if blocks:
            self.emit(f"first{k} = tl.where(inside, {first}, 0.0)")
        for g in range(blocks):
            self.emit(f"recurrent{k}_{g} = {self.times}(first{k}, weight{k}_{g})")
        return {f"recurrent{g}": f"recurrent{k}_{g}" for g in range(blocks)}

    def common_inputs(self) -> dict[str, str]:
        names = [f"x{i}" for i in range(self.program.x)] + [f"params{i}" for i in range(self.program.params)]
        return {name: f"v_{name}" for name in names}

    def load_x(self) -> None:
        for i in self.used_x():
            self.load(f"v_x{i}", f"x{i}")

    def forward_step(self, outputs: bool) -> None:
        """One time step forward, which updates the variables `state0`, `state1`, ... and stores y."""
        state = [f"state{i}" for i in self.states]
        found: dict[str, str] = {}
        for k, stage in enumerate(self.program.stages):
            names = [f"new_state{i}" for i in range(stage.state_out)]
            if outputs:
                names += [f"y{i}" for i in range(stage.outputs)]
            inputs = self.common_inputs() | self.product(k, state[0])
            inputs |= {f"state{i}": variable for i, variable in enumerate(state)}
            found = self.graph(stage.graph.select(names), f"f{k}_", inputs)
            state = [found[f"new_state{i}"] for i in range(stage.state_out)]
        self.find_active()
        if outputs:
            for i in range(self.program.y):
                self.store(f"y{i}", self.active(found[f"y{i}"]))
        names = [f"state{i}" for i in self.states]
        self.assign(names, map(self.active, state, names))

    def move_time(self, sign: str = "+") -> None:
        if self.variant.masked:
            self.emit(f"time {sign}= {self.argument('direction')}")


class _ForwardPrinter(_ScanPrinter):
    """Its weights are passed with each block transposed, so that threads sum along the rows that they hold."""

    times = "times_transposed"

    def print(self) -> Source:
        histories = [f"history{i}" for i in self.variant.histories]
        self.held = self.program.state + self.program.params
        self.load_params()
        self.load_weights()
        for i in self.states:
            self.load(f"state{i}", f"initial{i}")
        with self.indented(f"for step in tl.range(0, {self.argument('steps')}, num_stages=STAGES):"):
            self.load_x()
            self.forward_step(outputs=True)
            if self.variant.recompute and histories:
                with self.indented(f"if ((step + 1) % {self.argument('every')} == 0) & (step + 1 < steps):"):
                    self.store_histories()
                    self.move(histories)
            else:
                self.store_histories()
                self.move(histories)
            self.move([f"x{i}" for i in self.used_x()] + [f"y{i}" for i in range(self.program.y)])
            self.move_time()
        for i in self.states:
            self.store(f"final{i}", f"state{i}")
        return self.source()

    def store_histories(self) -> None:
        for i in self.variant.histories:
            self.store(f"history{i}", f"state{i}")


class _BackwardPrinter(_ScanPrinter):
    def print(self) -> Source:
        # for each state the initial value, the value before the step and its gradient; parameters and their gradients
        self.held = 3 * self.program.state + self.program.params + len(self.variant.wanted_params)
        self.load_params()
        self.load_weights()
        for i in self.states:
            self.load(f"grad{i}", f"grad_final{i}")
        for i in self.variant.wanted_params:
            self.emit(f"sum{i} = tl.full(SHAPE, 0.0, DTYPE)")
        if self.variant.recompute:
            self.walk_chunks()
        else:
            self.walk_steps()
        for i in self.states:
            self.store(f"grad_initial{i}", f"grad{i}")
        for i in self.variant.wanted_params:
            self.store(f"grad_params{i}", f"sum{i}")
        return self.source()

    def walk_steps(self) -> None:
        for i in self.states:
            self.load(f"initial_state{i}", f"initial{i}")
        with self.indented(f"for step in tl.range(0, {self.argument('steps')}, num_stages=STAGES):"):
            self.emit(f"later = inside & (element < {self.argument('total')} * (step + 1 < steps))")
            for i in self.states:
                place = self.place(f"history{i}")
                self.emit(f"state{i} = tl.load({place}, mask=later, other=0.0)")
                self.emit(f"state{i} = tl.where(later, state{i}, initial_state{i})")
            self.load_x()
            self.backward_step()
            self.move([f"x{i}" for i in self.used_x()] + [f"history{i}" for i in self.states], "-")
            self.move_time("-")

    def walk_chunks(self) -> None:
        x, tapes = [f"x{i}" for i in self.used_x()], [f"tape{i}" for i in self.states]
        chunks, every = self.argument("chunks"), self.argument("every")
        with self.indented(f"for chunk in tl.range(0, {chunks}):"):
            self.emit(f"first_step = ({chunks} - 1 - chunk) * {every}")
            self.emit(f"count = tl.minimum({every}, {self.argument('steps')} - first_step)")
            for i in self.states:
                self.load(f"state{i}", f"initial{i}")
            with self.indented(f"if chunk + 1 < {chunks}:"):
                for i in self.states:
                    self.load(f"state{i}", f"history{i}")
            with self.indented("for again in tl.range(0, count - 1, num_stages=STAGES):"):
                self.store_tape()
                self.load_x()
                self.forward_step(outputs=False)
                self.move(x + tapes)
                self.move_time()
            self.store_tape()
            self.emit("tl.debug_barrier()")  # another thread than the one that stored a value may load it
            with self.indented("for step in tl.range(0, count, num_stages=STAGES):"):
                for i in self.states:
                    self.load(f"state{i}", f"tape{i}")
                self.load_x()
                self.backward_step()
                self.move(x + tapes, "-")
                self.move_time("-")
            self.emit("tl.debug_barrier()")
            for name in x:
                self.emit(f"{name} -= tl.cast({every} - 1, tl.int64) * {name}_time")
            for name in tapes:
                self.emit(f"{name} += {name}_time")
            if self.variant.masked:
                self.emit(f"time -= ({every} - 1) * direction")
            self.move([f"history{i}" for i in self.states], "-")

    def known_product(self, moving: list[str]) -> dict[str, str]:
        """The first stage's product, computed for all time steps before the kernel."""
        names = [f"product{g}" for g in range(self.program.stages[0].blocks)]
        for g, name in enumerate(names):
            self.load(f"recurrent0_{g}", name)
        moving += names
        return {f"recurrent{g}": f"recurrent0_{g}" for g in range(len(names))}

    def store_tape(self) -> None:
        for i in self.states:
            self.store(f"tape{i}", f"state{i}")

    def backward_step(self) -> None:
        """One time step backward: updates the gradients `grad0`, ..., given the state before the step."""
        variant, stages = self.variant, self.program.stages
        moving: list[str] = []
        state, inputs = [[f"state{i}" for i in self.states]], []
        self.find_active()
        for k, stage in enumerate(stages):
            if needs_before(self.program, variant.recompute, k):
                self.store(f"before{k}", self.active(state[k][0]))
                moving.append(f"before{k}")
            recurrent = self.known_product(moving) if k == 0 and variant.products else self.product(k, state[k][0])
            inputs.append(self.common_inputs() | recurrent)
            inputs[k] |= {f"state{i}": variable for i, variable in enumerate(state[k])}
            if k < self.last:
                graph = stage.graph.select([f"new_state{i}" for i in range(stage.state_out)])
                found = self.graph(graph, f"f{k}_", inputs[k])
                state.append([found[f"new_state{i}"] for i in range(stage.state_out)])
        for i in range(self.program.y):
            if any(f"grad_y{i}" in stage.graph.inputs for stage in stages):
                self.load(f"v_grad_y{i}", f"grad_y{i}")
                moving.append(f"grad_y{i}")
                if variant.masked:
                    self.emit(f"v_grad_y{i} = {self.active(f'v_grad_y{i}')}")
        for i in self.states:
            self.emit(f"after{i} = {self.active(f'grad{i}')}")
        gradients = [f"after{i}" for i in self.states]
        of_x: dict[int, list[str]] = {i: [] for i in variant.wanted_x}
        for k in reversed(range(len(stages))):
            stage = stages[k]
            names = [f"grad_state{i}" for i in range(stage.state_in)]
            names += [f"grad_recurrent{g}" for g in range(stage.blocks)]
            names += [f"grad_x{i}" for i in variant.wanted_x] + [f"grad_params{i}" for i in variant.wanted_params]
            given = {f"grad_new_state{i}": variable for i, variable in enumerate(gradients)}
            given |= {f"grad_y{i}": f"v_grad_y{i}" for i in range(self.program.y)}
            found = self.graph(stage.graph.select(names), f"b{k}_", inputs[k] | given)
            gradients = [found[f"grad_state{i}"] for i in range(stage.state_in)]
            for i in variant.wanted_x:
                of_x[i].append(found[f"grad_x{i}"])
            for i in variant.wanted_params:
                self.emit(f"sum{i} += {self.active(found[f'grad_params{i}'])}")
            for g in range(stage.blocks):
                name = f"grad_recurrent{k}_{g}"
                self.emit(f"v_{name} = tl.where(inside, {self.active(found[f'grad_recurrent{g}'])}, 0.0)")
                if variant.shared is None:
                    self.store(name, f"v_{name}")
                    moving.append(name)
                self.emit(f"back{k}_{g} = {gradients[0]} + times_transposed(v_{name}, weight{k}_{g})")
                gradients[0] = f"back{k}_{g}"
        for i, terms in of_x.items():
            self.store(f"grad_x{i}", self.active(" + ".join(terms)))
            moving.append(f"grad_x{i}")
        names = [f"grad{i}" for i in self.states]
        self.assign(names, map(self.active, gradients, names))
        self.move(moving, "-")
