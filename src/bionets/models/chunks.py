"""Training in chunks of time, in the memory of one chunk: truncated backpropagation or online gradients."""

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bionets.models.saved_memory import peak_saved_bytes
from bionets.models.weighting import loss_of
from bionets.scan import OnlineGradients

if TYPE_CHECKING:
    from bionets.models.model import Model

GRADIENTS = {"bptt": None, "online": "exact", "eprop": "eprop"}
"""The rule of `OnlineGradients` for each value of ``model.gradients``; None: the state is detached between chunks."""


def loss_in_chunks(model: "Model", task: Any, x: Tensor, target: Tensor) -> Tensor:
    """The loss of a batch. Its gradient is computed at the same time, in chunks of ``model.tbptt`` steps.

    If the task asks for one prediction per sequence, the loss is that after the last step, or with
    ``model.loss_every_step`` the mean over all steps. If it asks for a prediction at every step, the loss is the mean
    over the scored steps.

    Raises:
        ValueError: the target does not have an entry for each step, or `OnlineGradients` does not support the model.
    """
    at_every_step = model.spec.kind == "sequence_to_sequence"
    if at_every_step and len(target) != len(x):
        raise ValueError(f"chunks of time need a target at every step, got {len(target)} for {len(x)} steps")
    rule, length = GRADIENTS[model.gradients], model.tbptt or len(x)
    online = nullcontext() if rule is None else OnlineGradients(rule)
    parameters = [each for each in model.parameters() if each.requires_grad]
    sums: list[Tensor | None] = [None] * len(parameters)
    counted = task.scored_steps(model.spec.only_scored(target, target)[1]) if at_every_step else len(x)
    total, state = x.new_zeros(()), None
    for start in range(0, len(x), length):
        steps = x[start : start + length]
        with online:
            predictions, state = model.chunk(steps, state)
        part = len(steps)
        if at_every_step:
            answers, targets = model.spec.only_scored(predictions, target[start : start + length])
            part = task.scored_steps(targets)
            loss = loss_of(task, answers, targets) if part else 0 * answers.sum()  # a mean over no step is NaN
        elif model.loss_every_step:
            each = target.expand(len(predictions), *target.shape).flatten(0, 1)
            loss = task.loss(predictions.flatten(0, 1), each)
        elif start + len(steps) == len(x):
            loss = task.loss(predictions[-1], target)
        else:
            continue
        loss = loss * (part / (counted or 1) if at_every_step or model.loss_every_step else 1)
        total = total + loss.detach()
        if torch.is_grad_enabled() and loss.requires_grad:
            found = torch.autograd.grad(loss, parameters, allow_unused=True)
            sums = [
                old if new is None else new if old is None else old + new for old, new in zip(sums, found, strict=True)
            ]
    if all(each is None for each in sums):
        return total  # without a gradient
    result: Tensor = _WithGradients.apply(total, sums, *parameters)
    return result


def saved_mebibytes(model: "Model", x: Tensor) -> float:
    """The peak memory of the tensors, without parameters, that autograd saves for the backward pass of x, in MiB."""

    class MeanSquare:
        @staticmethod
        def loss(prediction: Tensor, target: Tensor) -> Tensor:
            return prediction.square().mean()

        scored_steps = staticmethod(len)

    return peak_saved_bytes(lambda: loss_in_chunks(model, MeanSquare, x, x.new_zeros(len(x)))) / 2**20


class _WithGradients(torch.autograd.Function):
    """A loss with given gradients, which can be scaled, clipped and averaged over processes like any other loss."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, gradients: list[Tensor | None], *parameters: nn.Parameter) -> Tensor:
        ctx.gradients = gradients
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, *(None if each is None else scale * each for each in ctx.gradients))
