"""Image classification: MNIST and similar data sets, CIFAR and USPS, as images or as sequences."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Generator, Tensor
from torch.nn import functional

from . import image_files
from .augmentation import augment
from .bases import Classification, FixedSets
from .checks import require_at_least, require_one_of
from .image_files import IMAGE_FILES
from .image_layout import as_sequence, check_layout, in_colour, resized
from .prediction_columns import Columns
from .seeding import generator
from .spec import TaskSpec
from .task import Data

ReadAs = Literal["image", "rows", "columns", "pixels", "patches", "poisson"]
LOSSES = ("cross_entropy", "squared_error")
STEPS_PER_SECOND = 1000


class Images(Classification, FixedSets):
    """Classify the images of ``dataset``: ``mnist``, ``fashion_mnist``, ``kmnist``, ``qmnist`` (1 × 28 × 28, ten
    classes), ``cifar10``, ``cifar100`` (3 × 32 × 32) or ``usps`` (1 × 16 × 16, ten classes).

    x holds pixels from 0 to 1, and the target ``[B]`` the class. ``read_as`` gives the layout of images of C × H × W:

    - ``image``: ``[B, C, H, W]``;
    - ``rows``, ``columns``: ``[H + blank_steps, B, C·W]``, ``[W + blank_steps, B, C·H]``, from the top or from the
      left;
    - ``pixels``: ``[H·W + blank_steps, B, C]``, row by row;
    - ``patches``: ``[H·W/patch² + blank_steps, B, C·patch²]``, squares of ``patch`` pixels, row by row;
    - ``poisson``: ``[steps + blank_steps, B, C·H·W]``, spikes: at each step of 1 ms, a pixel fires with the probability
      brightness · ``max_rate`` / 1000, where ``max_rate`` is the firing rate of a white pixel.

    The order of processing is: images are converted to ``size`` and ``colour``, training images are augmented, and the
    ``threshold``, the permutations and ``centred`` are applied.

    In a fixed random order of the training images, the same for every seed, the first ``train_size`` are for training
    and the last ``val_size`` for validation. The test uses the first ``test_size`` test images. The files are read from
    ``data_dir/<dataset>``, and downloaded if they are missing.

    The loss is the ``cross_entropy`` of the scores, or their ``squared_error`` to the one-hot class.

    Args:
        dataset: ``mnist``, ``fashion_mnist``, ``kmnist``, ``qmnist``, ``cifar10``, ``cifar100`` or ``usps``.
        data_dir: the folder with a subfolder for each data set.
        read_as: ``image``, a sequence of ``rows``, ``columns``, ``pixels`` or ``patches``, or spikes: ``poisson``.
        size: height and width to which images are scaled; None for no scaling.
        colour: ``gray`` (one channel) or ``colour`` (three channels); None for the channels of the data set.
        patch: side length of a patch, in pixels.
        permuted: whether a fixed permutation is applied to the pixels of all images.
        permute_rows: whether a fixed permutation is applied to the rows of all images.
        centred: whether pixels are from -0.5 to 0.5, so that blank steps are gray and not black.
        blank_steps: number of steps of zeros after a sequence.
        random_start: whether a sequence starts at a random step, so that some of the ``blank_steps`` are before it.
        cue: whether the last blank step is a step of ones.
        steps: number of steps of 1 ms with ``read_as=poisson``.
        max_rate: firing rate of a white pixel with ``read_as=poisson``, in spikes per second.
        threshold: pixels above this value become 1, others 0; None for no threshold.
        augmentation: maximum random changes of training images: shift (pixels), rotation (degrees), scale (0.1 for
            10 %) and flip (true or false), see `augmentation.augment`.
        loss: ``cross_entropy`` or ``squared_error``.
        others: see `Task`.
    """

    stored_batch_dims = (0, 0)
    needed_options = (("patch", "read_as=patches"), ("max_rate", "read_as=poisson"), ("steps", "read_as=poisson"))

    def __init__(
        self,
        dataset: str = "mnist",
        data_dir: str | Path = "data",
        read_as: ReadAs = "image",
        size: Sequence[int] | None = None,
        colour: str | None = None,
        patch: int = 4,
        permuted: bool = False,
        blank_steps: int = 0,
        steps: int = 350,
        max_rate: float = 63.75,
        threshold: float | None = None,
        augmentation: Mapping[str, Any] | None = None,
        loss: str = "cross_entropy",
        train_size: int = 55_000,
        val_size: int = 5_000,
        test_size: int = 10_000,
        batch_size: int = 128,
        epochs: int = 20,
        seed: int = 0,
        *,
        permute_rows: bool = False,
        centred: bool = False,
        random_start: bool = False,
        cue: bool = False,
    ) -> None:
        require_one_of(IMAGE_FILES, dataset=dataset)
        require_one_of(get_args(ReadAs), read_as=read_as)
        require_one_of(LOSSES, loss=loss)
        require_at_least(0, blank_steps=blank_steps)
        require_at_least(1, steps=steps)
        if not 0 < max_rate <= STEPS_PER_SECOND:
            raise ValueError(f"task.max_rate must lie between 0 and {STEPS_PER_SECOND} spikes a second, got {max_rate}")
        if blank_steps and read_as == "image":
            raise ValueError("task.blank_steps follow a sequence, and task.read_as=image is none: choose another")
        if centred and read_as == "poisson":
            raise ValueError("task.centred=true has negative pixels, and task.read_as=poisson needs firing rates")
        if (cue or random_start) and not blank_steps:
            raise ValueError("task.cue and task.random_start concern blank steps: set task.blank_steps")
        self.image_shape = check_layout(IMAGE_FILES[dataset].shape, read_as, patch, size, colour)
        super().__init__(train_size, val_size, test_size, batch_size, epochs, seed=seed)
        self.files = IMAGE_FILES[dataset]
        self.data_dir = Path(data_dir)
        self.read_as = read_as
        self.size, self.colour, self.patch = size, colour, patch
        pixels = self.image_shape[1] * self.image_shape[2]
        self.permutation = torch.randperm(pixels, generator=generator("permutation")) if permuted else None
        rows = generator("permutation of rows")
        self.row_permutation = torch.randperm(self.image_shape[1], generator=rows) if permute_rows else None
        self.centred = centred
        self.blank_steps, self.random_start, self.cue = blank_steps, random_start, cue
        self.steps = steps
        self.max_rate = max_rate
        self.threshold = threshold
        self.augmentation = {key: value for key, value in (augmentation or {}).items() if value}
        if not self.augmentation.get("scale", 0) < 1:
            raise ValueError(f"task.augmentation.scale must be below 1, got {self.augmentation['scale']}")
        self.loss_name = loss
        self.spec = self._spec()
        self._read_once: dict[str, Data] = {}

    def _spec(self) -> TaskSpec:
        classes, shape = self.files.classes, self.image_shape
        if self.read_as == "image":
            return TaskSpec("image_to_class", math.prod(shape), classes, image_shape=shape)
        if self.read_as == "poisson":
            steps = self.steps + self.blank_steps
            return TaskSpec("sequence_to_class", math.prod(shape), classes, steps=steps, step_shape=shape, spikes=True)
        steps, _, size = as_sequence(torch.zeros(1, *shape), self.read_as, self.patch).shape
        return TaskSpec("sequence_to_class", size, classes, steps=steps + self.blank_steps)

    def prepare_data(self) -> None:
        """Download missing files, and check that the files are complete and hold enough images."""
        self.train_data(0)
        self.test_data(self.test_names[0])

    def part(self, split: str) -> Data:
        """Images ``[N, H, W]`` or ``[N, C, H, W]``, uint8, and their classes."""
        if split == "test":
            images, labels = image_files.read(self.files, self.data_dir, "test")
            if self.test_size > len(labels):
                raise ValueError(f"task.test_size must be at most {len(labels)}, got {self.test_size}")
            return images[: self.test_size], labels[: self.test_size]
        if not self._read_once:
            images, labels = image_files.read(self.files, self.data_dir, "train")
            if self.train_size + self.val_size > len(labels):
                raise ValueError(
                    f"task.train_size + task.val_size must be at most {len(labels)}, "
                    f"got {self.train_size} + {self.val_size}"
                )
            order = torch.randperm(len(labels), generator=generator("split"))
            for each, part in (("train", order[: self.train_size]), ("val", order[-self.val_size :])):
                self._read_once[each] = images[part], labels[part]
        return self._read_once[split]

    def prepare(self, x: Tensor, target: Tensor, random: Generator | None) -> Data:
        """Convert images ``[B, H, W]`` or ``[B, C, H, W]``, uint8, to the input of the model."""
        x = x.float().div_(255)
        x = resized(in_colour(x.unsqueeze(1) if x.dim() == 3 else x, self.colour), self.size)
        if random is not None and self.augmentation:
            x = augment(x, random, **self.augmentation)
        if self.threshold is not None:
            x = (x > self.threshold).float()
        if self.permutation is not None:
            x = x.flatten(2)[:, :, self.permutation].view_as(x)
        if self.row_permutation is not None:
            x = x[:, :, self.row_permutation]
        if self.centred:
            x = x - 0.5
        if self.read_as in ("image", "poisson"):
            return x, target
        sequence = as_sequence(x, self.read_as, self.patch)
        return functional.pad(sequence, (0, 0, 0, 0, 0, self.blank_steps)).contiguous(), target

    def encode(self, x: Tensor, random: Generator) -> Tensor:
        """The spike trains of images ``[B, C, H, W]`` with ``read_as=poisson``; the random start and the cue of any
        sequence ``[T, B, size]``."""
        if self.read_as == "poisson":
            chance = x.flatten(1) * (self.max_rate / STEPS_PER_SECOND)
            spikes = (torch.rand(self.steps, *chance.shape, generator=random) < chance).float()
            x = functional.pad(spikes, (0, 0, 0, 0, 0, self.blank_steps))
        if self.random_start:
            starts = torch.randint(self.blank_steps + 1 - self.cue, x.shape[1:2], generator=random)
            # The last steps, which are blank, come first.
            source = (torch.arange(len(x)).unsqueeze(1) - starts) % len(x)
            x = x.gather(0, source.unsqueeze(2).expand_as(x))
        if self.cue:
            x[-1] = 1
        return x

    def prediction_columns(self, prediction: Tensor, target: Tensor) -> Columns:
        """The class, the predicted class and, with the cross-entropy as loss, the probability of each class."""
        columns = super().prediction_columns(prediction, target)
        shown = ("target", "prediction") if self.loss_name == "squared_error" else columns
        return {name: columns[name] for name in shown}

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy or squared error; the mean over the batch (and classes)."""
        if self.loss_name == "cross_entropy":
            return super().loss(prediction, target)
        return functional.mse_loss(prediction, functional.one_hot(target, self.files.classes).to(prediction))
