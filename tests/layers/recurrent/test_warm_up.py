"""The warm-up gives a layer many reachable stable states; the VAA counts them."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from bionets.layers import BRC, NBRC, SpatialRecurrent, variability_amongst_attractors, warm_up


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def inputs(batch_first: bool = False) -> list[Tensor]:
    random = generator()
    batches = [torch.randn(12, 24, 2, generator=random) for _ in range(3)]
    return [x.transpose(0, 1) for x in batches] if batch_first else batches


def reachable(layer: nn.Module) -> float:
    """The VAA of the states that sequences reach, after 2,000 steps of one constant input; a mean over three inputs."""
    with torch.no_grad():
        _, h = layer(torch.randn(12, 24, 2, generator=generator()))
        ends = [layer(torch.full((2000, 24, 2), value), h)[1].transpose(0, 1).flatten(1) for value in (-0.5, 0.0, 0.5)]
    return sum(variability_amongst_attractors(each).item() for each in ends) / 3


def test_the_vaa_counts_different_states() -> None:
    states = torch.tensor([[0.0, 1.0], [0.0, 1.00001], [5.0, 1.0], [0.0, -1.0]])
    assert variability_amongst_attractors(states) == 3 / 4
    three = torch.tensor([[0.0], [0.0], [1.0], [1.0], [1.0], [2.0], [3.0]], dtype=torch.float64)
    assert variability_amongst_attractors(three).item() == pytest.approx(4 / 7, abs=1e-15)
    assert variability_amongst_attractors(states, tolerance=1e-6) == 1
    assert variability_amongst_attractors(torch.tensor([[0.0], [0.5]]), tolerance=0.5) == 1
    assert variability_amongst_attractors(states, tolerance=3.0) == pytest.approx((3 * 1 / 3 + 1) / 4)


def test_the_differentiable_vaa_equals_its_definition_and_passes_gradcheck() -> None:
    states = torch.randn(5, 3, dtype=torch.float64, generator=generator(), requires_grad=True)
    total = 0.0
    for i in range(5):
        distances = [(states[i].tanh() - states[j].tanh()).norm().item() for j in range(5)]
        total += 1 / sum(min(1.0, 0.1 / d) if d else 1.0 for d in distances)
    found = variability_amongst_attractors(states, 0.1, differentiable=True)
    assert found.item() == pytest.approx(total / 5)
    assert torch.autograd.gradcheck(lambda s: variability_amongst_attractors(s, 0.1, differentiable=True), states)


def test_equal_states_have_a_finite_gradient() -> None:
    states = torch.zeros(4, 3, requires_grad=True)
    variability_amongst_attractors(states, differentiable=True).backward()
    assert states.grad is not None and bool(states.grad.isfinite().all())


@pytest.mark.parametrize(("kind", "seeds"), [(nn.RNN, 3), pytest.param(nn.GRU, 8, marks=pytest.mark.slow)])
def test_the_warm_up_gives_a_layer_with_one_stable_state_many(kind: type[nn.RNNBase], seeds: int) -> None:
    """A mean over seeds, because the last bits of a library decide how many stable states a single layer gets."""
    after = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        layer = kind(2, 16)
        assert reachable(layer) == pytest.approx(1 / 24)
        random = torch.Generator().manual_seed(seed)
        reached = warm_up(layer, [torch.randn(12, 32, 2, generator=random) for _ in range(5)], generator=random)
        assert len(reached) == 100
        after.append(reachable(layer))
    assert sum(after) / seeds > 0.2


def test_the_same_generator_gives_the_same_weights_in_every_layout() -> None:
    weights = []
    for first, spatial in ((False, False), (True, False), (False, False), (True, True)):
        torch.manual_seed(0)
        layer = nn.GRU(2, 5, num_layers=2, batch_first=first)
        warm_up(SpatialRecurrent(layer) if spatial else layer, inputs(first), steps=4, longest=5, generator=generator())
        weights.append(nn.utils.parameters_to_vector(layer.parameters()))
    torch.testing.assert_close(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])
    assert torch.equal(weights[1], weights[3])


class Noting(nn.GRU):
    """A GRU of two layers that notes the calls of the warm-up."""

    def __init__(self) -> None:
        super().__init__(2, 3, num_layers=2)
        self.times: list[list[int]] = []  # of packed sequences, which run to random times ...
        self.reached: list[Tensor] = []  # ... and these states
        self.settling: list[tuple[int, Tensor]] = []  # of padded ones: the number of steps, and the initial states

    def forward(self, x: Tensor | PackedSequence, h: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        output, last = super().forward(x, h)
        if isinstance(x, PackedSequence):
            self.times.append(pad_packed_sequence(x)[1].tolist())
            self.reached.append(last)
        else:
            self.settling.append((len(x), h))
        return output, last


def test_sequences_run_to_random_times_and_then_longer_from_step_to_step() -> None:
    layer = Noting()
    warm_up(layer, inputs(), steps=60, longest=8, increment=2, generator=generator())
    assert all(len(set(times)) > 5 for times in layer.times)
    assert {time for times in layer.times for time in times} == set(range(1, 13))
    steps = [time for time, _ in layer.settling[::2]]
    assert steps == [time for time, _ in layer.settling[1::2]] and len(steps) == 60
    assert all(1 <= time <= min(8, 1 + 2 * step) for step, time in enumerate(steps))
    assert min(steps[20:]) <= 2 and max(steps) == 8


def test_only_the_layer_that_is_scored_starts_from_different_states() -> None:
    layer = Noting()
    warm_up(layer, inputs(), steps=3, generator=generator())
    for number, (_, start) in enumerate(layer.settling):
        step, own = divmod(number, 2)
        reached, other = layer.reached[step], 1 - own
        assert torch.equal(start[own], reached[own])
        assert torch.equal(start[other], reached[other, :1].expand_as(start[other]))
        assert not torch.equal(start[own], start[own, :1].expand_as(start[own]))


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_the_score_is_the_mean_over_layers_of_the_vaa_of_all_their_states(kind: type[nn.GRU] | type[nn.LSTM]) -> None:
    torch.manual_seed(0)
    layer, x, random = kind(2, 3, num_layers=2).double(), inputs()[0].double()[:, :5], generator()
    torch.randint(1, 2, (), generator=random)  # in the first step, the states settle for one step
    times, u = torch.randint(1, 13, (5,), generator=random), torch.randn(2, generator=random).double()
    reached = [layer(x[:time, b : b + 1])[1] for b, time in enumerate(times.tolist())]
    states = torch.stack([torch.cat(each) if kind is nn.LSTM else each for each in reached])  # [sequence, state, 1, 3]
    values = []
    for k in range(2):
        own = [k, k + 2] if kind is nn.LSTM else [k]
        settled = []
        for each in states:
            start = states[0].clone()
            start[own] = each[own]
            h = layer(u.view(1, 1, 2), tuple(start.chunk(2)) if kind is nn.LSTM else start)[1]
            settled.append((torch.cat(h) if kind is nn.LSTM else h)[own].flatten())
        values.append(variability_amongst_attractors(torch.stack(settled), 0.03, differentiable=True))
    found = warm_up(layer, [inputs()[0]], steps=1, tolerance=0.03, sequences=5, generator=generator())
    assert found == pytest.approx([torch.stack(values).mean().item()])
    assert 0.3 < found[0] < 0.95


def test_the_first_step_of_adam_has_the_learning_rate_and_is_towards_the_target() -> None:
    changes = []
    for target in (0.0, 1.0):
        torch.manual_seed(0)
        layer = nn.GRU(2, 5)
        before = nn.utils.parameters_to_vector(layer.parameters()).detach().clone()
        warm_up(layer, inputs(), steps=1, lr=3e-3, target=target, tolerance=0.1, generator=generator())
        changes.append(nn.utils.parameters_to_vector(layer.parameters()).detach() - before)
    assert changes[0].abs().max().item() == pytest.approx(3e-3, rel=1e-2)
    torch.testing.assert_close(changes[1], -changes[0], rtol=0, atol=1e-4)


def test_the_warm_up_keeps_mode_and_dropout_and_leaves_no_gradient() -> None:
    layer = NBRC(2, 5, num_layers=2, dropout=0.5).eval()
    warm_up(layer, inputs(), steps=2, generator=generator())
    assert layer.dropout == 0.5 and not layer.training
    assert all(parameter.grad is None for parameter in layer.parameters())


def test_bidirectional_layers_and_missing_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="bidirectional"):
        warm_up(BRC(2, 5, bidirectional=True), inputs())
    with pytest.raises(ValueError, match="bidirectional"):
        warm_up(SpatialRecurrent(NBRC(2, 5, bidirectional=True)), inputs())
    with pytest.raises(ValueError, match="no batch"):
        warm_up(BRC(2, 5), [])
    with pytest.raises(ValueError, match="no parameters that can be trained"):
        warm_up(BRC(2, 5).requires_grad_(False), inputs())


def test_a_single_batch_that_is_not_in_a_list_and_empty_batches_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a list of tensors \[T, B, I\], got one of shape \[3, 2\]"):
        warm_up(BRC(2, 5), torch.randn(10, 3, 2))
    for shape in ((0, 3, 2), (10, 0, 2)):
        with pytest.raises(ValueError, match="none may be empty"):
            warm_up(BRC(2, 5), [torch.zeros(shape)])
