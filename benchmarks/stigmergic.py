"""Training steps of the published stigmergic network: 28 rows of 28 pixels, memory of 15 cells, last-step readout,
squared error, Adam (fused, for all alike). A round is ten steps one after the other, as in a training: a single one
would be timed with the caches that the other contestants have left.

The peer is the equations of torchsm once more, step by step in eager PyTorch, called as torchsm's introduction calls
it: the whole network at every step. A second one reads out the last step alone.
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
    """`RecurrentStigmergicMemory` as its equations are written, one operation after the other."""

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
    """bionets, and the equations in eager PyTorch."""

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
    """The least work of a round: in each step the input read twice, what the input drives written and read, the states
    written and read, and the products of input, memory and hidden units, forwards and backwards."""
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
