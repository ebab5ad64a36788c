"""The buffers that the backward pass on CUDA writes, and the gradients computed from them."""

import torch
from torch import Tensor

from bionets.scan.call import Call, Gradients, Needs, factors_of_weight_gradient, needs_before, shared_gradient


class Results:
    """Memory for the backward pass. Sums over rows and over time are computed by one reduction or product at the end.

    x: `[T, B, X, N]`. state: `[B, N]`. sums: `[B, N]` by number of the parameter, summed over time. recurrent: the
    blocks `[T, B, N]` of each stage, in the memory of x if the gradients are the same (`shared`). before: the states
    that each stage multiplied, `[T, B, N]`, unless a history holds them.
    """

    def __init__(self, call: Call, needs: Needs) -> None:
        self.call, self.needs = call, needs
        time, batch, width = call.time, call.batch, call.width
        blocks = [stage.blocks for stage in call.program.stages]
        self.shared = shared_gradient(call.program, needs.x) if len(call.program.stages) == 1 else None
        self.x = self.empty(time, batch, sum(needs.x), width)
        self.state = [self.empty(batch, width) for _ in call.state]
        self.sums = {i: self.empty(batch, width) for i, needed in enumerate(needs.params) if needed}
        self.before = [
            self.empty(time, batch, width) if needs_before(call.program, call.checkpoint_every > 1, k) else None
            for k in range(len(blocks))
        ]
        if self.shared is None:
            self._recurrent = [self.empty(time, batch, n, width) for n in blocks]
        else:
            self._recurrent = [self.x[:, :, self.shared : self.shared + blocks[0]]]
        self.recurrent = [gradient.unbind(2) for gradient in self._recurrent]

    def empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=self.call.program.dtype, device=self.call.x[0].device)

    def x_by_number(self) -> dict[int, Tensor]:
        """The wanted gradients of x, each `[T, B, N]`."""
        wanted = [i for i, needed in enumerate(self.needs.x) if needed]
        return dict(zip(wanted, self.x.unbind(2), strict=True))

    def recurrent_rows(self, k: int, t: int) -> Tensor:
        """The gradient of stage k's matrix product at one time, `[B, G * N]`."""
        return self._recurrent[k][t].flatten(1)

    def gradients(self, first_history: Tensor) -> Gradients:
        params = [
            total.sum().view(1) if self.call.params[i].numel() == 1 else total.sum(0) for i, total in self.sums.items()
        ]
        weights = [self._weight_gradient(k, first_history) for k in range(len(self.call.weights))]
        return Gradients(self.x if any(self.needs.x) else None, self.state, params, weights)

    def _weight_gradient(self, k: int, history: Tensor) -> Tensor:
        gradient = self._recurrent[k].flatten(2)
        (left, right), *others = factors_of_weight_gradient(self.call, gradient, self.before[k], history)
        total = left.T @ right
        for left, right in others:
            total.addmm_(left.T, right)
        return total


def first_products(call: Call, history: Tensor) -> Tensor:
    """first(state) @ weight.T of the first stage at all time steps, `[T, B, G * N]`. Because all states are known, this
    is one product instead of one in each step of a kernel.
    """
    weight = call.weights[0].T
    products = history.new_empty(call.time, call.batch, weight.shape[1])
    at_first = -1 if call.reverse else 0
    later, earlier = (products[:-1], history[1:]) if call.reverse else (products[1:], history[:-1])
    torch.mm(call.state[0], weight, out=products[at_first])
    torch.mm(earlier.flatten(0, 1), weight, out=later.flatten(0, 1))
    return products
