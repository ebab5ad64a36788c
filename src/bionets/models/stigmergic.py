"""Networks with a stigmergic memory and a small feed-forward readout."""

from itertools import pairwise
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from bionets.layers import RecurrentStigmergicMemory, StigmergicMemory, reset_states, unroll
from bionets.layers.single_step import StatefulStep
from bionets.models.checks import require_positive
from bionets.models.model import Model, OptimizerFactory
from bionets.tasks.spec import Kind, TaskSpec


class StigmergicModel(Model):
    """x ``[T, B, input_size]`` -> stigmergic memory -> Linear, PReLU, Linear, PReLU, at the last step or at every step.

    With the defaults and rows of 28 pixels, this is the network SM-RNN of Galatolo, Cimino and Vaglini (ICPRAM 2019),
    with 3,144 parameters (the paper counts 3,190).

    Args:
        memory_size: number of cells of the memory.
        recurrent: whether the mark and tick networks also get the memory as input.
        hidden_layers, hidden_size: number and size of the hidden layers of the mark and tick networks.
        clamp_min, clamp_max: range of the cells; None for no limit on this side.
        readout_size, readout_layers: size and number of the layers between memory and prediction.
        tick_inputs: number of the last inputs that only the tick network gets, while the mark network gets the other
            inputs; None: both get all inputs.
        final_prelu: whether a PReLU follows the last layer, as in the published network. Without it the prediction is
            linear, as required for numbers and logits of any size and sign.

    Raises:
        ValueError: the kind of task is not supported, or `StigmergicMemory` does not accept a size.
    """

    accepts: ClassVar[frozenset[Kind]] = frozenset({"sequence_to_value", "sequence_to_sequence", "sequence_to_class"})
    accepts_lengths = True
    needed_options = (("readout_size", "readout_layers"),)

    def __init__(
        self,
        spec: TaskSpec,
        memory_size: int = 15,
        recurrent: bool = True,
        hidden_layers: int = 1,
        hidden_size: int = 20,
        clamp_min: float | None = 0.0,
        clamp_max: float | None = 10.0,
        readout_size: int = 10,
        final_prelu: bool = True,
        readout_layers: int = 1,
        tick_inputs: int | None = None,
        optimizer: OptimizerFactory | None = None,
    ) -> None:
        super().__init__(spec, optimizer)
        require_positive(readout_size=readout_size)
        if readout_layers < 0:
            raise ValueError(f"model.readout_layers must be at least 0, got {readout_layers}")
        if tick_inputs is not None and not 0 < tick_inputs < spec.input_size:
            raise ValueError(f"model.tick_inputs must lie between 1 and {spec.input_size - 1}, got {tick_inputs}")
        layer = RecurrentStigmergicMemory if recurrent else StigmergicMemory
        marks = spec.input_size - (tick_inputs or 0)
        self.memory = layer(marks, memory_size, hidden_layers, hidden_size, clamp_min, clamp_max, tick_inputs)
        readout: list[nn.Module] = []
        for size_in, size_out in pairwise([memory_size] + [readout_size] * readout_layers):
            readout += [nn.Linear(size_in, size_out), nn.PReLU()]
        readout.append(nn.Linear(readout_size if readout_layers else memory_size, spec.output_size))
        self.readout = nn.Sequential(*readout, *([nn.PReLU()] if final_prelu else []))

    def single_step(self, x: Tensor) -> StatefulStep:
        return StatefulStep(self.memory, x, self.readout)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        reset_states(self)
        memories = unroll(self.memory, x, lengths=lengths)
        if self.spec.last_step_only:
            memory = self.memory.memory
            assert memory is not None
            return self.readout(memory.to(memories.dtype))  # it is float32 also in half precision
        return unroll(self.readout, memories, lengths=lengths)

    def draw(self, directory: Path, title: str, x: Tensor) -> list[Path]:
        """Draw the memory for the first sequence."""
        from bionets.analysis.stigmergy import draw_memory, trace_memory

        sequence = x[:, 0]
        return [draw_memory(directory / "memory.png", sequence, trace_memory(self.memory, sequence), title)]
