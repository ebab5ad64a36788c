"""The base class of models that compute predictions from the outputs of a layer at every step."""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from bionets.layers.spiking.readouts import last_membrane, valid_mean
from bionets.models.checks import require_one_of, require_positive
from bionets.models.model import Model, OptimizerFactory
from bionets.tasks.spec import Kind, TaskSpec

READOUTS = ("last", "mean")


class SequenceModel(Model):
    """x ``[T, B, input_size]`` -> `core` ``[T, B, H]`` -> ``readout`` ``[T, B, output_size]``.

    If the task asks for a prediction at every step, all steps are returned. Otherwise the prediction is that of the
    ``last`` step or the ``mean`` over the steps.

    Args:
        readout: ``last`` or ``mean``.
        loss_every_step: whether the training loss is the mean over the losses of the predictions at every step.
        gradients: see `Model`.

    Raises:
        ValueError: the kind of task is not supported, or the readout is unknown or only for tasks with one prediction.
    """

    abstract = True
    accepts: ClassVar[frozenset[Kind]] = frozenset({"sequence_to_value", "sequence_to_sequence", "sequence_to_class"})
    accepts_lengths = True
    readout: nn.Module

    def __init__(
        self,
        spec: TaskSpec,
        readout: str = "last",
        loss_every_step: bool = False,
        optimizer: OptimizerFactory | None = None,
        gradients: str = "bptt",
    ) -> None:
        super().__init__(spec, optimizer, gradients=gradients)
        require_one_of(READOUTS, readout=readout)
        self.require_one_answer("readout=mean", readout == "mean")
        self.require_one_answer("loss_every_step", loss_every_step)
        self.reads_mean = readout == "mean"
        self.loss_every_step = loss_every_step

    def core(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The outputs ``[T, B, H]`` for the readout; outputs past the end of a sequence are ignored."""
        raise NotImplementedError(f"{type(self).__name__} must implement core")

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        output = self.core(x, lengths)
        if not self.spec.last_step_only:
            return self.readout(output)
        if self.reads_mean:
            return valid_mean(self.readout(output), lengths)
        return self.readout(last_membrane(output, lengths))

    def step_predictions(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.readout(self.core(x, lengths))


def make_readout(size: int, hidden: Sequence[int], output_size: int, dropout: float = 0.0) -> nn.Module:
    """Linear layers with ``hidden`` units, ReLUs and dropout between them; one linear layer if ``hidden`` is empty."""
    if not hidden:
        return nn.Linear(size, output_size)
    require_positive(decoder=hidden)
    layers: list[nn.Module] = []
    for size_in, size_out in pairwise([size, *hidden]):
        layers += [nn.Linear(size_in, size_out), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
    return nn.Sequential(*layers, nn.Linear(hidden[-1], output_size))
