"""The schedule of a program: the ordered list of what is done forward or backward, which a backend prints.

    forward                                     backward
    for each time step                          for each time step, last to first
        for each stage                              for each stage but the last: as forward
            recurrent = first(state) @ weight.T     for each stage, last to first
            evaluate the stage                          evaluate its vector-Jacobian product
                                                        gradient of first(state) += that of recurrent @ weight

The recurrent products of the forward pass may be stored: then the backward pass reads them instead.

With delays, the first stage's product is that of a sum over earlier first states, and the gradient of a first state
such a sum over the gradients of later products.

With checkpoints, the backward pass goes through segments of K steps, last to first: forward again through the steps of
the segment, whose states are kept on a tape, then backward through them.

A schedule consists of `Loop`, `Product` and `Evaluate`. They name their operands as places: tensors at a time step, and
values that are carried from one operation to the next (`state0_1`: state 1 before stage 0), which a backend may keep in
registers or in memory.
"""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

from bionets.scan.call import CallVariant
from bionets.scan.graph import Graph


@dataclass(frozen=True)
class Place:
    """Elements [B, N] of a tensor or of a carried value.

    step: "" for what has no time; "now", this step; "before", the step before it in the order of the forward pass;
    "checkpoint", the state stored at the end of the last segment, or if it is written, of the segment that ends now.
    first: what is read instead at the first step of the loop, or in the first segment.
    """

    name: str
    step: str = ""
    first: "Place | None" = None

    def __str__(self) -> str:
        step = f"[{self.step}]" if self.step else ""
        return f"{self.name}{step}" + (f" (at first {self.first})" if self.first else "")


@dataclass(frozen=True)
class Evaluate:
    """Evaluate a graph for each element.

    reads, writes: places of its inputs and outputs. held: with lengths, what an output is past the end of a sequence,
    None for 0. added: outputs that are added to what is there. copies: (from, to), before anything is written.
    """

    graph: Graph
    reads: Mapping[str, Place]
    writes: Mapping[str, tuple[Place, ...]]
    held: Mapping[str, Place | None] = field(default_factory=dict)
    added: tuple[str, ...] = ()
    copies: tuple[tuple[Place, Place], ...] = ()

    def __str__(self) -> str:
        lines = [f"read   {name} = {place}" for name, place in self.reads.items()]
        lines += [f"copy   {target} = {source}" for source, target in self.copies]
        for name, targets in self.writes.items():
            held = f", past the end {self.held[name] or 0}" if name in self.held else ""
            lines.append(f"write  {', '.join(map(str, targets))} {'+' * (name in self.added)}= {name}{held}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Product:
    """target = left @ weightᵀ for each block of the weight of a stage; or, backward, target += [lefts] @ weight."""

    stage: int
    lefts: tuple[Place, ...]
    targets: tuple[Place, ...]
    backward: bool = False

    def __str__(self) -> str:
        if self.backward:
            return f"product {self.targets[0]} += [{', '.join(map(str, self.lefts))}] @ weight{self.stage}"
        return f"product {', '.join(map(str, self.targets))} = {self.lefts[0]} @ weight{self.stage}.T"


@dataclass(frozen=True)
class Delayed:
    """target = the sum over lags of lag · source, of the states before this step; or, backward, target += that of the
    gradients from this step on."""

    source: Place
    target: Place
    backward: bool = False

    def __str__(self) -> str:
        return f"delayed {self.target} {'+' * self.backward}= lags · {self.source}"


Work = Evaluate | Product | Delayed


@dataclass(frozen=True)
class Loop:
    """over: "steps", "steps backward", or with checkpoints "segments backward", and within a segment "steps of the
    segment", all but its last, and "steps of the segment backward"."""

    over: str
    body: tuple["Work | Loop", ...]

    def __str__(self) -> str:
        return "\n".join(
            [f"for each of the {self.over}:", *(textwrap.indent(f"{each}\n", "    ") for each in self.body)]
        )


@dataclass(frozen=True)
class Variant(CallVariant):
    """The properties of a call that its schedule depends on."""

    backward: bool = False
    delayed: bool = False  # the first stage multiplies delayed states
    stored_products: bool = False  # the recurrent products of all stages are stored for the backward pass
