"""Neurons and the max-pooling after them in one pass: outputs, gradients and states of separate passes."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from bionets.layers import get_states, reset_states, unroll
from bionets.layers.spiking import DSLITS, LI, LIB, RLIT
from bionets.layers.spiking.pooled_spikes import can_pool

X = torch.randn(5, 2, 3, 4, 6, generator=torch.Generator().manual_seed(0))


def layouts(x: Tensor) -> dict[str, Tensor]:
    last = x.movedim(2, -1).contiguous().movedim(-1, 2)
    return {
        "changing": x,
        "time-invariant": x[0].expand(x.shape),
        "channels last": last,
        "both": last[0].expand(x.shape),
    }


def run(layer: nn.Module, pool: nn.Module, x: Tensor, apart: bool) -> list[Tensor]:
    """Outputs of two chunks, gradients and last states; apart: the pooling never sees the neurons."""
    x = x.detach().requires_grad_()
    torch.manual_seed(1)
    reset_states(layer)
    layer.zero_grad()
    seen = x[0].expand(x.shape) if x.stride(0) == 0 else x
    y = torch.cat(
        [
            unroll(pool, unroll(layer, part)) if apart else unroll(nn.Sequential(layer, pool), part)
            for part in (seen[:2], seen[2:])
        ]
    )
    (y * torch.arange(y.numel()).view(y.shape).sin()).sum().backward()
    assert y.any()
    return [y.detach(), x.grad, *(p.grad for p in layer.parameters()), *get_states(layer).values()]


@pytest.mark.parametrize("kind", [LIB, DSLITS, RLIT, LI])
@pytest.mark.parametrize("layout", layouts(X))
def test_outputs_gradients_and_states_equal_those_of_separate_passes(kind: type, layout: str) -> None:
    for quantiser, size in itertools.product(("round", "bernoulli"), (2, (4, 3))):
        fires = {} if kind is LI else {"quant_fn": quantiser}
        layer, pool = kind(3, dim=-3, backend="reference", **fires), nn.MaxPool2d(size)
        x = layouts(X)[layout]
        assert can_pool(layer, pool, x.flatten(0, 1))
        torch.testing.assert_close(run(layer, pool, x, apart=False), run(layer, pool, x, apart=True))


@pytest.mark.parametrize("layout", ["time-invariant", "channels last"])
def test_the_compiled_pass_equals_separate_passes(layout: str) -> None:
    layer, pool = LIB(3, dim=-3, spike_fn="arctan"), nn.MaxPool2d(2)
    x = layouts(X)[layout]
    torch.testing.assert_close(run(layer, pool, x, apart=False), run(layer, pool, x, apart=True))


@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_a_time_invariant_input_has_the_gradient_of_all_steps(backend: str) -> None:
    layer = LIB(3, dim=-3, spike_fn="arctan", backend=backend)
    image = X[0].clone().requires_grad_()
    found = []
    for x in (image.expand(6, *image.shape), torch.stack([image] * 6)):
        reset_states(layer)
        y = unroll(layer, x)
        found.append((y, *torch.autograd.grad((y * y.shape[0]).sum(), [image, *layer.parameters()])))
    torch.testing.assert_close(found[0], found[1])
    assert found[0][1].any()


def test_nan_passes_through_neurons_and_pooling() -> None:
    x = X.clone()
    x[2, 0, 1, 3, 5] = torch.nan
    y = unroll(nn.Sequential(LI(3, dim=-3, backend="reference"), nn.MaxPool2d(2)), x)
    assert y[2:, 0, 1, 1, 2].isnan().all() and y.isnan().sum() == 3


def test_unsupported_pooling_and_hooked_layers_run_as_separate_passes() -> None:
    layer, pool = LIB(3, dim=-3), nn.MaxPool2d(2)
    assert can_pool(layer, pool, X.flatten(0, 1))
    assert not can_pool(layer, nn.MaxPool2d(3), X.flatten(0, 1))  # a row is left over
    assert not can_pool(layer, nn.MaxPool2d(2, stride=1), X.flatten(0, 1))
    assert not can_pool(layer, nn.MaxPool2d(2, padding=1), X.flatten(0, 1))
    assert not can_pool(layer, nn.AvgPool2d(2), X.flatten(0, 1))
    assert not can_pool(LIB(6), pool, X.flatten(0, 1))  # the neurons are no channels
    assert not can_pool(nn.ReLU(), pool, X.flatten(0, 1))
    seen: list[Tensor] = []
    layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    assert not can_pool(layer, pool, X.flatten(0, 1))
    unroll(nn.Sequential(layer, pool), X)
    assert seen[0].shape == X.flatten(0, 1).shape  # a hook receives all spikes


def test_a_batch_of_another_size_is_refused() -> None:
    net = nn.Sequential(LIB(3, dim=-3, backend="reference"), nn.MaxPool2d(2))
    unroll(net, X)
    with pytest.raises(ValueError, match="call reset_states"):
        unroll(net, X[:, :1])
