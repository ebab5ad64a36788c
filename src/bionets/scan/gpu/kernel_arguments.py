"""The arguments of a printed Triton kernel: tensors at the first processed step, strides and sizes."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bionets.scan.call import Call
from bionets.scan.gpu.kernels import Kernel, launch_chunks, launch_elements, launch_rows
from bionets.scan.gpu.printer import Variant
from bionets.scan.gpu.results import Results


class KernelArguments:
    """The arguments of a kernel by name, and those that are compile-time constants."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.wide = False
        self.strided: set[str] = set()
        self.absent: set[str] = set()
        self.values: dict[str, Any] = {
            "steps": call.time,
            "every": call.checkpoint_every,
            "direction": -1 if call.reverse else 1,
            "total": call.batch * call.width,
            "width": call.width,
            "lengths": call.lengths,
        }

    def add_inputs(self, step: int) -> None:
        """x at the first processed step, and the inputs that are the same at every step."""
        call = self.call
        self.values["time"] = call.time - 1 - step if call.reverse else step
        for i, leaf in enumerate(call.x):
            self.add_over_time(f"x{i}", leaf, step)
        for i, leaf in enumerate(call.state):
            self.values[f"initial{i}"] = leaf
        for i, leaf in enumerate(call.params):
            self.values[f"params{i}"] = leaf.contiguous()
            if leaf.numel() == 1:
                self.strided.add(f"params{i}")
        for k, weight in enumerate(call.weights):
            self.values[f"weight{k}"] = weight.contiguous()

    def add(self, name: str, leaf: Tensor | None) -> None:
        """A tensor `[B, N]` of any strides."""
        if leaf is None:
            self.absent.add(name)
            return
        self._add(name, leaf, *leaf.stride())

    def _add(self, name: str, leaf: Tensor, row: int, column: int) -> None:
        """A tensor whose first element belongs to the first row, with its strides."""
        batch, width = self.call.batch, self.call.width
        self.values[name] = leaf
        if not ((row == width or batch == 1) and (column == 1 or width == 1)):
            self.strided.add(name)
            self.values[f"{name}_row"], self.values[f"{name}_column"] = row, column
        self.wide |= (batch - 1) * row + (width - 1) * column >= 2**31

    def add_over_time(self, name: str, leaf: Tensor | None, step: int, forward: bool = False) -> None:
        """A tensor `[T, B, N]` at a step; steps are counted in the order of processing.

        forward: the tensor is stored in the order of processing, not in the order of time.
        """
        if leaf is None:
            self.absent.add(name)
            return
        backwards = self.call.reverse and not forward
        place = leaf.shape[0] - 1 - step if backwards else step
        time, row, column = leaf.stride()
        self._add(name, leaf[place] if place else leaf, row, column)
        self.values[f"{name}_time"] = -time if backwards else time

    def add_history(self, name: str, leaf: Tensor, step: int) -> None:
        """A history in the order of time, or with checkpoints in the order of their creation. It may be empty."""
        if leaf.shape[0] == 0:  # never read
            leaf = self.call.state[0].unsqueeze(0)
        self.add_over_time(name, leaf, step, forward=self.call.checkpoint_every > 1)

    def add_outputs(self, y: list[Tensor], final: list[Tensor], histories: Mapping[int, Tensor]) -> None:
        """The results of a forward pass, with the histories by number of the state."""
        for i, leaf in enumerate(y):
            self.add_over_time(f"y{i}", leaf, 0)
        for i, leaf in enumerate(final):
            self.values[f"final{i}"] = leaf
        for i, leaf in histories.items():
            self.add_history(f"history{i}", leaf, 0)

    def add_gradients(
        self, grad_y: list[Tensor | None], grad_final: list[Tensor | None], results: Results, step: int
    ) -> None:
        """The given gradients and the results of a backward pass, except those of stages with weights."""
        for i, given in enumerate(grad_y):
            self.add_over_time(f"grad_y{i}", given, step)
        for i, given in enumerate(grad_final):
            self.add(f"grad_final{i}", given)
        for i, gradient in results.x_by_number().items():
            self.add_over_time(f"grad_x{i}", gradient, step)
        self.values |= {f"grad_initial{i}": leaf for i, leaf in enumerate(results.state)}
        self.values |= {f"grad_params{i}": leaf for i, leaf in results.sums.items()}

    def variant(self, **options: Any) -> Variant:
        masked = self.call.lengths is not None
        return Variant(masked, strided=frozenset(self.strided), absent=frozenset(self.absent), **options)

    def launch(self, kernel: Kernel) -> None:
        """Run a kernel on whole rows, on segments of time, or on all elements in blocks."""
        if kernel.source.rows:
            launch_rows(kernel, self.values, sum(stage.blocks for stage in self.call.program.stages), self.wide)
        elif "segments" in self.values:
            launch_chunks(kernel, self.values, self.wide)
        else:
            launch_elements(kernel, self.values, self.wide)
