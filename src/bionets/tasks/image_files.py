"""The published files of image data sets, and downloading them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from .download import download
from .image_formats import Pictures, read_cifar10, read_cifar100, read_idx_pair, read_usps

MOST_BYTES = 200 * 1024**2  # the largest of the files below has 170 million


@dataclass(frozen=True)
class ImageFiles:
    """A published data set.

    mirrors: servers, each with all files.
    files: the name and MD5 checksum of every file.
    shape: channels, height and width of an image.
    classes: number of classes.
    read_files: called with the paths of all files and ``train`` or ``test``, returns images and classes.
    """

    name: str
    mirrors: tuple[str, ...]
    files: dict[str, str]
    shape: tuple[int, int, int] = (1, 28, 28)
    classes: int = 10
    read_files: Callable[[Sequence[Path], str], Pictures] = read_idx_pair


def _idx_files(*md5: str) -> dict[str, str]:
    names = [f"{split}-{kind}.gz" for split in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    return dict(zip(names, md5, strict=True))


MNIST = ImageFiles(
    "mnist",
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
    ),
    _idx_files(
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
)
FASHION_MNIST = ImageFiles(
    "fashion_mnist",
    (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    _idx_files(
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
)
KMNIST = ImageFiles(
    "kmnist",
    ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
    _idx_files(
        "bdb82020997e1d708af4cf47b453dcf7",
        "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7",
        "7320c461ea6c1c855c0b718fb2a4b134",
    ),
)
QMNIST = ImageFiles(
    "qmnist",
    (
        "https://raw.githubusercontent.com/facebookresearch/qmnist/master/",
        "https://github.com/facebookresearch/qmnist/raw/master/",
    ),
    {
        "qmnist-train-images-idx3-ubyte.gz": "ed72d4157d28c017586c42bc6afe6370",
        "qmnist-train-labels-idx2-int.gz": "0058f8dd561b90ffdd0f734c6a30e5e4",
        "qmnist-test-images-idx3-ubyte.gz": "1394631089c404de565df7b7aeaf9412",
        "qmnist-test-labels-idx2-int.gz": "5b5b05890a5e13444e108efe57b788aa",
    },
)
TORONTO = ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/")
CIFAR10 = ImageFiles(
    "cifar10",
    TORONTO,
    {"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"},
    shape=(3, 32, 32),
    read_files=read_cifar10,
)
CIFAR100 = ImageFiles(
    "cifar100",
    TORONTO,
    {"cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8"},
    shape=(3, 32, 32),
    classes=100,
    read_files=read_cifar100,
)
USPS = ImageFiles(
    "usps",
    ("https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/",),
    {"usps.bz2": "ec16c51db3855ca6c91edd34d0e9b197", "usps.t.bz2": "8ea070ee2aca1ac39742fdd1ef5ed118"},
    shape=(1, 16, 16),
    read_files=read_usps,
)
IMAGE_FILES = {files.name: files for files in (MNIST, FASHION_MNIST, KMNIST, QMNIST, CIFAR10, CIFAR100, USPS)}


def fetch(files: ImageFiles, data_dir: Path) -> list[Path]:
    """The paths of all files, in ``data_dir/<name>``, downloaded if they are missing.

    An existing file, gzipped or not, is used unchanged; if all files exist, the network is not used. A downloaded file
    gets its final name after its checksum has been verified. If several processes call this at once, one of them
    downloads.

    Raises:
        ConnectionError: no mirror provided a file with the right checksum; the message names all that were tried.
    """
    folder = data_dir / files.name
    if any(_present(folder, name) is None for name in files.files):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):  # one process downloads
            for name, md5 in files.files.items():
                if _present(folder, name) is None:
                    _download(files, name, md5, folder)
    found = [_present(folder, name) for name in files.files]
    return [path for path in found if path is not None]


def read(files: ImageFiles, data_dir: Path, split: str) -> Pictures:
    """The images ``[N, H, W]`` or ``[N, C, H, W]``, uint8, and classes ``[N]``, int64, of ``train`` or ``test``."""
    return files.read_files(fetch(files, data_dir), split)


def _present(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / name.removesuffix(".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _download(files: ImageFiles, name: str, md5: str, folder: Path) -> None:
    try:
        download([mirror + name for mirror in files.mirrors], folder / name, md5, MOST_BYTES)
    except ConnectionError as error:
        raise ConnectionError(
            f"{name} of {files.name} could not be downloaded ({error}): "
            f"put the files into {folder}, or name the folder above one that has them with paths.data_dir or "
            "BIONETS_DATA"
        ) from error
