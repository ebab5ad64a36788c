"""The schedule of a program: the ordered list of its operations, forward or backward, which a backend prints.

    forward                                     backward
    for each time step                          for each time step, last to first
        for each stage                              for each stage but the last: as forward
            recurrent = first(state) @ weight.T     for each stage, last to first
            evaluate the stage                          evaluate its vector-Jacobian product
                                                        gradient of first(state) += that of recurrent @ weight

If the recurrent products of the forward pass are stored, the backward pass reads them instead of computing them.

With delays, the product of the first stage is the product of a weighted sum over earlier first states, and the gradient
of a first state is a weighted sum over the gradients of later products.

With checkpoints, the backward pass goes through segments of K steps, last to first. In each segment, it runs forward
again and keeps the states on a tape, and then runs backward.

A schedule consists of `Loop`, `Product` and `Evaluate`. Their operands are places: tensors at a time step, and values
that are carried from one operation to the next (`state0_1`: state 1 before stage 0), which a backend may keep in
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

    step: "" for values without time; "now" for the current step; "before" for the previous step in the order of the
    forward pass; "checkpoint" for the state stored at the end of the last segment, or if it is written, at the end of
    the current segment. first: the place that is read instead at the first step of the loop, or in the first segment.
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

    reads, writes: places of its inputs and outputs. held: with lengths, the value of an output after the end of a
    sequence, None for 0. added: outputs that are added to their place. copies: (from, to), made before all writes.
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
    """target = the sum over lags of lag · source over the states before this step; or, backward, target += the same sum
    over the gradients from this step on."""

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
    """The properties of a call on which its schedule depends."""

    backward: bool = False
    delayed: bool = False  # the first stage multiplies delayed states
    stored_products: bool = False  # the recurrent products of all stages are stored for the backward pass
