"""The elementwise recurrence by which e-prop approximates a recurrence with a recurrent weight matrix."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from bionets.scan.arguments import Arguments, read_arguments, whole_weights
from bionets.scan.tree import Tree, flatten, unflatten

Step = Callable[..., tuple[Any, Any]]


def cut_products(
    stages: tuple[Step, ...], arguments: Arguments, run: Callable[..., tuple[Tree, Tree]]
) -> tuple[tuple[Step, ...], Arguments]:
    """One elementwise stage and its arguments, which compute the same as `stages`, with the products of their weights
    in x.

    The products use the states that `run` computes without gradients. The gradient therefore reaches the weights, but
    does not flow through them to other units (e-prop; Bellec et al. 2020).
    """
    dtype, shape = arguments.layout.carry_dtype, arguments.state_shape
    with torch.no_grad():
        history, _ = run((*stages[:-1], partial(with_history, step=stages[-1])), arguments, None)
        initial = [leaf.to(dtype).expand(1, *shape) for leaf in arguments.state]
        before = [torch.cat((first, after.to(dtype)[:-1])) for first, after in zip(initial, history, strict=True)]
    x = unflatten(arguments.x_tree, [leaf.to(dtype) for leaf in arguments.x])
    params = unflatten(arguments.params_tree, arguments.params)
    tree, products = unflatten(arguments.state_tree, before), []
    for number, (stage, weight) in enumerate(zip(stages, whole_weights(arguments), strict=True), 1):
        product = F.linear(flatten(tree, "state")[0][0], weight.to(dtype)).split(shape[-1], dim=-1)
        products.append(product)
        if number < len(stages):
            with torch.no_grad():
                _, tree = stage(x, product[0] if len(product) == 1 else product, tree, params)
    state = unflatten(arguments.state_tree, arguments.state)
    joint = read_arguments((x, tuple(products)), state, params, (), arguments.lengths, False, 1)
    return (partial(joint_step, stages=stages),), joint


def with_history(x: Tree, recurrent: Tree, state: Tree, params: Tree, *, step: Step) -> tuple[Tree, Tree]:
    """A last stage whose output is its state."""
    _, state = step(x, recurrent, state, params)
    return tuple(flatten(state, "the new state")[0]), state


def joint_step(x: Tree, state: Tree, params: Tree, *, stages: tuple[Step, ...]) -> tuple[Tree, Tree]:
    """All stages, with the products of their weights in addition to x."""
    x, products = x
    y = None
    for stage, product in zip(stages, products, strict=True):
        y, state = stage(x, product[0] if len(product) == 1 else product, state, params)
    return y, state
