"""The network that learns digits without labels: learning, its absence, votes, labels from training data alone."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torchmetrics import MetricCollection

from bionets.models import STDPModel
from bionets.models.stdp import poisson_spikes
from bionets.models.votes import Votes
from bionets.tasks import TaskSpec

IMAGE = TaskSpec("image_to_class", input_size=64, output_size=2, image_shape=(1, 8, 8))
SPIKES = TaskSpec("sequence_to_class", input_size=64, output_size=2, steps=50, spikes=True)
ROWS = TaskSpec("sequence_to_class", input_size=8, output_size=2, steps=8)


def small(spec: TaskSpec = IMAGE, **keys: object) -> STDPModel:
    torch.manual_seed(0)
    return STDPModel(spec, **{"hidden_size": 6, "max_rate": 200.0, "threshold_increase": 0.5, **keys})


def bars(samples: int) -> tuple[Tensor, Tensor]:
    """Images with a bright upper half (class 0) or left half (class 1), and a little noise."""
    random = torch.Generator().manual_seed(1)
    label = torch.arange(samples) % 2
    upper, left = torch.zeros(2, 8, 8).unbind()
    upper[:4], left[:, :4] = 1, 1
    image = torch.stack([upper, left])[label] * 0.8 + 0.1 * torch.rand(samples, 8, 8, generator=random)
    return image.unsqueeze(1), label


def test_neurons_learn_the_patterns_of_the_images_and_classify_them() -> None:
    model, (images, labels) = small(), bars(80)
    for image in images.split(1):
        model.counts(image)
    model.eval()
    model.votes.observe(model.counts(images[:40]), labels[:40])
    assert (model(images[40:]).argmax(1) == labels[40:]).float().mean() > 0.9
    filters = model.weight.view(6, 8, 8)
    corners = torch.stack([filters[:, :4, 4:].mean((1, 2)), filters[:, 4:, :4].mean((1, 2))])
    assert (corners.max(0).values > 3 * corners.min(0).values).sum() >= 4  # most neurons took one of the two


def test_weights_and_thresholds_change_only_in_training() -> None:
    model, (images, _) = small(), bars(4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.eval()
    model(images)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.train()
    model.counts(images[:1])
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"network.connections.input_excitatory.weight", "network.neurons.excitatory.adaptation"}


def test_the_counts_of_a_sample_do_not_depend_on_other_samples() -> None:
    model = small(SPIKES).eval()
    x = (torch.rand(50, 3, 64, generator=torch.Generator().manual_seed(2)) < 0.15).float()
    counts = model.counts(x)
    assert counts.sum() > 0
    assert torch.equal(model.counts(x), counts)
    assert torch.equal(torch.cat([model.counts(x[:, n : n + 1]) for n in range(3)]), counts)


def test_a_dim_image_is_shown_again_brighter(monkeypatch: pytest.MonkeyPatch) -> None:
    model, shown = small().eval(), []
    answer = model._answer
    monkeypatch.setattr(model, "_answer", lambda spikes: shown.append(spikes) or answer(spikes))
    images, _ = bars(2)
    images[1] *= 0.0
    model.counts(images)
    assert [spikes.shape[1] for spikes in shown] == [2, 1, 1, 1, 1]  # the black one, four times more


def test_an_image_that_is_shown_again_has_the_given_brightness(monkeypatch: pytest.MonkeyPatch) -> None:
    model, shares = small(steps=2000).eval(), []
    monkeypatch.setattr(
        model, "_answer", lambda spikes: shares.append(float(spikes.float().mean())) or torch.zeros(1, 6)
    )
    model.counts(torch.full((1, 1, 8, 8), 0.5))  # 100 spikes per second, or 0.1 in each step
    assert shares == pytest.approx([0.1, 0.15, 0.2, 0.25, 0.3], rel=0.03)


def test_an_image_is_shown_again_only_with_fewer_spikes_than_required(monkeypatch: pytest.MonkeyPatch) -> None:
    model, shown = small(min_spikes=5).eval(), []
    answers = iter([torch.tensor([[2, 3], [4, 0], [0, 6]]), torch.tensor([[0, 5]])])
    monkeypatch.setattr(model, "_answer", lambda spikes: shown.append(spikes.shape[1]) or next(answers))
    assert model.counts(bars(3)[0]).tolist() == [[2, 3], [0, 5], [0, 6]]
    assert shown == [3, 1]


def test_labels_come_from_whole_batches_of_training_samples_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (images, labels) = small(label_size=3).eval(), bars(6)
    batches = list(zip(images.split(2), labels.split(2), strict=True))
    monkeypatch.setattr(STDPModel, "task", SimpleNamespace(batch_size=2, train_batches=lambda epoch: iter(batches)))
    model.votes.observe(torch.full((6, 6), 9), labels)  # responses before the weights changed
    model.random = torch.Generator().manual_seed(0)
    model.assign_labels()
    model.random.manual_seed(0)
    expected = Votes(6, 2)
    for x, label in batches[:2]:
        expected.observe(model.counts(x), label)
    assert expected.spikes.any()
    torch.testing.assert_close(dict(model.votes.state_dict()), dict(expected.state_dict()))


def test_the_votes_in_training_forget_samples_before_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a window of 4 samples, a batch of 2 leaves half of the counts of the samples before it."""
    model = small()
    seen = iter(torch.tensor([[8, 0, 0, 0, 0, 0], [0, 4, 0, 0, 0, 0], [0, 0, 2, 0, 0, 0], [0, 0, 0, 1, 0, 0]]).split(1))
    monkeypatch.setattr("bionets.models.stdp.VOTE_WINDOW", 4)
    monkeypatch.setattr(model, "counts", lambda sample: next(seen))
    monkeypatch.setattr(model, "count_step", lambda: None)
    monkeypatch.setattr(STDPModel, "task", SimpleNamespace(loss=lambda prediction, target: prediction.sum()))
    images, labels = bars(4)
    for batch in zip(images.split(2), labels.split(2), strict=True):
        model.training_step(batch, 0)
    assert model.votes.spikes.tolist() == [[4, 0, 2, 0, 0, 0], [0, 2, 0, 1, 0, 0]]
    assert model.votes.samples.tolist() == [1.5, 1.5]


def test_the_constants_are_those_of_diehl_and_cook() -> None:
    """The table of their code: voltages in mV, time constants and refractory periods in ms."""
    network = small(inhibition=17.5, mean_weight=0.2, threshold_increase=0.05).network
    constants = {
        "excitatory": {"rest": -65, "reset": -65, "threshold": -52, "refractory": 5, "tau": 100},
        "inhibitory": {"rest": -60, "reset": -45, "threshold": -40, "refractory": 2, "tau": 10},
    }
    for name, published in constants.items():
        neurons = network.neurons[name]
        found = {each: float(getattr(neurons, each)[0]) for each in ("rest", "reset", "threshold", "refractory")}
        found["tau"] = -1 / float(neurons.voltage_decay[0].double().log())
        assert found == pytest.approx(published, rel=1e-4)
    assert float(network.neurons["excitatory"].adaptation_gain[0]) == pytest.approx(0.05)
    for name in ("input", "excitatory"):
        neurons = network.neurons[name]
        assert neurons.nearest_spike
        assert -1 / float(neurons.trace_decay[0].double().log()) == pytest.approx(20, rel=1e-4)
    network.normalise()
    weight = network.connections["input_excitatory"].weight
    torch.testing.assert_close(weight.mean(0), torch.full((6,), 0.2))


def test_the_counts_of_several_presentations_are_added() -> None:
    model, (images, labels) = small(presentations=3).eval(), bars(4)
    model.votes.observe(model.counts(images), labels)
    model.random = torch.Generator().manual_seed(0)
    each = [model.counts(images) for _ in range(3)]
    model.random.manual_seed(0)
    torch.testing.assert_close(model(images), model.votes(sum(each)))
    assert not torch.equal(each[0], each[1])


@pytest.mark.parametrize(
    "change", [lambda x: x * 255, lambda x: x - 0.5, lambda x: (x * 255).byte(), lambda x: x * torch.nan]
)
def test_pixels_that_are_not_between_0_and_1_are_refused(change: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(ValueError, match=r"needs pixels from 0 \(black\) to 1 \(white\)"):
        small().counts(change(bars(2)[0]))


def test_poisson_spikes_have_the_given_probabilities() -> None:
    chances = torch.tensor([[0.0, 0.5, 0.1], [0.0, 0.0, 1.0]])
    spikes = poisson_spikes(chances, 4000, torch.Generator().manual_seed(0))
    assert spikes.dtype == torch.bool and spikes.shape == (4000, 2, 3)
    torch.testing.assert_close(spikes.float().mean(0), chances, atol=0.03, rtol=0)


def test_votes_equal_their_definitions() -> None:
    counts = torch.tensor([[4, 0, 1], [2, 0, 1], [0, 6, 1]])
    labels = torch.tensor([0, 0, 1])
    sample = torch.tensor([[2, 1, 3]])
    assigned = Votes(3, 2, "assigned")
    assigned.observe(counts, labels)
    assert assigned.assigned.tolist() == [0, 1, 0]
    torch.testing.assert_close(assigned(sample), torch.tensor([[2.5, 1.0]]))  # (2 + 3) / 2, and 1
    proportion = Votes(3, 2)
    proportion.observe(counts, labels)
    p = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]]) + 1e-3
    torch.testing.assert_close(proportion(sample), sample.float() @ p.log().T)
    proportion.forget()
    assert proportion.assigned.tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: small(ROWS), "does not fit"),
        (lambda: small(TaskSpec("sequence_to_value", 2, 3)), "does not fit"),
        (lambda: small(hidden_size=0), "model.hidden_size"),
        (lambda: small(vote="best"), "model.vote=best"),
        (lambda: small(max_rate=600.0), "model.max_rate"),
        (lambda: small(mean_weight=2.0), "model.mean_weight"),
        (lambda: small(presentations=0), "model.presentations"),
        (lambda: small(SPIKES, presentations=2), "model.presentations is for images"),
    ],
)
def test_incompatible_tasks_and_invalid_options_are_refused(build: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("vote", ["assigned", "proportion"])
def test_votes_in_double_precision_are_those_of_single_precision(vote: str) -> None:
    votes, counts = Votes(3, 2, vote), torch.tensor([[4.0, 0.0, 1.0], [0.0, 3.0, 1.0]])
    votes.observe(counts, torch.tensor([0, 1]))
    single = votes(counts)
    torch.testing.assert_close(votes.double()(counts.double()), single.double())


def test_mean_counts_do_not_change_when_old_samples_are_forgotten_in_part() -> None:
    votes = Votes(2, 3)
    votes.observe(torch.tensor([[4.0, 0.0], [0.0, 4.0]]), torch.tensor([0, 1]))
    before = votes.means
    votes.forget(keep=0.25)
    assert torch.equal(votes.means, before) and not before[2].any()


def test_every_validation_presents_the_same_spikes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The labels are assigned before, with as many random numbers as the training samples need."""
    model, (images, labels) = small().eval(), bars(4)
    found = []
    for batches in (2, 1):
        task = SimpleNamespace(
            batch_size=2,
            train_batches=lambda epoch, count=batches: iter([(images, labels)] * count),
            metrics=lambda: MetricCollection({}),
        )
        monkeypatch.setattr(STDPModel, "task", task)
        monkeypatch.setattr(STDPModel, "trainer", SimpleNamespace(state=SimpleNamespace(fn="fit"), current_epoch=0))
        model.on_validation_epoch_start()
        found.append(torch.rand(3, generator=model.random))
    assert torch.equal(*found)
