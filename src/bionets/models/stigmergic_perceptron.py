"""Networks of stigmergic perceptrons with a readout of all time steps."""

from typing import ClassVar

from torch import Tensor, nn

from bionets.layers import StigmergicPerceptron, reset_states, unroll
from bionets.models.checks import require_positive
from bionets.models.model import Model, OptimizerFactory
from bionets.tasks.spec import Kind, TaskSpec


class StigmergicPerceptronModel(Model):
    """x ``[T, B, input_size]`` -> units with stigmergic thresholds -> units with stigmergic thresholds and weights ->
    Linear over the outputs of all steps.

    With the defaults and rows of 28 pixels, it has 3,470 parameters, as the network S-NN of Galatolo, Cimino and
    Vaglini (MIKE 2018). Its scores are linear, while S-NN ends with sigmoids.

    Args:
        hidden_size: number of units in each of the two layers.

    Raises:
        ValueError: the kind of task is not supported, or a size is below 1.
    """

    accepts: ClassVar[frozenset[Kind]] = frozenset({"sequence_to_class"})

    def __init__(self, spec: TaskSpec, hidden_size: int = 10, optimizer: OptimizerFactory | None = None) -> None:
        super().__init__(spec, optimizer)
        require_positive(hidden_size=hidden_size)
        assert spec.steps is not None
        self.units = nn.Sequential(
            StigmergicPerceptron(spec.input_size, hidden_size),
            StigmergicPerceptron(hidden_size, hidden_size, stigmergic_weights=True),
        )
        self.readout = nn.Linear(spec.steps * hidden_size, spec.output_size)

    def forward(self, x: Tensor) -> Tensor:
        reset_states(self)
        return self.readout(unroll(self.units, x).transpose(0, 1).flatten(1))
