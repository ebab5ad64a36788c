"""PLIF, ALIF and fully recurrent layers against their equations, and in all the ways of running them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bionets.layers import get_states, reset_states, unroll
from bionets.layers.spiking import ALIF, DSRLIT, LIB, PLIF, SLIB, FullyRecurrent
from bionets.scan import surrogate

T, B, N = 9, 3, 4


def plif(layer: PLIF, x: Tensor) -> Tensor:
    mem, outputs = torch.zeros_like(x[0]), []
    for now in x:
        mem = mem + (1 - layer.beta) * (now - mem)
        spike = surrogate.arctan(mem - layer.threshold)
        mem = torch.where(spike > 0, mem * 0, mem) - (spike - spike.detach()) * mem
        outputs.append(spike)
    return torch.stack(outputs)


def alif(layer: ALIF, x: Tensor) -> Tensor:
    mem, adaptation, outputs = torch.zeros_like(x[0]), torch.zeros_like(x[0]), []
    for now in x:
        mem = layer.beta * mem + now
        spike = surrogate.triangle(mem - (layer.threshold + layer.strength * adaptation))
        mem, adaptation = mem - spike * layer.threshold, layer.rho * adaptation + spike
        outputs.append(spike)
    return torch.stack(outputs)


def recurrent(layer: FullyRecurrent, x: Tensor) -> Tensor:
    inner, outputs = layer.layer, []
    syn = mem = previous = torch.zeros_like(x[0])
    for now in x:
        syn = inner.alpha * syn + (1 - inner.alpha) * (now + torch.einsum("ij,bj->bi", layer.weight, previous))
        mem = inner.beta * mem + syn
        previous = torch.sigmoid(4 * (mem - inner.threshold))
        mem = mem - previous * inner.threshold
        outputs.append(previous)
    return torch.stack(outputs)


CASES: dict[str, tuple[Callable[..., nn.Module], Callable[..., Tensor]]] = {
    "PLIF": (lambda **options: PLIF(N, threshold=0.4, **options), plif),
    "ALIF": (lambda **options: ALIF(N, strength=0.4, **options), alif),
    "FullyRecurrent": (lambda **options: FullyRecurrent(SLIB(N, quant_fn="identity", **options)), recurrent),
}


def inputs(*shape: int) -> Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def gradients(y: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    return torch.autograd.grad((y * weight).sum(), of, retain_graph=True)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients_are_those_of_the_equations(name: str, backend: str) -> None:
    make, naive = CASES[name]
    layer, x = make(backend=backend).double(), inputs(T, B, N).requires_grad_()
    y, expected = unroll(layer, x), naive(layer, x)
    torch.testing.assert_close(y, expected)
    assert y.mean() > 0.1
    torch.testing.assert_close(gradients(y, x, *layer.parameters()), gradients(expected, x, *layer.parameters()))


@pytest.mark.parametrize("make", [*(make for make, _ in CASES.values()), lambda **k: FullyRecurrent(DSRLIT(N, **k))])
def test_step_by_step_in_chunks_and_in_one_pass_are_equal(make: Callable[..., nn.Module]) -> None:
    torch.manual_seed(0)
    layer, x = make(backend="reference").double(), inputs(T, B, N).requires_grad_()
    results = []
    for run in (
        lambda: unroll(layer, x),
        lambda: torch.cat([unroll(layer, piece) for piece in x.split(4)]),
        lambda: torch.stack([layer(step) for step in x]),
    ):
        torch.manual_seed(1)
        reset_states(layer)
        y = run()
        results.append((y, gradients(y, x, *layer.parameters()), get_states(layer)))
    torch.testing.assert_close(results[1], results[0])
    torch.testing.assert_close(results[2], results[0])


def test_no_gradient_passes_a_detached_reset() -> None:
    x = torch.full((2, 1, 1), 5.0, requires_grad=True)
    through, detached = (
        torch.autograd.grad(unroll(PLIF(1, detach_reset=cut, backend="reference"), x)[1].sum(), x)[0][0]
        for cut in (False, True)
    )
    assert detached.item() == 0.0 and through.item() != 0.0


@pytest.mark.parametrize("dim", [-1, -2, 1, 0])
def test_full_recurrence_works_along_any_dim(dim: int) -> None:
    torch.manual_seed(0)
    layer = FullyRecurrent(LIB(N, dim=dim, spike_fn="arctan", backend="reference")).double()
    straight = FullyRecurrent(LIB(N, spike_fn="arctan", backend="reference")).double()
    straight.load_state_dict(layer.state_dict())
    x = inputs(T, B, 5, N)
    expected = unroll(straight, x)
    assert torch.equal(unroll(layer, x.movedim(-1, range(1, 4)[dim])), expected.movedim(-1, range(1, 4)[dim]))


def test_a_single_sequence_needs_no_batch() -> None:
    torch.manual_seed(0)
    layer, x = FullyRecurrent(LIB(N, spike_fn="arctan", backend="reference")), inputs(T, N).float()
    alone = unroll(layer, x)
    reset_states(layer)
    assert torch.equal(unroll(layer, x.unsqueeze(1)).squeeze(1), alone)


def test_fully_recurrent_accepts_only_spiking_layers() -> None:
    with pytest.raises(TypeError, match="SpikingLayer, got Linear"):
        FullyRecurrent(nn.Linear(3, 3))
