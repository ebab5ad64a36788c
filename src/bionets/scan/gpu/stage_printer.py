"""Prints one stage of a program, forward or backward, at one time step: for recurrences that loop over time.

The recurrent product is computed outside and is an input. Arguments are named as in the graph: the inputs are `x0`,
`recurrent0`, `state0`, `params0`; the outputs are `y0`, `new_state0`, or `grad_x0`, `grad_recurrent0`, `grad_state0`,
`grad_params0`.
"""

from bionets.scan.gpu.printer import KernelPrinter, Source, Variant
from bionets.scan.graph import Graph
from bionets.scan.program import Program


def print_stage(program: Program, variant: Variant, k: int, with_y: bool) -> Source:
    """Stage k forward. With lengths, the last stage keeps `old0` after the end of a sequence."""
    return _StagePrinter(program, variant, k).forward(with_y)


def print_stage_gradient(program: Program, variant: Variant, k: int) -> Source:
    """The vector-Jacobian product of stage k. Adds to `grad_params0`, and to `grad_x0` unless it is the last stage.

    With lengths, the first stage passes the gradients `kept0` on unchanged after the end of a sequence.
    """
    return _StagePrinter(program, variant, k).backward()


class _StagePrinter(KernelPrinter):
    def __init__(self, program: Program, variant: Variant, k: int) -> None:
        super().__init__(program, variant, rows=False)
        self.stage = program.stages[k]
        self.is_first, self.is_last = k == 0, k == len(program.stages) - 1

    def forward(self, with_y: bool) -> Source:
        states = [f"new_state{i}" for i in range(self.stage.state_out)]
        y = [f"y{i}" for i in range(self.stage.outputs)] if with_y else []
        found = self.evaluate(self.stage.graph.select([*states, *y]))
        self.find_active()
        for name in y:
            self.store(name, self.active(found[name]))
        for i, name in enumerate(states):
            value = found[name]
            if self.is_last and self.variant.masked:
                self.load(f"v_old{i}", f"old{i}")
                value = self.active(value, f"v_old{i}")
            elif i == 0:  # a factor of the weight gradient, where 0·NaN is NaN
                value = self.active(value)
            self.store(name, value)
        return self.source()

    def backward(self) -> Source:
        stage, variant = self.stage, self.variant
        states = [f"grad_state{i}" for i in range(stage.state_in)]
        recurrent = [f"grad_recurrent{g}" for g in range(stage.blocks)]
        x = [f"grad_x{i}" for i in variant.wanted_x]
        params = [f"grad_params{i}" for i in variant.wanted_params]
        found = self.evaluate(stage.graph.select([*states, *recurrent, *x, *params]))
        self.find_active()
        for i, name in enumerate(states):
            kept = "0.0"
            if self.is_first and variant.masked:
                kept = f"v_kept{i}"
                self.load(kept, f"kept{i}")
            self.store(name, self.active(found[name], kept))
        for name in recurrent if variant.shared is None else ():
            self.store(name, self.active(found[name]))
        for name in [*x, *params]:
            value = self.active(found[name])
            if name in params or not self.is_last:
                self.load(f"v_{name}", name)
                value = f"v_{name} + {value}"
            self.store(name, value)
        return self.source()

    def evaluate(self, graph: Graph) -> dict[str, str]:
        self.load_params()
        inputs = {name: f"v_{name}" for name in graph.inputs}
        for name, variable in inputs.items():
            if not name.startswith("params"):
                self.load(variable, name)
            if name.startswith("grad_") and self.is_last and self.variant.masked:
                self.find_active()
                self.emit(f"{variable} = {self.active(variable)}")
        return self.graph(graph, "v", inputs)
