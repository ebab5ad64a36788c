"""Several image tasks in one: presentation, labels and units, pairs, continual learning, and refused options."""

from pathlib import Path

import pytest
import torch

from bionets.tasks import MultiImage
from bionets.tasks.multi_image import unit_of

from . import idx_files

PRESENTATIONS = ("sequential", "concatenate", "mix")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    idx_files.write(folder, "mnist")
    idx_files.write(folder, "fashion_mnist", train=50, test=20)
    idx_files.write(folder / "other", "mnist")
    idx_files.write(folder / "other", "kmnist", side=32)
    return folder


def make(data_dir: Path, **keys: object) -> MultiImage:
    sizes = {"train_size": 40, "val_size": 10, "test_size": 20, "batch_size": 8, "epochs": 4}
    return MultiImage(**{"data_dir": data_dir, **sizes, **keys})


def images_of(task: MultiImage, which: int) -> torch.Tensor:
    """The first batch of a task's own test images, from 0 to 1."""
    return task._sets("test")[which][0][: task.batch_size].float() / 255


@pytest.mark.parametrize("presentation", PRESENTATIONS)
def test_images_and_labels_follow_the_presentation(data_dir: Path, presentation: str) -> None:
    task = make(data_dir, presentation=presentation)
    batches = list(task.test_dataloader()[0])
    x, target = batches[0]
    first, second = images_of(task, 0), images_of(task, 1)
    assert x.shape == (8, *task.spec.image_shape) and task.spec.output_size == 20 and target.shape == (8, 2)
    labels = torch.arange(8)
    if presentation == "sequential":
        assert torch.equal(x[:, 0], first) and torch.equal(batches[-1][0][:, 0], task._sets("test")[1][0][-8:] / 255)
        assert torch.equal(target[:, 0], labels) and target[:, 1].eq(-1).all() and len(batches) == 5
        assert batches[-1][1][:, 0].eq(-1).all()
    else:
        together = torch.stack([first, second], 1)
        torch.testing.assert_close(x, together if presentation == "concatenate" else together.sum(1, keepdim=True))
        assert torch.equal(target, labels.unsqueeze(1).expand(8, 2)) and len(batches) == 3


@pytest.mark.parametrize("sampling", ["random", "task"])
@pytest.mark.parametrize("presentation", PRESENTATIONS)
def test_sizes_of_the_sets_are_numbers_of_inputs(data_dir: Path, presentation: str, sampling: str) -> None:
    """``sequential`` shows each image alone; with sampling=task, an epoch of training has one task."""
    if presentation != "sequential" and sampling == "task":
        pytest.skip("sampling=task shows one task at a time")
    task = make(data_dir, presentation=presentation, sampling=sampling)
    inputs = [len(each[1]) for each in (task.train_data(0), task.part("val"), task.part("test"))]
    assert [task.train_size, task.val_size, task.test_size] == inputs
    assert inputs[1:] == ([20, 40] if presentation == "sequential" else [10, 20])


def test_loss_over_shown_uses_only_the_units_of_the_shown_task(data_dir: Path) -> None:
    task = make(data_dir, presentation="sequential", loss_over="shown", batch_size=80)
    x, target = next(iter(task.train_batches(0)))
    assert {row.argmax().item() for row in target} == {0, 1}  # images of both tasks
    prediction = torch.randn(len(x), 20, requires_grad=True)
    expected, right = [], 0
    for scores, label in zip(prediction, target, strict=True):
        shown = int(label.argmax())
        own = scores[shown::2]  # unit u belongs to task u mod 2
        expected.append(torch.logsumexp(own, 0) - own[label[shown]])
        right += int(own.argmax() == label[shown])
    loss = task.loss(prediction, target)
    torch.testing.assert_close(loss, torch.stack(expected).mean())
    (gradient,) = torch.autograd.grad(loss, prediction)
    assert all(not row[1 - int(label.argmax()) :: 2].any() for row, label in zip(gradient, target, strict=True))
    metrics = task.metrics()
    metrics.update(prediction.detach(), target)
    assert metrics.compute()["accuracy"] == pytest.approx(right / len(x))


@pytest.mark.parametrize("presentation", PRESENTATIONS)
@pytest.mark.parametrize("which", [0, 1])
def test_a_task_can_be_shown_alone(data_dir: Path, presentation: str, which: int) -> None:
    task = make(data_dir, presentation=presentation)
    x, target = next(iter(task.alone(which)))
    assert x.shape == (8, *task.spec.image_shape)
    channel = which if presentation == "concatenate" else 0
    assert torch.equal(x[:, channel], images_of(task, which))
    torch.testing.assert_close(x.sum(), x[:, channel].sum())
    assert target[:, which].ge(0).all() and target[:, 1 - which].eq(-1).all()


@pytest.mark.parametrize("presentation", PRESENTATIONS)
def test_correct_predictions_have_zero_loss_and_full_accuracy(data_dir: Path, presentation: str) -> None:
    task = make(data_dir, presentation=presentation)
    metrics, blind = task.metrics(), task.metrics()
    for _, target in task.test_dataloader()[0]:
        units = torch.arange(2) + 2 * target
        right = torch.zeros(len(target), 20)
        right[(target >= 0).nonzero()[:, 0], units[target >= 0]] = 50.0
        assert task.loss(right, target) < 1e-6
        metrics.update(right, target)
        blind.update(torch.zeros_like(right), target)
    assert set(metrics.compute()) == {"accuracy", "accuracy_mnist", "accuracy_fashion_mnist"}
    assert all(value == 1 for value in metrics.compute().values())
    assert blind.compute()["accuracy_mnist"] == 0.1


def test_the_accuracy_of_a_task_compares_its_own_units_and_the_total_compares_all(data_dir: Path) -> None:
    metrics = make(data_dir).metrics()
    prediction = torch.zeros(1, 20)
    prediction[0, 2 * 3] = 1.0  # label 3 of mnist, and the highest of mnist
    prediction[0, 2 * 7 + 1] = 2.0  # but fashion_mnist is louder
    target = torch.tensor([[3, -1], [-1, 7]])
    metrics.update(prediction.expand(2, 20), target)
    assert {name: value.item() for name, value in metrics.compute().items()} == {
        "accuracy": 0.5,
        "accuracy_mnist": 1.0,
        "accuracy_fashion_mnist": 1.0,
    }
    assert unit_of(target).tolist() == [6, 15]


def test_the_loss_of_several_images_is_the_mean_over_their_tasks(data_dir: Path) -> None:
    prediction, target = torch.randn(6, 20), torch.randint(10, (6, 2))
    each = [torch.nn.functional.cross_entropy(prediction[:, task::2], target[:, task]) for task in (0, 1)]
    torch.testing.assert_close(make(data_dir, presentation="mix").loss(prediction, target), sum(each) / 2)


def test_labels_are_taken_modulo_their_number(data_dir: Path) -> None:
    task = make(data_dir, labels=3)
    assert task.spec.output_size == 6
    assert torch.equal(task._sets("test")[0][1], torch.arange(20) % 10 % 3)


def test_short_sets_are_repeated_within_their_split(data_dir: Path) -> None:
    task = make(data_dir, train_size=50, test_size=30)
    (train, _), (repeated, labels) = task._sets("train")
    assert len(train) == len(repeated) == len(labels) == 50
    assert len(train.flatten(1).unique(dim=0)) == 50 and len(repeated.flatten(1).unique(dim=0)) == 40
    test = task._sets("test")[1][0]
    assert torch.equal(test[:20].flatten(1).unique(dim=0), test.flatten(1).unique(dim=0)) and len(test) == 30
    for which in (0, 1):
        splits = [task._sets(split)[which][0].flatten(1).unique(dim=0) for split in ("train", "val", "test")]
        assert len(torch.cat(splits).unique(dim=0)) == sum(map(len, splits))


@pytest.mark.parametrize("presentation", PRESENTATIONS)
def test_an_epoch_depends_only_on_seed_and_epoch_number(data_dir: Path, presentation: str) -> None:
    def epoch_of(epoch: int, **keys: object) -> torch.Tensor:
        return torch.cat([x for x, _ in make(data_dir, presentation=presentation, **keys).train_batches(epoch)])

    assert torch.equal(epoch_of(1), epoch_of(1))
    assert not torch.equal(epoch_of(1), epoch_of(2)) and not torch.equal(epoch_of(1), epoch_of(1, seed=1))
    assert len(epoch_of(0)) == (80 if presentation == "sequential" else 40)


@pytest.mark.parametrize("presentation", ["concatenate", "mix"])
def test_images_are_paired_differently_in_every_epoch(data_dir: Path, presentation: str) -> None:
    task = make(data_dir, presentation=presentation)
    pairs = [{tuple(row.tolist()) for row in task.train_data(epoch)[0].flatten(2).double().mean(2)} for epoch in (0, 1)]
    assert len(pairs[0] | pairs[1]) > 60
    labels = [task.train_data(epoch)[1].sum(0).tolist() for epoch in (0, 1)]
    assert labels[0] == labels[1]


def test_sampling_by_task_shows_one_task_after_the_other(data_dir: Path) -> None:
    def tasks_of(**keys: object) -> list[int | None]:
        return [make(data_dir, **keys).task_of_epoch(epoch) for epoch in range(4)]

    assert tasks_of() == [None] * 4
    assert tasks_of(sampling="task") == [0, 0, 1, 1]
    assert tasks_of(sampling="task", epochs_per_task=1) == [0, 1, 0, 1]
    task = make(data_dir, sampling="task")
    for epoch in (0, 3):
        targets = torch.cat([target for _, target in task.train_batches(epoch)])
        assert len(targets) == 40 and targets[:, epoch // 2].ge(0).all()
    assert task.train_batches_per_epoch == len(task.train_batches(0))
    assert len(torch.cat([target for _, target in task.val_dataloader()])) == 20


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"datasets": ["mnist", "minst"]}, "names minst.*fashion_mnist"),
        ({"datasets": []}, "task.datasets"),
        ({"datasets": ["mnist", "mnist"]}, "each once"),
        ({"presentation": "together"}, "task.presentation=together"),
        ({"sampling": "rare"}, "task.sampling=rare"),
        ({"sampling": "task", "presentation": "mix"}, "task.sampling=task.*sequential"),
        ({"loss_over": "shown", "presentation": "mix"}, "task.presentation=mix.*task.loss_over=shown"),
        ({"loss_over": "own"}, "task.loss_over=own"),
        ({"labels": 1}, "task.labels"),
        ({"epochs_per_task": 0}, "task.epochs_per_task"),
        ({"train_size": 0}, "task.train_size"),
    ],
)
def test_invalid_options_are_refused(data_dir: Path, keys: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(data_dir, **keys)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"train_size": 51}, "task.train_size must be at most 50"),
        ({"test_size": 31}, "task.test_size must be at most 30"),
        ({"val_size": 50}, "task.val_size=50"),
    ],
)
def test_sizes_beyond_the_longest_set_are_refused(data_dir: Path, keys: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(data_dir, **keys).prepare_data()


def test_sets_of_different_shape_are_refused(data_dir: Path) -> None:
    with pytest.raises(ValueError, match="28 × 28 pixels, got mnist 28 × 28, kmnist 32 × 32"):
        make(data_dir / "other", datasets=["mnist", "kmnist"]).prepare_data()
