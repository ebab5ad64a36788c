"""Online learning: gradients over any number of chunks of time, with the memory of one chunk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import get_ident
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from bionets.scan.arguments import Arguments
from bionets.scan.compiled import Sensitivities
from bionets.scan.online.eprop import cut_products
from bionets.scan.online.traces import Gate, LinearMap, Trace, carry, nodes_reached_first
from bionets.scan.reference import final_dtype
from bionets.scan.tree import Tree, flatten, unflatten

RULES = ("exact", "eprop")
Run = Callable[[tuple[Any, ...], Arguments, Sensitivities | None], tuple[Tree, Tree]]

_active: "dict[int, OnlineGradients]" = {}  # by thread; torch.compile cannot trace a ContextVar


def active() -> "OnlineGradients | None":
    """The active online gradients, if gradients are enabled."""
    return _active.get(get_ident()) if _active and torch.is_grad_enabled() else None


@dataclass
class _Carried:
    """The data that one scan passes from a chunk to the next: the traces of its parameters, the traces of the trained
    parameters of the linear maps before it (by the number of the map), and its state; None before the first chunk.
    """

    of_step: list[Trace]
    of_maps: dict[int, list[Trace]] = field(default_factory=dict)
    state: list[Tensor] | None = None


class OnlineGradients(TorchFunctionMode):
    """Gradients over many chunks of time, each with a separate graph, with the memory of one chunk.

        online = OnlineGradients()
        for x in chunks:                     # each [K, B, ...], K ≥ 1
            with online:
                y, state = scan(step, x, state, params)
            loss(y).backward()
        online.reset()                       # before another sequence

    Backpropagation through time keeps the graph of all steps. Here, the state s that is passed from one chunk to the
    next carries the sensitivities ∂s/∂θ to the parameters instead, so that the gradient of a loss in a chunk,

        ∂L/∂θ = (∂L/∂θ within the chunk) + ∂L/∂s · ∂s/∂θ,

    reaches back through all chunks (real-time recurrent learning; Williams and Zipser 1989). This holds for every
    `scan` and `dense_scan` within the context, in any layer. Their initial state must be the final state of the
    previous chunk.

    θ are the parameters of the step, and the weight and bias of the linear map (`torch.nn.Linear`, `project`) that
    computes its input. ∂s/∂θ takes B·N numbers for each state and each parameter of the step, and B times the size of a
    weight for each state. Gradients with respect to inputs, and to operations before the linear map, flow only within
    the chunk. The same holds for gradients of a layer through the states of later layers, and for a learned initial
    state, which gets a gradient only in the first chunk.

    Args:
        rule: "exact" for elementwise recurrences, whose gradients equal those of backpropagation through time.
            "eprop" also supports `dense_scan`, and leaves out the gradient that flows through its weights to other
            units (Bellec et al. 2020).

    Raises:
        ValueError: if the rule is unknown. Within the context: for `dense_scan` with "exact", for a recurrence in
            reverse, if the initial state is not the final state of the previous chunk, if a parameter reaches a
            recurrence in another way than through its step or one linear map, and for a step with a backward pass that
            is not linear in the gradient (clipping).
    """

    def __init__(self, rule: str = "exact") -> None:
        super().__init__()
        if rule not in RULES:
            raise ValueError(f"unknown rule {rule!r} of online gradients; choose one of {', '.join(RULES)}")
        self.rule = rule
        self._gate = Gate()
        self._checked: set[int] = set()
        self.reset()

    def reset(self) -> None:
        """Delete all traces; the next chunk is the first of a sequence."""
        self._carried: list[_Carried] = []
        self._begin_chunk()

    def _begin_chunk(self) -> None:
        self._position = 0  # number of scans in this chunk so far
        self._maps: list[LinearMap] = []
        self._ends: set[Any] = set()  # nodes of autograd whose parameters have traces

    def __enter__(self) -> "OnlineGradients":
        if get_ident() in _active:
            raise RuntimeError("online gradients are on already")
        super().__enter__()
        _active[get_ident()] = self
        self._begin_chunk()
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        super().__exit__(kind, *rest)
        del _active[get_ident()]
        if kind is not None:
            self.reset()
        self._begin_chunk()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        return self.record(result, *args, **(kwargs or {})) if func is F.linear else result

    def record(self, output: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The output of a linear map whose weight and bias get traces."""
        if not output.requires_grad:
            return output
        output = self._gate(output)
        self._maps.append(LinearMap(input, weight, bias, output))
        self._ends.add(output.grad_fn)
        return output

    def run(self, stages: tuple[Any, ...], arguments: Arguments, run: Run) -> tuple[Tree, Tree]:
        """The scan of these stages, computed by `run`, with the traces of the previous chunk."""
        with torch.autocast(arguments.device.type, enabled=False):  # traces are sums over all time steps
            return self._run(stages, arguments, run)

    def _run(self, stages: tuple[Any, ...], arguments: Arguments, run: Run) -> tuple[Tree, Tree]:
        if arguments.reverse:
            raise ValueError("online gradients go forward in time: a recurrence in reverse has none")
        if arguments.weights and self.rule == "exact":
            raise ValueError(
                "exact online gradients are for elementwise recurrences: this one has a weight between its units; "
                "choose the rule 'eprop' (not for LMU), or backpropagation through time"
            )
        if not arguments.layout.batch:  # no state depends on a parameter
            return run(stages, replace(arguments, state=[leaf.detach() for leaf in arguments.state]), None)
        if arguments.weights:
            stages, arguments = cut_products(stages, arguments, run)
        reached = nodes_reached_first(arguments.x, self._ends)
        maps = {number: each for number, each in enumerate(self._maps) if each.output.grad_fn in reached}
        dtype, shape = arguments.layout.carry_dtype, arguments.state_shape
        state = [leaf.to(dtype).expand(shape) for leaf in arguments.state]
        wanted = tuple(k for k, leaf in enumerate(arguments.params) if leaf.requires_grad)
        if self._position == len(self._carried):
            before = _Carried([Trace([state[0].new_zeros(shape)] * len(state)) for _ in wanted])
            state = [leaf if leaf.requires_grad else leaf.detach().requires_grad_() for leaf in state]
        else:
            before = self._carried[self._position]
            state = self._carry(state, before, arguments, wanted, maps)
        values = [trace.values[i] for i in range(len(state)) for trace in before.of_step]
        sensitivities = Sensitivities(wanted, values)
        y, final = run(stages, replace(arguments, state=state), sensitivities)

        (y_leaves, y_tree), (leaves, _) = flatten(y, "y"), flatten(final, "the final state")
        after = self._traces_after(state, leaves, sensitivities, before, maps)
        leaves = [leaf.to(final_dtype(old, dtype)) for leaf, old in zip(leaves, arguments.state, strict=True)]
        after.state = [leaf.detach() for leaf in leaves]
        self._carried[self._position : self._position + 1] = [after]
        self._position += 1
        y_leaves, leaves = ([self._gate(leaf) for leaf in group] for group in (y_leaves, leaves))
        self._ends.update(leaf.grad_fn for leaf in (*y_leaves, *leaves))
        return unflatten(y_tree, y_leaves), unflatten(arguments.state_tree, leaves)

    def _carry(
        self,
        state: list[Tensor],
        before: _Carried,
        arguments: Arguments,
        wanted: tuple[int, ...],
        maps: dict[int, LinearMap],
    ) -> list[Tensor]:
        """The state before a chunk, with gradients through its traces."""
        if before.state is None or not _goes_on(arguments.state, before.state):
            raise ValueError(
                "a recurrence does not go on from the state with which the chunk before ended: call reset() of the "
                "online gradients before another sequence"
            )
        traces = [*before.of_step, *(trace for of_map in before.of_maps.values() for trace in of_map)]
        parameters = [*(arguments.params[k] for k in wanted), *(p for each in maps.values() for p in each.parameters)]
        if before.of_maps.keys() != maps.keys() or len(parameters) != len(traces):
            raise ValueError("the parameters that are trained have changed since the chunk before: call reset()")
        return carry(state, traces, parameters)

    def _traces_after(
        self,
        state: list[Tensor],
        final: list[Tensor],
        sensitivities: Sensitivities,
        before: _Carried,
        maps: dict[int, LinearMap],
    ) -> _Carried:
        """The traces after a scan from `state` to `final`."""
        count, expanded = len(sensitivities.wanted), sensitivities.expanded
        outputs = [each.output for each in maps.values()]
        rows: list[list[Tensor | None]] = [[] for _ in final]
        if outputs or expanded:
            rows = [self._derivatives(leaf, [*state, *outputs, *expanded]) for leaf in final]
        jacobian = [row[: len(state)] for row in rows]
        if sensitivities.after is not None:
            after = _Carried([Trace(sensitivities.after[p::count]) for p in range(count)])
        else:
            of_expanded = [[row[len(state) + len(outputs) + p] for row in rows] for p in range(count)]
            pairs = zip(before.of_step, of_expanded, strict=True)
            after = _Carried([trace.after(jacobian, own) for trace, own in pairs])
        for place, (number, linear) in enumerate(maps.items(), len(state)):
            if not linear.feeds(state[0]):
                raise ValueError(
                    f"online gradients cannot follow a linear map of {len(linear.weight)} features into states of "
                    f"shape {list(state[0].shape)}; use backpropagation through time"
                )
            gradients, old = [row[place] for row in rows], before.of_maps.get(number)
            local = [linear.local(each, gradients, *state[0].shape) for each in linear.parameters]
            after.of_maps[number] = [
                Trace(own, by_row=True) if old is None else old[i].after(jacobian, own) for i, own in enumerate(local)
            ]
        if maps and self._position not in self._checked:
            self._check_units(list(maps.values()), final, [row[len(state) :][: len(maps)] for row in rows])
            self._checked.add(self._position)
        return after

    def _derivatives(self, leaf: Tensor, inputs: list[Tensor]) -> list[Tensor | None]:
        """The derivatives of the sum of a state after the scan, without paths through another scan or linear map."""
        if not leaf.requires_grad:
            return [None] * len(inputs)
        self._gate.closed = True
        try:
            return list(torch.autograd.grad(leaf.sum(), inputs, retain_graph=True, allow_unused=True))
        finally:
            self._gate.closed = False

    def _check_units(self, maps: list[LinearMap], final: list[Tensor], rows: list[list[Tensor | None]]) -> None:
        """Raise ValueError if a unit depends on a row of a linear map that belongs to another unit: the derivatives of
        one half of the units with respect to the rows of the other half must be 0."""
        shape = final[0].shape
        half = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(final[0]) < 0.5
        for leaf, row in zip(final, rows, strict=True):
            some = self._derivatives(leaf * half, [each.output for each in maps])
            for linear, part, whole in zip(maps, some, row, strict=True):
                if part is not None and whole is not None:
                    of_half, of_all = (linear.by_unit(each, *shape) for each in (part, whole))
                    if not torch.allclose(of_half, of_all * half.unsqueeze(1), rtol=1e-4, atol=1e-6):
                        raise ValueError(
                            "online gradients need a linear map whose row n feeds unit n of the same sample: between "
                            "this one and its recurrence features or samples are mixed"
                        )


def _goes_on(state: Sequence[Tensor], kept: Sequence[Tensor]) -> bool:
    """Whether a state is the kept state. The first tensor must be equal, the others up to rounding, because a layer may
    compute one from another at each call. NaN equals NaN, so that a recurrence that has diverged goes on.
    """
    for number, (one, other) in enumerate(zip(state, kept, strict=True)):
        if one.shape != other.shape:
            return False
        difference = torch.where((one == other) | (one.isnan() & other.isnan()), 0.0, one - other)
        if difference.any() and (number == 0 or not difference.norm() <= 0.02 * other.nan_to_num().norm()):
            return False
    return True
