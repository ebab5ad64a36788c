"""Calls and gradients of layers that keep their state, within a backward pass."""

from typing import Any

import torch
from torch import Tensor

from bionets.scan.eager import backward_pass


class GraphGuard(torch.autograd.Function):
    """The identity. Names the layer in the error of a second backward pass after the first has freed the graph."""

    @staticmethod
    def forward(ctx: Any, name: str, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.name = name
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(tensors[0].new_empty(0))
        return tuple(tensor.detach() for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        try:
            _ = ctx.saved_tensors
        except RuntimeError as error:
            if "freed" not in str(error):  # as raised by a layer that `torch.utils.checkpoint` calls again
                raise
            raise RuntimeError(
                f"{ctx.name}: a second backward pass through a state kept from before the first: call "
                "detach_states(model) after each backward pass to go on from the state, or reset_states(model) to "
                "start anew"
            ) from None
        return (None, *gradients)


def refuse_recomputation(name: str, kept_in: int) -> None:
    """Raise RuntimeError if a layer is called within a backward pass with a state from before it: the state is the last
    one of the forward pass, and not the one from which `torch.utils.checkpoint` would have to compute it again.

    Args:
        name: the name of the layer.
        kept_in: the `backward_pass` in which its states were set.
    """
    if backward_pass() not in (-1, kept_in):
        raise RuntimeError(
            f"{name}: torch.utils.checkpoint computes the forward pass again, and the layer has changed its state "
            "since: make the states arguments and results of the function, with set_states(model, states) at its start "
            "and get_states(model) at its end"
        )
