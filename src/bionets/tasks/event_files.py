"""The published event-camera data sets: their folders and archives, and finding their recordings."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .archives import Archive, download_and_unpack
from .event_formats import Events, read_dat, read_dvs128, read_gesture, read_saccades


@dataclass(frozen=True)
class EventFiles:
    """A published data set.

    folders: the folders of the training and the test recordings, each with a subfolder for every class; the same folder
        twice if no such split was published.
    sensor: columns and rows of the largest recording.
    classes: number of classes.
    recordings: number of recordings for training and for testing; the same number twice if no such split was published.
    archives: archives of the training and the test recordings; None if the data set is available only on request.
    named_by_class: whether the file names are the class numbers, in a folder for each person and lighting.
    """

    name: str
    folders: tuple[str, str]
    suffix: str
    read: Callable[[Path], Events]
    sensor: tuple[int, int]
    classes: int
    source: str
    recordings: tuple[int, int]
    archives: tuple[Archive, Archive] | None = None
    named_by_class: bool = False

    @property
    def split_by_publisher(self) -> bool:
        return self.folders[0] != self.folders[1]

    @property
    def again(self) -> str:
        """Advice on an incomplete folder."""
        return "delete it, to have it unpacked again" if self.archives else f"download it again from {self.source}"


SACCADES = "https://www.garrickorchard.com/datasets"
MENDELEY = "https://data.mendeley.com/public-files/datasets"
FIGSHARE = "https://figshare.com/ndownloader/files"
N_MNIST = (
    Archive(
        "train.zip",
        f"{MENDELEY}/468j46mzdv/files/39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded",
        "20959b8e626244a1b502305a9e6e2031",
    ),
    Archive(
        "test.zip",
        f"{MENDELEY}/468j46mzdv/files/05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded",
        "69ca8762b2fe404d9b9bad1103e97832",
    ),
)
N_CALTECH101 = Archive(
    "N-Caltech101-archive.zip",
    f"{MENDELEY}/cy6cvx3ryv/files/36b5c52a-b49d-4853-addb-a836a8883e49/file_downloaded",
    "66201824eabb0239c7ab992480b50ba3",
    inner="Caltech101.zip",
)
DVS_GESTURE = (
    Archive("ibmGestureTrain.tar.gz", f"{FIGSHARE}/38022171", "3a8f0d4120a166bac7591f77409cb105"),
    Archive("ibmGestureTest.tar.gz", f"{FIGSHARE}/38020584", "56070e45dadaa85fff82e0fbfbc06de5"),
)
EVENT_FILES = {
    files.name: files
    for files in (
        EventFiles(
            "n_mnist",
            ("NMNIST/Train", "NMNIST/Test"),
            ".bin",
            read_saccades,
            (34, 34),
            10,
            SACCADES,
            (60_000, 10_000),
            N_MNIST,
        ),
        EventFiles(
            "n_caltech101",
            ("NCALTECH101/Caltech101", "NCALTECH101/Caltech101"),
            ".bin",
            read_saccades,
            (240, 180),
            101,
            SACCADES,
            (8_709, 8_709),
            (N_CALTECH101, N_CALTECH101),
        ),
        EventFiles(
            "n_cars",
            ("NCARS/n-cars_train", "NCARS/n-cars_test"),
            ".dat",
            read_dat,
            (120, 100),
            2,
            "https://www.prophesee.ai/dataset-n-cars-download",
            (15_422, 8_607),
        ),
        EventFiles(
            "dvs_gesture",
            ("DVSGesture/ibmGestureTrain", "DVSGesture/ibmGestureTest"),
            ".npy",
            read_gesture,
            (128, 128),
            11,
            "https://tonic.readthedocs.io",
            (1_077, 264),
            DVS_GESTURE,
            named_by_class=True,
        ),
        EventFiles(
            "cifar10_dvs",
            ("CIFAR10DVS/aedat", "CIFAR10DVS/aedat"),
            ".aedat",
            read_dvs128,
            (128, 128),
            10,
            "https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671",
            (10_000, 10_000),
        ),
    )
}
SUBSET = "SUBSET"  # a file of this name marks a folder in which recordings are missing on purpose


def recordings(files: EventFiles, data_dir: Path, split: str) -> list[tuple[Path, int]]:
    """Every recording of ``split`` ("train" or "test") with its class, in the order of their names.

    The classes are numbered in the order of the names of their folders. Missing files are downloaded if possible. A
    folder with fewer recordings than published is refused, unless it contains a file ``SUBSET``.

    Raises:
        FileNotFoundError: there are no recordings, and they cannot be downloaded.
        ValueError: the number of classes or recordings differs from that of the data set.
    """
    folder = data_dir / files.folders[split == "test"]
    if not folder.is_dir():
        if files.archives is None:
            raise FileNotFoundError(f"{folder} is missing: get {files.name} from {files.source} and unpack it there")
        download_and_unpack(files.archives[split == "test"], folder, files.name, files.source)
    found = _by_file_name(files, folder) if files.named_by_class else _by_folder(files, folder)
    published = files.recordings[split == "test"]
    if len(found) != published and not (folder / SUBSET).exists():
        raise ValueError(
            f"{folder} holds {len(found)} of {published} recordings: {files.again}; "
            f"where that is on purpose, put an empty file {SUBSET} into it"
        )
    return found


def _by_folder(files: EventFiles, folder: Path) -> list[tuple[Path, int]]:
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if len(names) != files.classes:
        raise ValueError(
            f"{folder} must hold a folder for each of the {files.classes} classes, it has {len(names)}: {files.again}"
        )
    return [
        (file, label) for label, name in enumerate(names) for file in sorted((folder / name).glob(f"*{files.suffix}"))
    ]


def _by_file_name(files: EventFiles, folder: Path) -> list[tuple[Path, int]]:
    found = sorted(folder.glob(f"*/*{files.suffix}"))
    known = {str(label) for label in range(files.classes)}
    if wrong := [file for file in found if file.stem not in known]:
        raise ValueError(f"{wrong[0]} must have a name from 0 to {files.classes - 1}, that of a class: {files.again}")
    return [(file, int(file.stem)) for file in found]
