"""The scan and its derivative as operators of PyTorch, for torch.compile, torch.export and fake tensors.

An operator takes tensors, numbers and strings, so the step is given by the key of its program.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bionets.scan.call import Call, Needs
from bionets.scan.execution import run_backward, run_forward
from bionets.scan.program import check_compiled, program_of

INPUTS = (
    "Tensor[] x, Tensor[] state, Tensor[] params, Tensor[] weights, Tensor[] delay, Tensor? lengths, "
    "str program, bool reverse, int checkpoint_every, bool store_products, str backend"
)
GROUPS = 5  # number of lists of tensors, which come first
WEIGHTS, PROGRAM = 3, 6  # the places of these two


def forward_by_operator(call: Call, backend: str, keep: bool) -> list[Tensor]:
    """`run_forward`, as an operator."""
    found: list[Tensor] = scan_forward(*_inputs(call, backend), keep)
    return found


def backward_by_operator(
    call: Call, backend: str, states: Sequence[Tensor], gradients: Sequence[Tensor | None], needs: Needs
) -> list[Tensor]:
    """`run_backward`, as an operator."""
    # autograd does not follow a list of optional tensors, and second derivatives would be left out without an error
    given = [leaf for leaf in gradients if leaf is not None]
    flags = [leaf is not None for leaf in gradients]
    found: list[Tensor] = scan_backward(given, states, *_inputs(call, backend), *needs, flags)
    return found


def _inputs(call: Call, backend: str) -> tuple[Any, ...]:
    """The inputs of the operators in the order of `INPUTS`."""
    options = (call.program.key, call.reverse, call.checkpoint_every, call.store_products, backend)
    return (*call.groups, call.lengths, *options)


def read_inputs(inputs: Sequence[Any]) -> tuple[Call, str]:
    """The call and the backend, from the inputs of an operator."""
    *groups, lengths, program, reverse, every, store, backend = inputs
    x, state, params, weights, delay = map(list, groups)
    return Call(program_of(program), x, state, params, weights, lengths, reverse, every, delay, store), backend


def _scan(*arguments: Any) -> list[Tensor]:
    *inputs, keep = arguments
    check_compiled(inputs[PROGRAM])
    return run_forward(*read_inputs(inputs), keep)


def _fake_scan(*arguments: Any) -> list[Tensor]:
    *inputs, keep = arguments
    call, _ = read_inputs(inputs)

    def empty(*shape: int) -> Tensor:
        return call.x[0].new_empty(shape, dtype=call.program.dtype)

    y = [empty(call.time, call.batch, call.width) for _ in range(call.program.y)]
    final = [empty(call.batch, call.width) for _ in call.state]
    if not keep:
        return [*y, *final]
    kept = [empty(call.stored_steps, call.batch, call.width) for _ in call.histories()]
    if call.delay:
        kept += [empty(len(call.delay[0]) + call.time, call.spread_step), empty(call.time, call.batch, call.width)]
    if call.store_products:
        kept += [empty(call.time, call.batch, len(weight)) for weight in call.weights]
    return [*y, *final, *kept]


def _scan_backward(given: Sequence[Tensor], states: Sequence[Tensor], *arguments: Any) -> list[Tensor]:
    *inputs, x, params, delay, flags = arguments
    following = iter(given)
    gradients = [next(following) if flag else None for flag in flags]
    return run_backward(*read_inputs(inputs), states, gradients, Needs(tuple(x), tuple(params), tuple(delay)))


def _fake_scan_backward(given: Sequence[Tensor], states: Sequence[Tensor], *arguments: Any) -> list[Tensor]:
    *inputs, needs_x, needs_params, needs_delay, _ = arguments
    call, _ = read_inputs(inputs)
    params = [leaf for leaf, needed in zip(call.params, needs_params, strict=True) if needed]
    delay = [leaf for leaf, needed in zip(call.delay, needs_delay, strict=True) if needed]
    rows = (call.time, call.batch, sum(needs_x), call.width)
    grad_x = [call.x[0].new_empty(rows, dtype=call.program.dtype)] if any(needs_x) else []
    return [*grad_x, *(leaf.new_empty(leaf.shape) for leaf in (*call.state, *params, *call.weights, *delay))]


def _refuse(ctx: Any, *gradients: Any) -> None:
    raise RuntimeError("scan has no second derivative on compiled backends; use backend='reference'")


def _define(schema: str, function: Any, fake: Any) -> Any:
    """An operator for all devices. (`torch.library.custom_op` would import torch.compile at the first call.)"""
    name = schema.partition("(")[0]
    torch.library.define(name, schema.removeprefix(name), tags=torch.Tag.pt2_compliant_tag)
    torch.library.impl(name, "CompositeExplicitAutograd", function)
    torch.library.register_fake(name, fake)
    namespace, _, operator = name.partition("::")
    return getattr(getattr(torch.ops, namespace), operator).default


scan_forward = _define(f"bionets::scan({INPUTS}, bool keep) -> Tensor[]", _scan, _fake_scan)
scan_backward = _define(
    f"bionets::scan_backward(Tensor[] given, Tensor[] states, {INPUTS}, "
    "bool[] needs_x, bool[] needs_params, bool[] needs_delay, bool[] flags) -> Tensor[]",
    _scan_backward,
    _fake_scan_backward,
)
torch.library.register_autograd("bionets::scan_backward", _refuse)
