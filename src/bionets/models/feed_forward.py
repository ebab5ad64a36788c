"""Feed-forward networks, whose input is a whole sequence as one vector."""

from typing import ClassVar

from torch import Tensor

from bionets.models.checks import require_positive
from bionets.models.model import Model, OptimizerFactory
from bionets.models.sequence import make_readout
from bionets.tasks.spec import Kind, TaskSpec


class FeedForwardModel(Model):
    """All pixels of an image, or all steps of a sequence of fixed length -> fully connected layers with ReLUs.

    Args:
        hidden_size, num_layers: number of units of a hidden layer, and number of hidden layers; two layers of 300 units
            for 784 pixels have 328,810 parameters.
        dropout: share of hidden activations set to zero in training.

    Raises:
        ValueError: the kind of task is not supported, or a size is below 1.
    """

    accepts: ClassVar[frozenset[Kind]] = frozenset({"image_to_class", "image_to_value", "sequence_to_class"})

    def __init__(
        self,
        spec: TaskSpec,
        hidden_size: int = 300,
        num_layers: int = 2,
        dropout: float = 0.0,
        optimizer: OptimizerFactory | None = None,
    ) -> None:
        super().__init__(spec, optimizer)
        require_positive(hidden_size=hidden_size, num_layers=num_layers)
        inputs = spec.input_size * (spec.steps or 1)
        self.network = make_readout(inputs, [hidden_size] * num_layers, spec.output_size, dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.movedim(self.spec.batch_dims[0], 0).flatten(1))
