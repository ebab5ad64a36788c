"""Networks with a stigmergic memory, read out by a small feed-forward network."""

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

    With the defaults and rows of 28 pixels this is the network SM-RNN of Galatolo, Cimino and Vaglini (ICPRAM 2019),
    3,144 parameters.

    Args:
        memory_size: cells.
        recurrent: whether the networks that mark and evaporate also see what is in the memory.
        hidden_layers, hidden_size: of each of those two networks.
        clamp_min, clamp_max: where the cells are held; None leaves a side open.
        readout_size, readout_layers: units of each layer between memory and prediction, and how many of these there
            are.
        tick_inputs: so many of the last inputs are seen by the network that evaporates alone, and the others by the one
            that marks alone; None: both see all.
        final_prelu: whether a PReLU follows the last layer, as it does in the published network. Without it the
            prediction is linear, as numbers and logits of any size and sign ask for.

    Raises:
        ValueError: a kind of task that does not fit, or a size that `StigmergicMemory` refuses.
    """

    accepts: ClassVar[frozenset[Kind]] = frozenset({"sequence_to_value", "sequence_to_sequence", "sequence_to_class"})
    accepts_lengths = True

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
        """Figures of the memory on the first sequence."""
        from bionets.analysis.stigmergy import draw_memory, trace_memory

        sequence = x[:, 0]
        return [draw_memory(directory / "memory.png", sequence, trace_memory(self.memory, sequence), title)]
