"""The 32 leaky integrators against a naive re-statement, and in all the ways of running them."""

import copy
import inspect
import io
import pickle
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bionets.layers import get_states, reset_states, spiking, unroll
from bionets.layers.spiking import (
    KINDS,
    LIB,
    QUANTISERS,
    SPIKE_FUNCTIONS,
    LeakyIntegrator,
    leaky_integrator,
    leaky_integrators,
)
from bionets.layers.spiking.spiking_layer import draw_noise

from .naive import run

T, B, N = 9, 3, 5
CLASSES = {kind.name: getattr(leaky_integrators, kind.name) for kind in KINDS}
FIRING = [name for name, kind in zip(CLASSES, KINDS, strict=True) if kind.fires]
VARIANTS = [(name, "") for name in CLASSES if name not in FIRING] + [(n, q) for n in FIRING for q in QUANTISERS]


def layer_of(name: str, quant: str = "", dtype: torch.dtype = torch.float64, **arguments: object) -> LeakyIntegrator:
    """With random parameters: a value of each neuron, weights of both signs."""
    generator = torch.Generator().manual_seed(len(name))
    firing = {"quant_fn": quant} if quant else {}
    layer = CLASSES[name](N, **firing, **{"backend": "reference", **arguments}).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=generator, dtype=dtype)
            parameter.add_(-1.0) if parameter.mean() > 1.5 else None
    return layer


def inputs(dtype: torch.dtype = torch.float64, shape: tuple[int, ...] = (T, B, N)) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    x = 2 * torch.randn(shape, generator=generator, dtype=dtype)
    x[:, :, ::2] *= torch.rand(x[:, :, ::2].shape, generator=generator) < 0.5  # exact zeros, where the sign splits
    return x.requires_grad_()


def gradients(y: Tensor, x: Tensor, layer: nn.Module) -> dict[str, Tensor]:
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(4), dtype=y.dtype)
    names = [name for name, _ in layer.named_parameters()]
    found = torch.autograd.grad((y * weight).sum(), [x, *layer.parameters()], retain_graph=True, allow_unused=True)
    return {k: torch.zeros(()) if g is None else g for k, g in zip(["x", *names], found, strict=True)}


@pytest.mark.parametrize(("name", "quant"), VARIANTS)
def test_outputs_and_gradients_are_those_of_the_equations(name: str, quant: str) -> None:
    layer, x = layer_of(name, quant), inputs()
    states = layer.initial_states(x, generator=torch.Generator().manual_seed(7))
    noise: list[Tensor] = []
    if layer.noises:
        noise = list(draw_noise(states[-1], T, (layer.noises, B, N), x.device)[0].double().unbind(1))
    y, _ = layer.over_time(x, states)
    expected = run(layer, x, noise, quant)
    torch.testing.assert_close(y, expected)
    assert not quant or (y != 0).double().mean() > 0.05
    torch.testing.assert_close(gradients(y, x, layer), gradients(expected, x, layer))


def assert_compiled_and_reference_agree(name: str, quant: str, dtype: torch.dtype, tolerance: float) -> None:
    layer, x = layer_of(name, quant, dtype), inputs(dtype)
    states = layer.initial_states(x, generator=torch.Generator().manual_seed(7))
    expected, last = layer.over_time(x, states, backend="reference")
    y, compiled_last = layer.over_time(x, states, backend="cpu")
    torch.testing.assert_close((y, compiled_last), (expected, last), rtol=tolerance, atol=tolerance)
    found = gradients(y, x, layer)
    torch.testing.assert_close(found, gradients(expected, x, layer), rtol=10 * tolerance, atol=10 * tolerance)


def test_compiled_and_reference_agree_for_a_variant_drawn_at_random() -> None:
    variant = random.SystemRandom().choice(VARIANTS)
    print(variant)
    assert_compiled_and_reference_agree(*variant, torch.float32, 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
@pytest.mark.parametrize(("name", "quant"), VARIANTS)
def test_compiled_and_reference_agree(name: str, quant: str, dtype: torch.dtype, tolerance: float) -> None:
    assert_compiled_and_reference_agree(name, quant, dtype, tolerance)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("name", "quant"), [("LI", ""), ("DSRLITS", "bernoulli"), ("SRLIB", "probabilistic")])
def test_a_gpu_agrees_with_the_cpu_including_noise(name: str, quant: str) -> None:
    layer, x = layer_of(name, quant, torch.float32, backend="auto"), inputs(torch.float32)
    states = layer.initial_states(x, generator=torch.Generator().manual_seed(7))
    expected = layer.over_time(x, states)[0]
    y = layer.cuda().over_time(x.cuda(), tuple(state.cuda() for state in states))[0]
    torch.testing.assert_close(y.cpu(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "quant"), VARIANTS)
def test_step_by_step_in_chunks_and_in_one_pass_are_equal(name: str, quant: str) -> None:
    layer, x = layer_of(name, quant), inputs()
    results = []
    for chunks in ([T], [4, 1, 4], None):
        reset_states(layer)
        torch.manual_seed(5)
        if chunks is None:
            y = torch.stack([layer(step) for step in x])
        else:
            y = torch.cat([unroll(layer, piece) for piece in x.split(chunks)])
        results.append((y, gradients(y, x, layer), get_states(layer)))
    for other in results[1:]:
        assert torch.equal(other[0], results[0][0])
        torch.testing.assert_close(other[1:], results[0][1:])


@given(st.data())
@settings(max_examples=40)
def test_any_shape_axis_and_chunks_equal_one_pass_over_plain_features(data: st.DataObject) -> None:
    name, quant = data.draw(st.sampled_from([each for each in VARIANTS if each[1] in ("", "round", "identity")]))
    others = data.draw(st.lists(st.integers(1, 3), max_size=3))
    axis = data.draw(st.integers(0, len(others)))
    dim = data.draw(st.sampled_from([axis, axis - len(others) - 1]))
    lengths = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    x = 2 * torch.randn(sum(lengths), *others, N, dtype=torch.float64)
    moved = x.movedim(-1, axis + 1)  # the order in memory is not that of the indices
    moved = moved.contiguous() if data.draw(st.booleans()) else moved
    expected = layer_of(name, quant).over_time(x.flatten(1, -2) if others else x.unsqueeze(1))[0].reshape(x.shape)
    layer = layer_of(name, quant, dim=dim)
    found = torch.cat([unroll(layer, piece) for piece in moved.split(lengths)])
    torch.testing.assert_close(found, expected.movedim(-1, axis + 1))


@pytest.mark.parametrize("name", ["LI", "LIB", "DSRLITS"])
@pytest.mark.parametrize(
    ("dim", "move"),
    [(-3, (0, 1, 4, 2, 3)), (1, (0, 1, 4, 2, 3)), (-2, (0, 1, 2, 4, 3)), (0, (0, 4, 1, 2, 3)), (3, (0, 1, 2, 3, 4))],
)
def test_the_neurons_may_lie_along_any_dim(name: str, dim: int, move: tuple[int, ...]) -> None:
    quant = "" if name == "LI" else "round"
    layer, other = layer_of(name, quant), layer_of(name, quant, dim=dim)
    x = inputs(shape=(T, B, 2, 4, N))
    expected, states = layer.over_time(x)
    y, moved = other.over_time(x.permute(move))
    assert torch.equal(y, expected.permute(move))
    back = [move.index(n) - 1 for n in range(1, 5)]
    torch.testing.assert_close(tuple(state.permute(back) for state in moved), states)
    for key, gradient in gradients(y.permute([move.index(n) for n in range(5)]), x, other).items():
        torch.testing.assert_close(gradient, gradients(expected, x, layer)[key])


def test_channels_last_images_stay_channels_last() -> None:
    layer, x = layer_of("LIB", "round", dim=-3), inputs(shape=(T, B, N, 4, 2))
    last = x.detach().flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (T, B)).requires_grad_()
    y = unroll(layer, last)
    reset_states(layer)
    expected = unroll(layer, x)
    assert torch.equal(y, expected)
    assert y.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(gradients(y, last, layer), gradients(expected, x, layer))


@pytest.mark.parametrize("name", CLASSES)
def test_smooth_layers_pass_gradcheck(name: str) -> None:
    layer = layer_of(name, "identity" if name in FIRING else "")
    x = inputs()[:3, :1]
    x = torch.where(x == 0, 0.3, x).detach().requires_grad_()
    keys, values = zip(*layer.named_parameters(), strict=True)

    def call(x: Tensor, *values: Tensor) -> Tensor:
        reset_states(layer)
        return torch.func.functional_call(layer, dict(zip(keys, values, strict=True)), (x,), {"whole_sequence": True})

    assert torch.autograd.gradcheck(call, (x, *values))


@pytest.mark.parametrize("name", CLASSES)
def test_classes_have_a_signature_and_equations_and_can_be_copied(name: str) -> None:
    layer = layer_of(name)
    parameters = inspect.signature(CLASSES[name]).parameters
    assert {"num_neurons", "dim", "backend", *layer.constraints} <= set(parameters)
    assert ("spike_fn" in parameters) == (name in FIRING)
    assert "β" in CLASSES[name].__doc__ and set(dir(layer)) >= set(layer.constraints)
    x = inputs()
    layer(x[0])
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    others = (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), torch.load(file, weights_only=False))
    expected = layer(x[1])
    for other in others:
        assert type(other) is CLASSES[name] and torch.equal(other(x[1]), expected)


@pytest.mark.parametrize("spike_fn", SPIKE_FUNCTIONS)
def test_every_spike_function_is_chosen_by_name(spike_fn: str) -> None:
    layer, x = layer_of("LIT", "bernoulli", spike_fn=spike_fn), inputs()
    y = unroll(layer, x)
    assert set(y.unique().tolist()) <= {-1.0, 0.0, 1.0} and bool(gradients(y, x, layer)["x"].any())
    assert (layer.noises == 0) == (spike_fn != "sigmoid4x")


def test_parameters_given_as_numbers_or_tensors_are_read_as_given() -> None:
    beta = torch.tensor([0.4, 0.5, 0.9, 0.99, 0.999])
    layer = CLASSES["DLITS"](5, beta, 0.25, neg_threshold_rank=0, learn_pos_scale=False, pos_threshold=3.0)
    torch.testing.assert_close(layer.pos_beta, beta, rtol=2e-7, atol=0)
    assert torch.equal(layer.neg_beta, torch.full((5,), 0.25)) and layer.neg_threshold == 1.0
    assert torch.equal(layer.raw_pos_beta.sigmoid(), layer.pos_beta)
    assert layer.pos_threshold[0] == 3.0 and layer.raw_neg_threshold.shape == ()
    assert "pos_scale" in dict(layer.named_buffers()) and "raw_pos_beta" in dict(layer.named_parameters())
    assert set(layer.state_dict()) == {"raw_pos_beta", "raw_neg_beta", "raw_pos_threshold", "raw_neg_threshold",
                                       "pos_scale", "neg_scale"}  # fmt: skip


def test_parameters_can_be_set_in_place() -> None:
    layer = CLASSES["RLIB"](3, learn_gamma=False)
    layer.gamma = 0.75
    assert layer.gamma.tolist() == [0.75] * 3 and not layer.gamma.requires_grad
    raw, weight = layer.raw_beta, layer.rec_weight
    layer.beta, layer.rec_weight, layer.threshold = 0.5, torch.tensor([1.0, 2.0, 3.0]), 0.25
    assert layer.raw_beta is raw and layer.rec_weight is weight and raw.requires_grad
    assert layer.beta.tolist() == [0.5] * 3 and weight.tolist() == [1.0, 2.0, 3.0] and layer.threshold[0] == 0.25
    scaled = CLASSES["LITS"](3, learn_pos_scale=False)
    scaled.pos_scale = 2.0
    assert dict(scaled.named_buffers())["pos_scale"].tolist() == [2.0] * 3
    with pytest.raises(ValueError, match="beta must be between 0 and 1"):
        layer.beta = 1.5
    assert layer.beta.tolist() == [0.5] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"betta": 0.5}, "LIB: .*betta.*beta, threshold"),
        ({"beta": 1.0}, "LIB: beta must be between 0 and 1.*learn_beta=False"),
        ({"threshold": 0.0}, "LIB: threshold must be greater than 0"),
        ({"beta": torch.ones(3)}, r"LIB: beta.*\(5,\).*\(3,\)"),
        ({"beta_rank": 2}, "beta_rank must be 0"),
        ({"spike_fn": "relu"}, "unknown spike_fn 'relu'; choose one of sigmoid4x"),
        ({"quant_fn": "floor"}, "unknown quant_fn 'floor'; choose one of bernoulli"),
        ({"quant_fn": None}, "unknown quant_fn None; choose one of bernoulli"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        CLASSES["LIB"](5, **arguments)


def test_a_wrong_number_of_neurons_is_refused() -> None:
    with pytest.raises(ValueError, match=r"LIB.*num_neurons=16.*dim=-3.*\(2, 32, 4, 4\)"):
        CLASSES["LIB"](16, dim=-3)(torch.zeros(2, 32, 4, 4))


def test_a_decay_of_one_integrates() -> None:
    layer = CLASSES["LI"](1, 1.0, learn_beta=False)
    assert torch.equal(unroll(layer, torch.ones(5, 1, 1)).flatten(), torch.arange(1.0, 6.0))


def test_nan_passes_through_the_split_of_signs() -> None:
    x = inputs().detach()
    x[2, 0, 0] = torch.nan
    assert unroll(layer_of("DSLI"), x)[2:, 0, 0].isnan().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_inputs_are_computed_in_float32(dtype: torch.dtype) -> None:
    layer = layer_of("DRLIT", "bernoulli", torch.float32)
    x = inputs().detach().to(dtype)
    torch.manual_seed(0)
    y = unroll(layer, x)
    reset_states(layer)
    torch.manual_seed(0)
    assert y.dtype == dtype and torch.equal(y.float(), unroll(layer, x.float()))
    reset_states(layer.to(dtype))
    assert unroll(layer, x).dtype == dtype and get_states(layer)["pos_mem"].dtype == torch.float32


@pytest.mark.parametrize("name", CLASSES)
def test_the_kind_module_and_signature_of_a_class_match_its_name(name: str) -> None:
    found = CLASSES[name]
    assert (found.__name__, found.kind.name) == (name, name)
    assert len(CLASSES) == len(KINDS) == 32 and found.kind == KINDS[list(CLASSES).index(name)]
    assert name in spiking.__all__ and getattr(spiking, name) is found
    assert found.__module__ == "bionets.layers.spiking.leaky_integrators"
    assert list(inspect.signature(found).parameters) == list(inspect.signature(leaky_integrator(found.kind)).parameters)


def test_a_user_class_may_derive_from_a_leaky_integrator() -> None:
    class Slow(LIB):
        def __init__(self, num_neurons: int) -> None:
            super().__init__(num_neurons, 0.99, learn_beta=False)

    torch.testing.assert_close(Slow(N).beta, torch.full((N,), 0.99))
    assert list(inspect.signature(Slow).parameters) == ["num_neurons"]


@pytest.mark.parametrize("name", FIRING)
def test_a_bias_shifts_the_thresholds_but_not_the_reset(name: str) -> None:
    bias = torch.linspace(-0.2, 0.3, N, dtype=torch.float64)
    layer, plain = layer_of(name, "identity", bias=bias.float()), layer_of(name, "identity")
    layer.load_state_dict(plain.state_dict(), strict=False)
    layer.bias = bias
    for threshold, sign in (("threshold", -1), ("pos_threshold", -1), ("neg_threshold", 1)):
        if threshold in plain.constraints:
            setattr(plain, threshold, getattr(layer, threshold).detach() + sign * bias)
    x = inputs()[:1]
    (y, states), (expected, others) = layer.over_time(x), plain.over_time(x)
    torch.testing.assert_close(y, expected)
    membrane, other = (
        sum(each for key, each in zip(layer.state_names, found, strict=True) if "mem" in key)
        for found in (states, others)
    )
    if not layer.kind.ternary:  # else o₊ and o₋ cannot be derived from y
        torch.testing.assert_close(membrane, other - y[0] * bias)
    (gradient,) = torch.autograd.grad(y.sum(), layer.bias)
    assert (gradient != 0).all()


@pytest.mark.parametrize("name", FIRING)
def test_a_layer_without_bias_has_no_bias_parameter(name: str) -> None:
    assert "bias" not in dict(CLASSES[name](N).named_parameters())
    learned = dict(CLASSES[name](N, bias=0.0, bias_rank=0).named_parameters())["bias"]
    assert learned.shape == ()
    assert "bias" in dict(CLASSES[name](N, bias=0.0, learn_bias=False).named_buffers())
