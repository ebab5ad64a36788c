"""Binary addition: read two numbers bit by bit, and write their sum."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional
from torchmetrics import MetricCollection

from .binary_numbers import add, draw_pairs_of_split
from .checks import require_at_least
from .metrics import MeanOf, right_bits, right_sequences
from .prediction_columns import Columns, bit_columns
from .seeding import generator
from .spec import TaskSpec
from .task import Data, Task


class BinaryAddition(Task):
    """Add two binary numbers whose lengths sum to L; the lowest bit comes first.

    x is ``[L + 1, B, 2]``, one bit of each number at each step; the target ``[L + 1, B, 1]`` holds the bits of their
    sum. The highest bit of each number is 1, and zeros follow it. The length of the first number is uniform in
    1 … L − 1. The loss is the binary cross-entropy of the predicted logits.

    Training is a curriculum: ``epochs_per_length`` epochs on each L from ``min_length`` to ``length`` (further epochs
    use ``length``), with ``train_size`` new samples in every epoch. Without ``curriculum``, the number of epochs is the
    same and all use ``length``. Validation uses ``length``; the test uses ``test_size`` samples of every L from
    ``min_test_length`` to ``test_length``. For L ≥ `binary_numbers.SMALLEST_DISJOINT_LENGTH`, no pair of numbers is in
    two of the three splits; there are so few shorter pairs that all splits share them.

    Args:
        length: number of digits of both numbers together, at the end of the curriculum.
        min_length: number of digits at the beginning of the curriculum.
        test_length: number of digits of the longest pairs that are tested.
        min_test_length: number of digits of the shortest pairs that are tested.
        epochs_per_length: epochs on each length, each with new samples.
        curriculum: whether lengths grow; False trains only on ``length``.
        train_size: number of samples in an epoch.
        val_size: number of samples in the validation set.
        test_size: number of samples of each tested length.
        others: see `Task`.

    Source: the binary addition experiment of brc_pytorch (Janakarajan and Born), a port of Vecoven, Ernst and Drion,
    "A bio-inspired bistable recurrent cell allows for long-lasting memory", PLoS ONE 2021.
    """

    spec = TaskSpec("sequence_to_sequence", input_size=2, output_size=1)

    def __init__(
        self,
        length: int = 20,
        min_length: int = 3,
        test_length: int = 60,
        min_test_length: int = 3,
        epochs_per_length: int = 15,
        train_size: int = 10_000,
        val_size: int = 1_000,
        test_size: int = 1_000,
        batch_size: int = 200,
        curriculum: bool = True,
        seed: int = 0,
    ) -> None:
        require_at_least(2, min_length=min_length, min_test_length=min_test_length)
        require_at_least(1, epochs_per_length=epochs_per_length)
        require_at_least(min_length, length=length)
        require_at_least(min_test_length, test_length=test_length)
        epochs = (length - min_length + 1) * epochs_per_length
        super().__init__(train_size, val_size, test_size, batch_size, epochs, seed=seed)
        self.length = length
        self.min_length = min_length
        self.epochs_per_length = epochs_per_length
        self.curriculum = curriculum
        self.test_names = [f"length_{tested}" for tested in range(min_test_length, test_length + 1)]

    def length_of_epoch(self, epoch: int) -> int:
        """The training length L of an epoch."""
        if not self.curriculum:
            return self.length
        return min(self.min_length + epoch // self.epochs_per_length, self.length)

    def train_data(self, epoch: int) -> Data:
        """New samples of the length of the epoch."""
        return self._sums("train", self.length_of_epoch(epoch), self.train_size, epoch)

    def val_data(self) -> Data:
        """Samples of the last length of the curriculum."""
        return self._sums("val", self.length, self.val_size)

    def test_data(self, name: str) -> Data:
        """Samples of the length at the end of ``name``. Raises ValueError for a name that is not in ``test_names``."""
        self.require_test_set(name)
        return self._sums("test", int(name.removeprefix("length_")), self.test_size)

    def _sums(self, split: str, length: int, size: int, epoch: int = 0) -> Data:
        pairs = draw_pairs_of_split(split, length, size, generator(self.seed, split, length, epoch))
        return pairs.float(), add(pairs).unsqueeze(2).float()

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The mean binary cross-entropy of the logits over all bits."""
        return functional.binary_cross_entropy_with_logits(prediction, target)

    def metrics(self) -> MetricCollection:
        """``accuracy``, the share of sequences without a wrong bit, and ``bit_accuracy``, the share of right bits."""
        return MetricCollection({"accuracy": MeanOf(right_sequences), "bit_accuracy": MeanOf(right_bits)})

    def prediction_columns(self, prediction: Tensor, target: Tensor) -> Columns:
        """The bit, the predicted bit and the probability of a 1."""
        return bit_columns(prediction, target)

    def summarise(self, test_results: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
        """The accuracy at the longest tested length, and the mean accuracy over all tested lengths."""
        accuracies = [test_results[name]["accuracy"] for name in self.test_names]
        return {
            f"test/accuracy_{self.test_names[-1]}": accuracies[-1],
            "test/accuracy_mean": sum(accuracies) / len(accuracies),
        }
