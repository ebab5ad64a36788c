"""Image sets of other sizes and colours than MNIST, and conversion to another size or colour."""

import bz2
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from bionets.tasks import Images
from bionets.tasks.image_files import IMAGE_FILES, read
from bionets.tasks.image_layout import as_sequence

from . import idx_files

SIZES = {"train_size": 40, "val_size": 15, "test_size": 30, "batch_size": 8}
NAMES = ("cifar10", "cifar100", "usps")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name in NAMES:
        idx_files.write(folder, name)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_published_file_is_read(data_dir: Path, name: str) -> None:
    files = IMAGE_FILES[name]
    for split, size in (("train", 60), ("test", 30)):
        images, labels = read(files, data_dir, split)
        shape = files.shape if files.shape[0] == 3 else files.shape[1:]
        assert images.shape == (size, *shape) and images.dtype == torch.uint8
        assert torch.equal(labels, torch.arange(size) % files.classes)


@pytest.mark.parametrize("name", NAMES)
def test_every_layout_matches_its_spec(data_dir: Path, name: str) -> None:
    for read_as in ("image", "rows", "columns", "pixels", "patches"):
        task = Images(name, data_dir, read_as=read_as, **SIZES)  # type: ignore[arg-type]
        x, target = next(iter(task.val_dataloader()))
        expected = (8, *IMAGE_FILES[name].shape) if read_as == "image" else (task.spec.steps, 8, task.spec.input_size)
        assert x.shape == expected
        assert task.loss(torch.zeros(8, task.spec.output_size), target) > 0


def test_the_pixels_of_a_colour_image_are_in_the_order_of_the_format(data_dir: Path) -> None:
    content = idx_files.cifar(10)
    (data_dir / "cifar10" / "cifar-10-binary.tar.gz").write_bytes(content)
    images, _ = read(IMAGE_FILES["cifar10"], data_dir, "test")
    task = Images("cifar10", data_dir, read_as="rows", **SIZES)  # type: ignore[arg-type]
    x, _ = task.prepare(images, torch.zeros(30), None)
    assert torch.equal(x[5, 2, 32 + 7] * 255, images[2, 1, 5, 7].float())  # row 5, green, column 7


def test_the_pixels_of_usps_are_the_gray_levels_nearest_to_its_numbers(data_dir: Path) -> None:
    images, _ = read(IMAGE_FILES["usps"], data_dir, "test")
    lines = bz2.decompress((data_dir / "usps" / "usps.t.bz2").read_bytes()).decode().splitlines()
    numbers = torch.tensor([[float(word.partition(":")[2]) for word in line.split()[1:]] for line in lines])
    assert ((numbers + 1) * 127.5 - images.flatten(1)).abs().max() < 0.501  # -1 is black, 1 is white


def test_images_are_converted_to_gray_colour_and_another_size(data_dir: Path) -> None:
    images, labels = read(IMAGE_FILES["cifar10"], data_dir, "test")
    gray = Images("cifar10", data_dir, colour="gray", size=[16, 16], **SIZES)  # type: ignore[arg-type]
    assert gray.spec.image_shape == (1, 16, 16)
    x, _ = gray.prepare(images, labels, None)
    weights = (0.299, 0.587, 0.114)  # of red, green and blue in ITU-R BT.601
    luma = sum(weight * images[:, channel].float() / 255 for channel, weight in enumerate(weights))
    expected = functional.interpolate(luma.unsqueeze(1), (16, 16), mode="bilinear", antialias=True)  # type: ignore[union-attr]
    torch.testing.assert_close(x, expected)
    coloured = Images("usps", data_dir, colour="colour", size=[20, 24], **SIZES)  # type: ignore[arg-type]
    x, _ = next(iter(coloured.val_dataloader()))
    assert x.shape == (8, 3, 20, 24) and torch.equal(x[:, 0], x[:, 2])


def test_a_permutation_is_the_same_for_all_channels(data_dir: Path) -> None:
    task = Images("cifar10", data_dir, read_as="pixels", permuted=True, **SIZES)  # type: ignore[arg-type]
    plain = Images("cifar10", data_dir, read_as="pixels", **SIZES)  # type: ignore[arg-type]
    x, _ = next(iter(task.val_dataloader()))
    assert task.permutation is not None
    assert torch.equal(x, next(iter(plain.val_dataloader()))[0][task.permutation])


@pytest.mark.parametrize("read_as", ["rows", "columns", "pixels", "patches"])
def test_a_sequence_holds_every_pixel_once(read_as: str) -> None:
    images = torch.arange(2.0 * 3 * 6 * 4).view(2, 3, 6, 4)
    sequence = as_sequence(images, read_as, patch=2)
    assert torch.equal(sequence.transpose(0, 1).flatten(1).sort().values, images.flatten(1))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"read_as": "patches", "patch": 5}, "patch=5 does not divide images of 32 × 32"),
        ({"size": [32]}, "size must be height and width"),
        ({"colour": "red"}, "colour=red is unknown: choose gray or colour"),
    ],
)
def test_invalid_options_are_refused(data_dir: Path, keys: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Images("cifar10", data_dir, **keys)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    idx_files.write(tmp_path, name)
    file = next(iter(IMAGE_FILES[name].files))
    whole = (tmp_path / name / file).read_bytes()
    for content in (whole[: len(whole) // 2], b"no data at all", b""):
        (tmp_path / name / file).write_bytes(content)
        with pytest.raises(ValueError, match=file):
            read(IMAGE_FILES[name], tmp_path, "train")


def test_images_with_other_bytes_than_their_checksum_are_refused(tmp_path: Path) -> None:
    archive = bytearray(idx_files.tar_gz({f"data_batch_{n}.bin": bytes(3073) for n in range(1, 6)}))
    archive[-8] ^= 1  # the last eight bytes are checksum and size
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / "cifar-10-binary.tar.gz").write_bytes(archive)
    with pytest.raises(ValueError, match=r"cifar-10-binary\.tar\.gz is damaged \(CRC check failed"):
        read(IMAGE_FILES["cifar10"], tmp_path, "train")


def test_a_truncated_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cifar10").mkdir()
    archive = idx_files.tar_gz({f"cifar-10-batches-bin/data_batch_{n}.bin": bytes(3072) for n in range(1, 6)})
    (tmp_path / "cifar10" / "cifar-10-binary.tar.gz").write_bytes(archive)
    with pytest.raises(ValueError, match=r"no whole data_batch_1\.bin"):
        read(IMAGE_FILES["cifar10"], tmp_path, "train")
