"""Training steps of the published stigmergic network: 28 rows of 28 pixels, memory of 15 cells, readout of the last
step, squared error, Adam (fused, for all libraries).

A round is ten steps in a row, because the caches of a single step would hold the data of the other libraries. The
equations of torchsm in eager PyTorch, step by step, are timed twice: with the readout after every step, as in torchsm's
introduction, and with the readout after the last step only, as in bionets.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from benchmarks.floor import Product, Work
from benchmarks.timing import Comparison, Contestant, Run
from bionets.layers import RecurrentStigmergicMemory, reset_states, unroll

REPEATED = 10  # training steps in a round
STEPS, PIXELS, CELLS, HIDDEN, CLASSES = 28, 28, 15, 20, 10
LOW, HIGH = 0.0, 10.0


class EagerStigmergicMemory(nn.Module):
    """`RecurrentStigmergicMemory` as its equations are written, one operation after another."""

    def __init__(self) -> None:
        super().__init__()

        def network() -> nn.Sequential:
            return nn.Sequential(nn.Linear(PIXELS + CELLS, HIDDEN), nn.PReLU(), nn.Linear(HIDDEN, CELLS), nn.ReLU())

        self.mark_net, self.tick_net = network(), network()
        self.mark_recurrence, self.tick_recurrence = nn.Linear(CELLS, CELLS), nn.Linear(CELLS, CELLS)
        self.space: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        space = x.new_zeros(len(x), CELLS) if self.space is None else self.space
        mark = self.mark_net(torch.cat([x, self.mark_recurrence(space)], 1))
        tick = self.tick_net(torch.cat([x, self.tick_recurrence(space)], 1))
        space = space + mark - tick
        self.space = (HIGH - LOW) * torch.sigmoid(4 * ((space - LOW) / (HIGH - LOW)) - 2) + LOW
        return self.space


def stigmergic(batch: int) -> Comparison:
    """bionets, and the equations in eager PyTorch with both kinds of readout."""

    def contestant(name: str, run: Callable[[nn.Sequential, Tensor], Tensor], memory: type[nn.Module]) -> Contestant:
        return Contestant(name, lambda: _training(network(memory), run, batch))

    return Comparison(
        f"stigmergic-{batch}",
        f"stigmergic network, {REPEATED} training steps on rows of MNIST, B {batch}",
        _work(batch),
        (
            contestant("bionets", whole_sequence, RecurrentStigmergicMemory),
            contestant("eager, as introduced", every_step, EagerStigmergicMemory),
            contestant("eager, last readout", last_step, EagerStigmergicMemory),
        ),
    )


def network(memory: type[nn.Module]) -> nn.Sequential:
    """The published network; equal parameters for both kinds of memory."""
    torch.manual_seed(0)
    layer = memory(PIXELS, CELLS, 1, HIDDEN) if memory is RecurrentStigmergicMemory else memory()
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -0.2, 0.2)
    return nn.Sequential(layer, nn.Linear(CELLS, 10), nn.PReLU(), nn.Linear(10, CLASSES), nn.PReLU())


def whole_sequence(net: nn.Sequential, x: Tensor) -> Tensor:
    reset_states(net)
    unroll(net[0], x)
    return net[1:](net[0].memory)


def every_step(net: nn.Sequential, x: Tensor) -> Tensor:
    net[0].space = None  # type: ignore[assignment]  # no parameter or module
    for x_t in x:
        prediction = net(x_t)
    return prediction


def last_step(net: nn.Sequential, x: Tensor) -> Tensor:
    net[0].space = None  # type: ignore[assignment]  # no parameter or module
    for x_t in x:
        memory = net[0](x_t)
    return net[1:](memory)


def _training(net: nn.Sequential, run: Callable[[nn.Sequential, Tensor], Tensor], batch: int) -> Run:
    x, target = torch.rand(STEPS, batch, PIXELS).round(), torch.rand(batch, CLASSES)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)

    def step() -> float:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(run(net, x), target)
        loss.backward()
        optimizer.step()
        return loss.item()

    return lambda: [step() for _ in range(REPEATED)]


def _work(batch: int) -> Work:
    """The least work of a round: in each step, the input is read twice, its products with the weights are written and
    read, the states are written and read; and the products of input, memory and hidden units, forward and backward.
    """
    rows, both = STEPS * batch, 2 * HIDDEN
    moved = {
        "input read, forward and backward": 2 * 4 * rows * PIXELS,
        "what it drives, written and read": 2 * 4 * rows * both,
        "its gradient, written and read": 2 * 4 * rows * both,
        "memory written, and read backward": 2 * 4 * rows * CELLS,
    }
    products = (
        Product(rows, PIXELS, both),
        Product(both, rows, PIXELS),
        Product(batch, CELLS, both, STEPS),
        Product(batch, HIDDEN, CELLS, 2 * STEPS),
        Product(batch, CELLS, HIDDEN, 2 * STEPS),
        Product(batch, both, CELLS, STEPS),
        Product(both, rows, CELLS),
        Product(CELLS, rows, HIDDEN, 2),
    )
    return Work(
        {what: REPEATED * count for what, count in moved.items()},
        tuple(replace(product, times=REPEATED * product.times) for product in products),
    )
