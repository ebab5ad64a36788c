"""Eligibility traces: the derivatives ∂state/∂θ that a chunk passes to the next chunk, and their use in autograd."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Derivatives = Sequence[Tensor | None]  # None stands for 0


@dataclass
class Trace:
    """∂state_i/∂θ for each state i and each sample.

    For a parameter of the step, each value is `[B, *N]`. For a linear map of G·N rows, of which rows n, N + n, ... feed
    unit n (`by_row`), the values are `[B, G, N, M]` for the weight and `[B, G, N]` for the bias.
    """

    values: list[Tensor]
    by_row: bool = False

    def after(self, jacobian: Sequence[Derivatives], local: Derivatives) -> "Trace":
        """Σ_j (∂state_i'/∂state_j) ∂state_j/∂θ + ∂state_i'/∂θ, with the Jacobian `[i][j]`, each `[B, *N]`."""
        values = []
        for row, own in zip(jacobian, local, strict=True):
            total = torch.zeros_like(self.values[0]) if own is None else own
            for derivative, value in zip(row, self.values, strict=True):
                if derivative is not None and self.by_row:
                    derivative = derivative.view(len(value), 1, -1, *(1,) * (value.dim() - 3))
                total = total if derivative is None else torch.addcmul(total, derivative, value)
            values.append(total)
        return Trace(values, self.by_row)

    def gradient(self, gradients: Derivatives, parameter: Tensor) -> Tensor | None:
        """∂L/∂θ, given ∂L/∂state_i, each `[B, *N]`."""
        terms: list[Tensor] = []
        for gradient, value in zip(gradients, self.values, strict=True):
            if gradient is not None and self.by_row:
                terms.append(torch.einsum("bn,bgn...->gn...", gradient, value).reshape(parameter.shape))
            elif gradient is not None:
                terms.append((gradient * value).sum(0).sum_to_size(parameter.shape))
        return sum(terms[1:], terms[0]).to(parameter.dtype) if terms else None


class _Carry(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, traces: list[Trace], count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.by_row, ctx.count = [trace.by_row for trace in traces], count
        ctx.save_for_backward(*tensors[count:], *(value for trace in traces for value in trace.values))
        return tuple(state.detach() for state in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        parameters, values = ctx.saved_tensors[: len(ctx.by_row)], ctx.saved_tensors[len(ctx.by_row) :]
        found = [
            Trace(list(values[i * ctx.count : (i + 1) * ctx.count]), by_row).gradient(gradients, parameter)
            for i, (parameter, by_row) in enumerate(zip(parameters, ctx.by_row, strict=True))
        ]
        return (None, None, *(None,) * ctx.count, *found)


def carry(states: Sequence[Tensor], traces: Sequence[Trace], parameters: Sequence[Tensor]) -> list[Tensor]:
    """The states without their graph. Instead, gradients flow through the traces to the parameters of the traces."""
    if not parameters:
        return [state.detach() for state in states]
    return list(_Carry.apply(list(traces), len(states), *(state.detach() for state in states), *parameters))


class Gate:
    """The identity, whose gradient is 0 while it is closed."""

    closed = False

    def __call__(self, tensor: Tensor) -> Tensor:
        result: Tensor = _Pass.apply(tensor, self)
        return result


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, gate: Gate) -> Tensor:
        ctx.gate = gate
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None]:
        return None if ctx.gate.closed else gradient, None


@dataclass
class LinearMap:
    """A linear map x @ weight.T + bias, computed while online gradients were active; `output` is its result."""

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    output: Tensor

    @property
    def parameters(self) -> list[Tensor]:
        """The weight and the bias, if they are trained."""
        return [each for each in (self.weight, self.bias) if each is not None and each.requires_grad]

    def by_unit(self, tensor: Tensor, batch: int, width: int) -> Tensor:
        """A tensor of the output's shape as `[steps, B, G, N]` for N = `width` units, each of which has G rows."""
        return tensor.reshape(-1, batch, self.weight.shape[0] // width, width)

    def feeds(self, state: Tensor) -> bool:
        """Whether the output has G values for each unit of a state `[B, N]`, at one step or more."""
        rows = self.weight.shape[0]
        return state.dim() == 2 and rows % state.shape[1] == 0 and self.output.numel() % (len(state) * rows) == 0

    def local(self, parameter: Tensor, gradients: Derivatives, batch: int, width: int) -> list[Tensor]:
        """∂state_i'/∂θ within a chunk for one of the parameters, given ∂state_i'/∂output; at least in float32."""
        dtype = torch.promote_types(self.output.dtype, torch.float32)
        rows = self.weight.shape[0]
        shape = (batch, rows // width, width)
        found = []
        for gradient in gradients:
            if gradient is None:
                more = () if parameter is self.bias else parameter.shape[1:]
                found.append(self.output.new_zeros((*shape, *more), dtype=dtype))
            elif parameter is self.bias:
                found.append(gradient.to(dtype).reshape(-1, *shape).sum(0))
            else:
                each = gradient.to(dtype).reshape(-1, batch, rows)
                x = self.x.detach().reshape(len(each), batch, -1).to(dtype)
                found.append(torch.bmm(each.permute(1, 2, 0), x.transpose(0, 1)).view(*shape, -1))
        return found


def nodes_reached_first(tensors: Iterable[Tensor], ends: set[Any]) -> set[Any]:
    """The nodes of `ends` that the gradient of these tensors reaches without passing another node of `ends`.

    Raises ValueError if the gradient reaches a parameter without passing any node of `ends`.
    """
    stack = [leaf.grad_fn for leaf in tensors if leaf.grad_fn is not None]
    seen: set[Any] = set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in ends:
            continue
        variable = getattr(node, "variable", None)  # of the node that accumulates the gradient of a leaf
        if isinstance(variable, nn.Parameter):
            raise ValueError(
                f"online gradients cannot follow a parameter of shape {list(variable.shape)}: it must reach the "
                "recurrence as a parameter of its step, or by one torch.nn.Linear; use backpropagation through time"
            )
        stack += [after for after, _ in node.next_functions if after is not None]
    return seen & ends
