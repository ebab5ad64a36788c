"""A scan inside torch.compile, torch.export and autocast."""

from typing import Any

import torch
from torch import Tensor, nn

from bionets.scan import dense_scan, split_gates
from bionets.scan.arguments import read_arguments
from bionets.scan.program import find_program
from bionets.scan.torch_operators import scan_forward

from .cells import CELLS, brc, leaves_of, nbrc


def test_torch_compile_gives_one_graph_with_gradients() -> None:
    def loss(name: str, *leaves: Tensor) -> Any:
        y, state = CELLS[name].call(*leaves, backend="cpu")
        return y.square().sum() + state.cos().sum()

    for name in ("brc", "nbrc"):
        eager, compiled = leaves_of(name, torch.float32), leaves_of(name, torch.float32)
        loss(name, *eager).backward()
        torch.compile(loss, fullgraph=True, backend="aot_eager")(name, *compiled).backward()
        for a, b in zip(eager, compiled, strict=True):
            torch.testing.assert_close(a.grad, b.grad)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(4, 15)
        self.weight = nn.Parameter(torch.randn(10, 5) * 0.3)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(x.shape[1], 5)
        return dense_scan(nbrc, split_gates(self.project(x), 3), state, (), self.weight)[0]


def test_an_exported_scan_has_no_operator_of_bionets() -> None:
    model, x = Recurrent(), torch.randn(7, 3, 4)
    exported = torch.export.export(model, (x,))
    assert not any("bionets" in str(node.target) for node in exported.graph.nodes)
    torch.testing.assert_close(exported.module()(x), model(x))


def test_autocast_computes_in_single_precision_and_returns_half() -> None:
    model, x = Recurrent(), torch.randn(7, 3, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = model(x)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())
    torch.testing.assert_close(y.float(), model(x), rtol=2e-2, atol=2e-2)


def test_the_operator_passes_opcheck() -> None:
    w = torch.ones(5)
    leaves = [torch.randn(4, 3, 5, requires_grad=True) for _ in range(3)]
    known = read_arguments(tuple(leaves), torch.zeros(3, 5), (w, w), (), None, False, 1)
    program = find_program((brc,), known).program.key
    arguments = (leaves, [torch.zeros(3, 5)], [w, w], [], [], None, program, False, 1, False, "cpu", True)
    torch.library.opcheck(scan_forward, arguments, test_utils=("test_schema", "test_faketensor"))
