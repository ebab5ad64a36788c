"""Image tasks: layouts, disjoint splits, dependence on seed and epoch only, augmentation, and refused options."""

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bionets.tasks import Images
from bionets.tasks.augmentation import augment
from bionets.tasks.image_files import IMAGE_FILES, read

from . import idx_files


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    idx_files.write(folder)
    return folder


def make(data_dir: Path, **keys: object) -> Images:
    sizes = {"train_size": 40, "val_size": 15, "test_size": 30, "batch_size": 8, "epochs": 2}
    return Images(**{"data_dir": data_dir, **sizes, **keys})


def first_images(task: Images) -> Tensor:
    """The pixels of the first validation batch, as stored, from 0 to 1."""
    return task.val_data()[0][:8].float() / 255


def test_an_image_is_read_as_it_is_or_as_a_sequence(data_dir: Path) -> None:
    batches = {}
    for read_as in ("image", "rows", "columns", "pixels"):
        task = make(data_dir, read_as=read_as)
        batches[read_as], target = next(iter(task.val_dataloader()))
        assert target.shape == (8,) and target.dtype == torch.int64
        sequence = task.spec.kind == "sequence_to_class"
        assert sequence == (read_as != "image")
        if sequence:
            assert batches[read_as].shape == (task.spec.steps, 8, task.spec.input_size)
        else:
            assert batches[read_as].shape == (8, *task.spec.image_shape)
    image = first_images(make(data_dir))
    torch.testing.assert_close(batches["image"], image.unsqueeze(1))
    patches, _ = next(iter(make(data_dir, read_as="patches", patch=7).val_dataloader()))
    assert patches.shape == (16, 8, 49)
    assert torch.equal(patches[6, :, 8], image[:, 8, 15])  # the second row of patches, the third from the left
    for row, column in ((0, 27), (3, 5)):
        assert torch.equal(batches["rows"][row, :, column], image[:, row, column])
        assert torch.equal(batches["columns"][column, :, row], image[:, row, column])
        assert torch.equal(batches["pixels"][28 * row + column, :, 0], image[:, row, column])


def test_a_permutation_is_fixed_and_keeps_every_pixel(data_dir: Path) -> None:
    plain, _ = next(iter(make(data_dir, read_as="pixels").val_dataloader()))
    permuted, _ = next(iter(make(data_dir, read_as="pixels", permuted=True, seed=1).val_dataloader()))
    again, _ = next(iter(make(data_dir, read_as="pixels", permuted=True, seed=2).val_dataloader()))
    assert torch.equal(permuted, again) and not torch.equal(permuted, plain)
    torch.testing.assert_close(permuted.sort(0).values, plain.sort(0).values)


def test_blank_steps_follow_the_sequence(data_dir: Path) -> None:
    task = make(data_dir, read_as="rows", blank_steps=72)
    x, _ = next(iter(task.val_dataloader()))
    plain, _ = next(iter(make(data_dir, read_as="rows").val_dataloader()))
    assert task.spec.steps == 100 and torch.equal(x[:28], plain) and x[28:].eq(0).all()


def test_whole_rows_are_permuted_and_equally_in_all_images(data_dir: Path) -> None:
    plain, _ = next(iter(make(data_dir, read_as="rows").val_dataloader()))
    permuted, _ = next(iter(make(data_dir, read_as="rows", permute_rows=True, seed=1).val_dataloader()))
    again, _ = next(iter(make(data_dir, read_as="rows", permute_rows=True, seed=2).val_dataloader()))
    assert torch.equal(permuted, again) and not torch.equal(permuted, plain)
    for image in range(8):
        assert sorted(permuted[:, image].tolist()) == sorted(plain[:, image].tolist())


def test_centred_pixels_have_gray_blank_steps(data_dir: Path) -> None:
    plain, _ = next(iter(make(data_dir, read_as="rows", blank_steps=3).val_dataloader()))
    centred, _ = next(iter(make(data_dir, read_as="rows", blank_steps=3, centred=True).val_dataloader()))
    torch.testing.assert_close(centred[:28], plain[:28] - 0.5)
    assert centred[28:].eq(0).all()


@pytest.mark.parametrize("cue", [False, True])
def test_a_sequence_starts_at_a_random_step_and_ends_with_the_cue(data_dir: Path, cue: bool) -> None:
    plain, _ = next(iter(make(data_dir, read_as="rows", permute_rows=True, centred=True).val_dataloader()))
    task = make(data_dir, read_as="rows", permute_rows=True, centred=True, blank_steps=9, random_start=True, cue=cue)
    seen = set()
    for epoch_or_split in (task.val_dataloader(), task.train_batches(0), task.train_batches(1)):
        for x, _ in epoch_or_split:
            assert x.shape[0] == task.spec.steps == 37 and x[-1].eq(1).all() == cue
            starts = (x[: len(x) - cue] != 0).any(2).float().argmax(0)
            seen.update(starts.tolist())
            for sample, start in enumerate(starts.tolist()):
                rest = torch.cat((x[:start, sample], x[start + 28 : len(x) - cue, sample]))
                assert rest.eq(0).all() and x[start : start + 28, sample].ne(0).any(1).all()
    assert seen == set(range(10 - cue))
    first = next(iter(task.val_dataloader()))[0]
    start = int((first[:, 0] != 0).any(1).float().argmax())
    assert torch.equal(first[start : start + 28, 0], plain[:, 0])
    assert torch.equal(first, next(iter(task.val_dataloader()))[0])


def test_a_cue_may_end_a_fixed_number_of_blank_steps(data_dir: Path) -> None:
    plain, _ = next(iter(make(data_dir, read_as="pixels", blank_steps=4).val_dataloader()))
    cued, _ = next(iter(make(data_dir, read_as="pixels", blank_steps=4, cue=True).val_dataloader()))
    assert torch.equal(cued[:-1], plain[:-1]) and cued[-1].eq(1).all()


@pytest.mark.parametrize("threshold", [0.0, 0.05])
def test_pixels_can_be_made_black_or_white(data_dir: Path, threshold: float) -> None:
    task = make(data_dir, threshold=threshold)
    x, _ = next(iter(task.val_dataloader()))
    pixels = first_images(task)
    assert (pixels == 0).any() and torch.equal(x[:, 0], (pixels > threshold).float())


def test_splits_are_disjoint_and_the_same_for_every_seed(data_dir: Path) -> None:
    task, other = make(data_dir, seed=0), make(data_dir, seed=1)
    train, val, test = task.train_data(0)[0], task.val_data()[0], task.test_data("test")[0]
    rows = torch.cat([train, val, test]).flatten(1)
    assert len(rows.unique(dim=0)) == len(rows) == 85
    assert torch.equal(train, other.train_data(3)[0]) and torch.equal(val, other.val_data()[0])
    stored, _ = read(IMAGE_FILES["mnist"], data_dir, "train")
    places = [int((stored == image).all(2).all(1).nonzero()) for image in train]
    assert places != sorted(places)  # a random part, not the first ones


def test_fewer_training_images_leave_the_validation_set_as_it_is(data_dir: Path) -> None:
    task, fewer = make(data_dir), make(data_dir, train_size=20)
    assert torch.equal(fewer.val_data()[0], task.val_data()[0])
    assert torch.equal(fewer.train_data(0)[0], task.train_data(0)[0][:20])


def epoch_of(task: Images, epoch: int) -> Tensor:
    return torch.cat([x for x, _ in task.train_batches(epoch)])


@pytest.mark.parametrize("augmentation", [None, {"shift": 2, "rotation": 10, "scale": 0.1, "flip": True}])
def test_an_epoch_depends_only_on_seed_and_epoch_number(data_dir: Path, augmentation: dict | None) -> None:
    task = make(data_dir, augmentation=augmentation)
    first = epoch_of(task, 3)
    batches = task.train_batches(3)
    assert torch.equal(torch.cat([x for x, _ in batches]), torch.cat([x for x, _ in batches]))
    assert torch.equal(first, epoch_of(make(data_dir, augmentation=augmentation), 3))
    assert not torch.equal(first, epoch_of(task, 4))
    assert not torch.equal(first, epoch_of(make(data_dir, augmentation=augmentation, seed=1), 3))


def test_an_image_is_augmented_anew_in_every_epoch(data_dir: Path) -> None:
    task = make(data_dir, train_size=1, augmentation={"shift": 3})
    first, second = epoch_of(task, 0), epoch_of(task, 1)
    assert first.shape == second.shape == (1, 1, 28, 28) and not torch.equal(first, second)


def test_only_training_images_are_augmented(data_dir: Path) -> None:
    plain, augmented = make(data_dir), make(data_dir, augmentation={"shift": 3})
    assert not torch.equal(epoch_of(plain, 0), epoch_of(augmented, 0))
    for loader in ("val_dataloader", "test_dataloader"):
        first, second = getattr(plain, loader)(), getattr(augmented, loader)()
        pairs = zip(first, second, strict=True) if loader == "val_dataloader" else zip(*first, *second, strict=True)
        assert all(torch.equal(x, y) for (x, _), (y, _) in pairs)


def picture() -> Tensor:
    image = torch.zeros(200, 1, 28, 28)
    image[:, :, 10:16, 12:14] = 1.0
    return image


def test_a_flip_mirrors_about_half_of_the_images() -> None:
    flipped = augment(picture(), torch.Generator().manual_seed(0), flip=True)
    same = (flipped - picture()).abs().amax((1, 2, 3)) < 1e-4
    mirrored = (flipped - picture().flip(3)).abs().amax((1, 2, 3)) < 1e-4
    assert (same | mirrored).all() and 60 < mirrored.sum() < 140


def test_the_random_amounts_are_uniform_up_to_their_maxima_and_independent() -> None:
    """The amounts are solved for from the places of three spots, each in a channel of its own."""
    places = torch.arange(-19.5, 20)
    y, x = torch.meshgrid(places, places, indexing="ij")
    spots = torch.tensor([[-6.0, -5.0], [5.0, -4.0], [1.0, 6.0]])  # x and y from the centre of the image
    image = torch.exp(-((x - spots[:, 0].view(3, 1, 1)) ** 2 + (y - spots[:, 1].view(3, 1, 1)) ** 2) / 4)
    options = {"shift": 3.0, "rotation": 40.0, "scale": 0.2, "flip": True}
    moved = augment(image.expand(400, 3, 40, 40), torch.Generator().manual_seed(0), **options)
    mass = moved.sum((2, 3))
    found = torch.stack([(moved * axis).sum((2, 3)) / mass for axis in (x, y)] + [torch.ones_like(mass)], 2)
    across, down, shift = torch.linalg.solve(found, spots.expand(400, 3, 2)).unbind(1)  # before = A · after + shift
    area = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
    angle = torch.rad2deg(torch.atan2(-down[:, 0], down[:, 1]))
    size = area.abs() ** -0.5 - 1
    for amount, most in ((shift[:, 0], 3.0), (shift[:, 1], 3.0), (angle, 40.0), (size, 0.2)):
        assert amount.abs().max() < 1.01 * most and amount.min() < -0.95 * most and amount.max() > 0.95 * most
        assert amount.std() == pytest.approx(most / 3**0.5, rel=0.1)
    together = torch.corrcoef(torch.stack([*shift.T, angle, size, area.sign()]))
    assert (together - torch.eye(5)).abs().max() < 0.2


def test_a_rotation_keeps_distances_in_images_that_are_not_square() -> None:
    image = torch.zeros(100, 1, 24, 48)
    image[:, :, 10:14, 16:32] = 1.0
    turned = augment(image, torch.Generator().manual_seed(0), rotation=90)
    y, x = torch.meshgrid(torch.arange(24) - 11.5, torch.arange(48) - 23.5, indexing="ij")
    radius = ((turned[:, 0] * (x**2 + y**2)).sum((1, 2)) / turned.sum((1, 2, 3))).sqrt()
    torch.testing.assert_close(radius, ((15 * 17 + 3 * 5) / 12) ** 0.5 * torch.ones(100), rtol=0.05, atol=0)
    assert (turned[:, 0, 5].amax(1) > 0.9).any()  # upright


def test_a_shift_is_in_pixels_in_images_that_are_not_square() -> None:
    image = torch.zeros(300, 1, 24, 48)
    image[:, :, 10:14, 20:28] = 1.0  # its centre is that of the image
    moved = augment(image, torch.Generator().manual_seed(0), shift=4)[:, 0]
    for axis, size in ((1, 24), (2, 48)):
        places = torch.arange(size) - (size - 1) / 2
        shift = (moved.sum(3 - axis) * places).sum(1) / moved.sum((1, 2))
        assert 3.8 < shift.max() < 4.01 and -4.01 < shift.min() < -3.8


def test_a_scale_of_one_or_more_is_refused(data_dir: Path) -> None:
    with pytest.raises(ValueError, match=r"task\.augmentation\.scale must be below 1, got 1\.5"):
        make(data_dir, augmentation={"scale": 1.5})


def test_losses_and_accuracy_equal_their_definitions(data_dir: Path) -> None:
    prediction, target = torch.randn(8, 10), torch.arange(8)
    expected = {
        "cross_entropy": functional.nll_loss(prediction.log_softmax(1), target),
        "squared_error": ((prediction - torch.eye(10)[target]) ** 2).mean(),
    }
    for name, value in expected.items():
        torch.testing.assert_close(make(data_dir, loss=name).loss(prediction, target), value)
    accuracy = make(data_dir).metrics()["accuracy"]
    assert accuracy(torch.eye(10)[[0, 1, 2, 3]], torch.tensor([0, 1, 2, 9])) == 0.75


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"dataset": "minst"}, "task.dataset=minst"),
        ({"read_as": "diagonals"}, "task.read_as=diagonals"),
        ({"loss": "hinge"}, "task.loss=hinge"),
        ({"blank_steps": -1, "read_as": "rows"}, "task.blank_steps"),
        ({"blank_steps": 3}, "task.blank_steps follow a sequence"),
        ({"cue": True, "read_as": "rows"}, "set task.blank_steps"),
        ({"random_start": True, "read_as": "rows"}, "set task.blank_steps"),
        ({"centred": True, "read_as": "poisson"}, "negative pixels"),
    ],
)
def test_invalid_options_are_refused(data_dir: Path, keys: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(data_dir, **keys)


@pytest.mark.parametrize("keys", [{"train_size": 50}, {"test_size": 31}])
def test_sizes_beyond_the_data_are_refused_when_the_data_are_prepared(data_dir: Path, keys: dict) -> None:
    with pytest.raises(ValueError, match="must be at most"):
        make(data_dir, **keys).prepare_data()


@pytest.mark.skipif("BIONETS_DATA" not in os.environ, reason="needs real images in BIONETS_DATA")
@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_real_image_sets_have_their_published_sizes(dataset: str) -> None:
    task = Images(dataset, os.environ["BIONETS_DATA"])
    images, labels = task.train_data(0)
    assert images.shape == (55_000, 28, 28) and labels.bincount().min() > 4_500
    assert len(task.test_data("test")[0]) == 10_000


def test_poisson_spike_trains_have_the_rates_of_the_pixels(data_dir: Path) -> None:
    keys = {"read_as": "poisson", "steps": 3000, "max_rate": 200.0, "blank_steps": 5}
    task = make(data_dir, **keys)
    x, _ = next(iter(task.val_dataloader()))
    assert x.shape == (3005, 8, 784) == (task.spec.steps, 8, task.spec.input_size)
    assert set(x.unique().tolist()) == {0, 1} and x[3000:].eq(0).all() and task.spec.spikes
    rates = x[:3000].mean(0).view(8, 28, 28)
    torch.testing.assert_close(rates, 0.2 * first_images(task), atol=0.04, rtol=0.0)
    assert torch.equal(x, next(iter(make(data_dir, **keys).val_dataloader()))[0])


def test_poisson_spike_trains_differ_between_epochs_and_are_reproducible(data_dir: Path) -> None:
    def first(epoch: int, seed: int = 0) -> Tensor:
        return next(iter(make(data_dir, read_as="poisson", steps=20, seed=seed).train_batches(epoch)))[0]

    assert torch.equal(first(2), first(2))
    assert not torch.equal(first(2), first(3)) and not torch.equal(first(2), first(2, seed=1))
