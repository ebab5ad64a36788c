"""Builds the schedule of a program, forward or backward."""

from collections.abc import Mapping

from bionets.scan.call import needs_before, shared_gradient
from bionets.scan.program import Program
from bionets.scan.program.schedule import Delayed, Evaluate, Loop, Place, Product, Variant, Work


def make_schedule(program: Program, variant: Variant) -> Loop:
    return _Scheduler(program, variant).make()


class _Scheduler:
    """same: places that are aliases of other places. state_before: the place of each state before the step."""

    def __init__(self, program: Program, variant: Variant) -> None:
        self.program, self.variant = program, variant
        self.stages = program.stages
        self.last = len(self.stages) - 1
        self.same = self.handed_on()
        self.state_before: dict[int, Place] = {}

    def make(self) -> Loop:
        if not self.variant.backward:
            return Loop("steps", tuple(self.forward_step(outputs=True)))
        states = range(self.program.state)
        if not self.variant.recompute:
            self.state_before = {i: Place(f"history{i}", "before", Place(f"initial{i}")) for i in states}
            return Loop("steps backward", tuple(self.backward_step()))
        stored = {i: Place(f"history{i}", "checkpoint", Place(f"initial{i}")) for i in states}
        self.state_before = {i: Place(f"tape{i}", "before", stored[i]) for i in states}
        again = Loop("steps of the segment", tuple(self.forward_step(outputs=False)))
        backward = Loop("steps of the segment backward", tuple(self.backward_step()))
        return Loop("segments backward", (again, backward))

    # one time step

    def forward_step(self, outputs: bool) -> list[Work]:
        """All stages of one time step; the final states are written to the places that the next time step reads."""
        work: list[Work] = []
        if self.variant.delayed:
            work.append(Delayed(Place("earlier", "now"), Place("delayed", "now")))
        for k in range(self.last + 1):
            work += self.products(k)
            work += self.forward_stage(k, outputs)
        return work

    def forward_stage(self, k: int, outputs: bool) -> list[Evaluate]:
        stage, ends = self.stages[k], k == self.last
        writes: dict[str, tuple[Place, ...]] = {}
        for i in range(stage.state_out):
            if not ends:
                place = self.state(k + 1, i)
                if f"state{k + 1}_{i}" not in self.same:
                    writes[f"new_state{i}"] = (place,)
            elif self.variant.backward:
                writes[f"new_state{i}"] = (Place(f"tape{i}", "now"),)
            else:
                history = Place(f"history{i}", "checkpoint" if self.variant.recompute else "now")
                stored = (history,) if i in self.variant.histories else ()
                writes[f"new_state{i}"] = (self.state(0, i), *stored)
        if outputs:
            writes |= {f"y{i}": (Place(f"y{i}", "now"),) for i in range(stage.outputs)}
            if self.variant.delayed and ends:
                delayed_y = f"y{self.program.y_of_state[0]}"
                writes[delayed_y] = (*writes[delayed_y], Place("later", "now"))
        held: dict[str, Place | None] = {}
        if ends and self.variant.masked:
            held = {
                name: self.state(0, int(name.removeprefix("new_state"))) if name.startswith("new_state") else None
                for name in writes
            }
        elif self.variant.masked and self.variant.backward and "new_state0" in writes:
            held = {"new_state0": None}  # a factor of the weight gradient, where 0·NaN is NaN
        return self.evaluate(k, writes, held)

    def backward_step(self) -> list[Work]:
        """One time step backward, from the gradients of the state after the step to those of the state before it."""
        work: list[Work] = []
        for k in range(self.last):
            work += [*self.products(k), *self.forward_stage(k, outputs=False)]
        work += self.products(self.last)
        seen: set[int] = set()
        for k in range(self.last, -1, -1):
            work += self.backward_stage(k, seen)
        return work

    def backward_stage(self, k: int, seen: set[int]) -> list[Work]:
        stage, variant, program = self.stages[k], self.variant, self.program
        shared = shared_gradient(program, variant.needs_x, k)
        writes = {
            f"grad_state{i}": (self.gradient(k, i),) for i in range(stage.state_in) if f"grad{k}_{i}" not in self.same
        }
        recurrent = [Place(f"grad_recurrent{k}_{i}", "now") for i in range(stage.blocks)]
        if shared is None:
            writes |= {f"grad_recurrent{i}": (place,) for i, place in enumerate(recurrent)}
        else:
            recurrent = [Place(f"grad_x{variant.wanted_x[shared + i]}", "now") for i in range(stage.blocks)]
        own_x = [i for i in variant.wanted_x if k in self.stages_of_x(i)]
        own_params = [i for i in variant.wanted_params if not stage.graph.is_zero(f"grad_params{i}")]
        writes |= {f"grad_x{i}": (Place(f"grad_x{i}", "now"),) for i in own_x}
        writes |= {f"grad_params{i}": (Place(f"sum{i}"),) for i in own_params}
        held: dict[str, Place | None] = {}
        if variant.masked:
            held = dict.fromkeys(writes)
            if k == 0:
                held |= {f"grad_state{i}": self.gradient(0, i) for i in range(stage.state_in)}
        added = (*(f"grad_params{i}" for i in own_params), *(f"grad_x{i}" for i in own_x if i in seen))
        seen.update(own_x)
        copies: tuple[tuple[Place, Place], ...] = ()
        if k == 0 and needs_before(program, variant.recompute, 0):
            copies = ((self.state_before[0], Place("before0", "now")),)
        work: list[Work] = [*self.evaluate(k, writes, held, added, copies)]
        if stage.blocks:
            through_delay = k == 0 and variant.delayed
            target = Place("grad_delayed", "now") if through_delay else self.gradient(k, 0)
            work.append(Product(k, tuple(recurrent), (target,), backward=True))
            if through_delay:
                work.append(Delayed(Place("grad_delayed", "now"), self.gradient(0, 0), backward=True))
        return work

    def evaluate(
        self,
        k: int,
        writes: Mapping[str, tuple[Place, ...]],
        held: Mapping[str, Place | None],
        added: tuple[str, ...] = (),
        copies: tuple[tuple[Place, Place], ...] = (),
    ) -> list[Evaluate]:
        graph = self.stages[k].graph.select(writes)
        reads = {name: self.input(k, name) for name in graph.inputs}
        return [Evaluate(graph, reads, writes, held, added, copies)] if writes or copies else []

    def products(self, k: int) -> list[Product]:
        blocks = self.stages[k].blocks
        if not blocks or (self.variant.backward and self.variant.stored_products):
            return []
        left = Place("delayed", "now") if k == 0 and self.variant.delayed else self.state(k, 0)
        return [Product(k, (left,), tuple(self.recurrent(k, i) for i in range(blocks)))]

    # places

    def input(self, k: int, name: str) -> Place:
        role = name.rstrip("0123456789")
        number = int(name.removeprefix(role))
        if role == "state":
            return self.state(k, number)
        if role == "recurrent":
            return self.recurrent(k, number)
        if role == "grad_new_state":
            return self.gradient(0 if k == self.last else k + 1, number)
        return Place(name, "" if role == "params" else "now")

    def recurrent(self, k: int, i: int) -> Place:
        return Place(f"recurrent{k}_{i}", "now" if self.variant.stored_products else "")

    def state(self, k: int, i: int) -> Place:
        """State i before stage k; for stage 0, state i before the time step."""
        name = self.renamed(f"state{k}_{i}")
        if name.startswith("state0_"):
            return self.state_before.get(int(name.removeprefix("state0_")), Place(name))
        if name.endswith("_0") and self.variant.backward:  # the gradient of a weight needs it
            return Place(name.replace("state", "before").removesuffix("_0"), "now")
        return Place(name)

    def gradient(self, k: int, i: int) -> Place:
        """The gradient of state i before stage k."""
        return Place(self.renamed(f"grad{k}_{i}"))

    def renamed(self, name: str) -> str:
        while name in self.same:
            name = self.same[name]
        return name

    def handed_on(self) -> dict[str, str]:
        """States that a stage returns unchanged, and their gradients; they keep their places."""
        same = dict[str, str]()
        for k, stage in enumerate(self.stages):
            for i in range(stage.state_out if k < self.last else 0):
                source = stage.graph.input_behind(f"new_state{i}")
                if source.startswith("state") and not (i == 0 and self.variant.backward):
                    same[f"state{k + 1}_{i}"] = f"state{k}_{source.removeprefix('state')}"
            taken = set[str]()
            for i in range(
                stage.state_in if k > 0 and not self.variant.masked else 0
            ):  # after the end of a sequence they are 0
                source = stage.graph.input_behind(f"grad_state{i}")
                if source.startswith("grad_new_state") and source not in taken:
                    taken.add(source)
                    after = 0 if k == self.last else k + 1
                    same[f"grad{k}_{i}"] = f"grad{after}_{source.removeprefix('grad_new_state')}"
        return same

    def stages_of_x(self, i: int) -> list[int]:
        """The stages that add to the gradient of x number i; the first one if none does."""
        return [k for k, stage in enumerate(self.stages) if not stage.graph.is_zero(f"grad_x{i}")] or [0]
