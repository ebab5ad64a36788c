"""One training step of copy-first-input: two recurrent layers of 100 units, linear readout of the last step, MSE, Adam.

Every library is called as its documentation shows, on x `[T, B, 1]`.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks import jax_peers
from benchmarks.floor import Product, Work
from benchmarks.timing import LOOP, Comparison, Contestant, Run
from bionets.layers import BRC, GRU, LSTM, NBRC, PeepholeLSTM

LAYERS = 2
OURS = {"BRC": BRC, "nBRC": NBRC, "GRU": GRU, "LSTM": LSTM, "PeepholeLSTM": PeepholeLSTM}
SIZES = {"BRC": (3, 0, 1), "nBRC": (3, 2, 1), "GRU": (3, 3, 1), "LSTM": (4, 4, 2), "PeepholeLSTM": (4, 7, 2)}
"""The numbers of gates with an input, of products with a recurrent matrix and of states."""
JAX = "the recurrence by lax.scan, the whole step compiled by XLA"
SLOW = 500  # time steps above which brc_pytorch has one round, because its time is quadratic in T


def copy_first_input(cell: str, length: int, batch: int, hidden: int) -> Comparison:
    """A cell of bionets, the same cell as a loop in eager PyTorch, in JAX (except PeepholeLSTM) and in brc_pytorch (BRC
    and nBRC), and nn.GRU and nn.LSTM.
    """

    def contestant(name: str, network: Callable[[], nn.Module], **options: Any) -> Contestant:
        return Contestant(name, lambda: _training_step(network(), length, batch, hidden), **options)

    ours: type[nn.Module] = OURS[cell]
    rnn: dict[str, Any] = {"input_size": 1, "hidden_size": hidden, "num_layers": LAYERS}
    slow = length > SLOW
    brc_pytorch = contestant(
        f"brc_pytorch {cell}",
        lambda: _brc_pytorch(cell, hidden),
        remark="one round, without warm-up" if slow else "",
        most_rounds=1 if slow else None,
    )
    jax = Contestant("JAX", lambda: jax_peers.copy_first_input(cell, length, batch, hidden, LAYERS), JAX)
    return Comparison(
        f"{cell.lower()}-{length}",
        f"copy-first-input training step, {cell} {LAYERS}×{hidden}, B {batch}, T {length}",
        _work(length, batch, hidden, *SIZES[cell]),
        (
            contestant(f"bionets {cell}", lambda: ours(**rnn)),
            contestant("eager PyTorch", lambda: ours(**rnn, backend="reference"), remark=LOOP),
            *([brc_pytorch] if cell in ("BRC", "nBRC") else []),
            *([jax] if cell in jax_peers.LAYERS else []),
            contestant("nn.GRU", lambda: nn.GRU(**rnn), work=_work(length, batch, hidden, *SIZES["GRU"])),
            contestant("nn.LSTM", lambda: nn.LSTM(**rnn), work=_work(length, batch, hidden, *SIZES["LSTM"])),
        ),
    )


def _training_step(network: nn.Module, length: int, batch: int, hidden: int) -> Run:
    torch.manual_seed(0)
    x, readout = torch.randn(length, batch, 1), nn.Linear(hidden, 1)
    parameters = [*network.parameters(), *readout.parameters()]
    # on a GPU, Adam is one kernel, which a CUDA graph can capture
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=x.is_cuda, capturable=x.is_cuda)

    def run() -> None:
        optimizer.zero_grad()
        output, *_ = network(x)
        nn.functional.mse_loss(readout(output[-1]), x[0]).backward()
        optimizer.step()

    return run


def _brc_pytorch(cell: str, hidden: int) -> nn.Module:
    from brc_pytorch import layers

    kind = {"BRC": layers.BistableRecurrentCell, "nBRC": layers.NeuromodulatedBistableRecurrentCell}[cell]
    cells = [kind(1, hidden)] + [kind(hidden, hidden) for _ in range(LAYERS - 1)]
    device = torch.device("cpu")
    return layers.MultiLayerBase(cell, cells, hidden, batch_first=False, return_sequences=True, device=device)


def _work(length: int, batch: int, hidden: int, gates: int, recurrent_gates: int, states: int) -> Work:
    """The least work of a step. The loss reads only the last step, so the output of the upper layer has no gradient to
    read at the other steps. The product of all inputs and the product of a weight gradient are one product each; the
    products with the recurrent weight follow each other.
    """
    one, rows = 4 * length * batch * hidden, length * batch
    moved = {
        "forward, gate inputs read": LAYERS * gates * one,
        "forward, states written (the output is one of them)": LAYERS * states * one,
        "backward, gate inputs read": LAYERS * gates * one,
        "backward, states read": LAYERS * states * one,
        "backward, output gradients read": (LAYERS - 1) * one,
        "backward, gate gradients written": LAYERS * gates * one,
    }
    products: list[Product] = []
    for layer in range(LAYERS):
        inputs = hidden if layer else 1
        products += [Product(rows, inputs, gates * hidden), Product(gates * hidden, rows, inputs)]
        if layer:
            products.append(Product(rows, gates * hidden, inputs))
        if recurrent_gates:
            wide = recurrent_gates * hidden
            products += [Product(batch, hidden, wide, length), Product(batch, wide, hidden, length)]
            products.append(Product(wide, rows, hidden))
    return Work(moved, tuple(products))
