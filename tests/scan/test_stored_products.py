"""Recurrent products that the forward pass stores for the backward pass of wide layers."""

from typing import Any

import pytest
import torch
from torch import Tensor

from bionets.layers import NBRC
from bionets.scan import compiled, dense_scan

from .cells import OPTIONS, assert_close, nbrc, run_cell

DENSE = ("nbrc", "recurrent_spiking", "peephole_lstm")


@pytest.fixture
def from_one_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "WIDE", 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", DENSE)
def test_stored_products_give_the_bits_of_recomputed_products(
    name: str, option: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = run_cell(name, "cpu", dtype, **OPTIONS[option])
    monkeypatch.setattr(compiled, "WIDE", 1)
    stored = run_cell(name, "cpu", dtype, **OPTIONS[option])
    assert all(torch.equal(stored[key], again[key]) for key in again)


@pytest.mark.parametrize("name", DENSE)
def test_agrees_with_the_reference(name: str, from_one_unit: None) -> None:
    assert_close(run_cell(name, "cpu"), run_cell(name, "reference"), 3e-5)


@pytest.mark.usefixtures("from_one_unit")
def test_stored_products_with_delays_agree_with_the_reference() -> None:
    def run(name: str) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        shapes = {"x": (6, 2, 15), "h": (2, 5), "weight": (10, 5), "lags": (3, 5), "past": (2, 2, 5)}
        leaves = {
            key: torch.randn(shape, generator=generator, dtype=torch.float64).mul(0.4).requires_grad_()
            for key, shape in shapes.items()
        }
        x, h, weight, lags, past = leaves.values()
        y, _ = dense_scan(nbrc, x.chunk(3, -1), h, (), weight, lags=lags, past=past, backend=name)
        gradients = torch.autograd.grad(y.sin().sum(), list(leaves.values()))
        return {"y": y.detach(), **dict(zip(leaves, gradients, strict=True))}

    assert_close(run("cpu"), run("reference"), 1e-10)


def test_a_wide_layer_in_torch_compile_agrees_with_the_reference() -> None:
    layer, x = NBRC(3, compiled.WIDE + 5), torch.randn(4, 2, 3)

    def gradients(call: Any, **options: Any) -> list[Tensor]:
        layer.zero_grad()
        call(x, **options)[0].sin().sum().backward()
        return [parameter.grad.clone() for parameter in layer.parameters() if parameter.grad is not None]

    expected = gradients(layer, backend="reference")
    for found in (gradients(layer), gradients(torch.compile(layer, fullgraph=True, backend="aot_eager"))):
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_products_are_not_stored_with_checkpoints() -> None:
    def kept(**options: Any) -> int:
        sizes: list[int] = []

        def pack(tensor: Tensor) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        x, h = torch.randn(12, 2, 3 * compiled.WIDE), torch.zeros(2, compiled.WIDE)
        weight = torch.randn(2 * compiled.WIDE, compiled.WIDE, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            dense_scan(nbrc, x.chunk(3, -1), h, (), weight, backend="cpu", **options)
        return sum(sizes)

    steps = 12 * 2 * compiled.WIDE
    assert kept() - kept(checkpoint_every=4) >= 2 * steps  # two products of each step are not kept
