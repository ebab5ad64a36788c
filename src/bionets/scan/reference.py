"""The reference backend: runs the step in a Python loop, differentiated by autograd. All other backends are tested
against it.
"""

from typing import Any

import torch
from torch import Tensor

from bionets.scan.arguments import Arguments, whole_weights
from bionets.scan.delay import delayed_product
from bionets.scan.tree import Structure, flatten, unflatten


def reference_scan(stages: tuple[Any, ...], arguments: Arguments) -> tuple[Any, Any]:
    """Run the stages over all time steps, on any device; derivatives of any order are available."""
    carry, shape = arguments.layout.carry_dtype, arguments.state_shape
    inputs = [leaf.to(carry) for leaf in arguments.x]
    if arguments.lengths is not None:
        inputs = [finite_past_end(leaf, arguments.lengths) for leaf in inputs]
    x = [leaf.unbind(0) for leaf in inputs]  # indexing x[t] would make the backward quadratic in T
    params = [leaf.to(carry) for leaf in arguments.params]
    weights = [weight.to(carry) for weight in whole_weights(arguments)]
    state = [leaf.to(carry).expand(shape) for leaf in arguments.state]
    ring = (
        [state[0], *arguments.delay[1].flip(0).unbind(0)] if arguments.delay else []
    )  # first states, the latest first
    ys: list[list[Tensor]] = []
    y_tree = None
    for t in reversed(range(arguments.layout.time)) if arguments.reverse else range(arguments.layout.time):
        x_now = unflatten(arguments.x_tree, [leaf[t] for leaf in x])
        y, new_state, y_tree = one_step(stages, x_now, state, params, weights, arguments, ring)
        if arguments.lengths is not None:
            active = (arguments.lengths > t).view(-1, *(1 for _ in arguments.layout.shape))
            y = [torch.where(active, leaf, torch.zeros_like(leaf)) for leaf in y]
            new_state = [torch.where(active, new, old) for new, old in zip(new_state, state, strict=True)]
        ys.append(y)
        state, ring = new_state, [new_state[0], *ring[:-1]] if ring else []
    if y_tree is None:  # T = 0: run the step once to find the number of outputs
        with torch.no_grad():
            x_zero = [leaf.new_zeros(leaf.shape[1:], dtype=carry) for leaf in arguments.x]
            x_now = unflatten(arguments.x_tree, x_zero)
            y, _, y_tree = one_step(stages, x_now, state, params, weights, arguments, ring)
        outputs = [leaf.new_zeros((0, *shape)) for leaf in y]
    else:
        outputs = [torch.stack(leaves[::-1] if arguments.reverse else leaves) for leaves in zip(*ys, strict=True)]
    outputs = [leaf.to(arguments.layout.output_dtype) for leaf in outputs]
    state = [  # copies, because the step may return an argument unchanged
        leaf.to(final_dtype(initial, carry), copy=True, memory_format=torch.contiguous_format)
        for leaf, initial in zip(state, arguments.state, strict=True)
    ]
    return unflatten(y_tree, outputs), unflatten(arguments.state_tree, state)


def finite_past_end(x: Tensor, lengths: Tensor) -> Tensor:
    """x `[T, B, *N]` with zeros in place of infinity and NaN past the end of each sequence, where a gradient of zero
    times an undefined derivative would be NaN."""
    valid = torch.arange(len(x), device=x.device).unsqueeze(1) < lengths
    return torch.where(valid.view(*valid.shape, *(1,) * (x.dim() - 2)), x, x.nan_to_num(0.0, 0.0, 0.0))


def one_step(
    stages: tuple[Any, ...],
    x: Any,
    state: list[Tensor],
    params: list[Tensor],
    weights: list[Tensor],
    arguments: Arguments,
    ring: list[Tensor],
) -> tuple[list[Tensor], list[Tensor], Structure]:
    """All stages of one time step: y, the new state, and the structure of y."""
    carry, shape = arguments.layout.carry_dtype, arguments.state_shape
    tree = unflatten(arguments.state_tree, state)
    y: Any = None
    for number, stage in enumerate(stages):
        own = unflatten(arguments.params_tree, params)  # a new list or dict, in case that a stage writes into it
        if weights:
            first = flatten(tree, "state")[0][0].expand(shape)
            weight = weights[number]
            product = delayed_product(arguments.delay[0], ring, weight) if ring and not number else first @ weight.T
            products = product.split(shape[-1] or 1, dim=-1)
            y, tree = stage(x, products[0] if len(products) == 1 else products, tree, own)
        else:
            y, tree = stage(x, tree, own)
    new_state, new_tree = flatten(tree, "the new state")
    y_leaves, y_tree = flatten(y, "y")
    if new_tree != arguments.state_tree:
        raise ValueError(
            f"the step returned a state of another structure: {new_tree} instead of {arguments.state_tree}"
        )
    return (
        [leaf.to(carry).expand(shape) for leaf in y_leaves],
        [leaf.to(carry).expand(shape) for leaf in new_state],
        y_tree,
    )


def final_dtype(initial: Tensor, carry: torch.dtype) -> torch.dtype:
    """The final state keeps the dtype of the initial one, except that float64 anywhere makes everything float64."""
    return initial.dtype if initial.is_floating_point() and carry == torch.float32 else carry
