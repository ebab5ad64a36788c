"""Runs a presentation with the Triton kernels.

If samples share no values that change, one launch computes all time steps. Otherwise, a step has one launch for the
dynamics and one for each connection and threshold that learns; on a GPU, the launches of a step are captured once as a
CUDA graph and replayed.
"""

import functools
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from bionets.layers.plastic.compiled import dtypes_of, values_of, weight_of
from bionets.layers.plastic.gpu.dynamics import EVENTS, DynamicsPrinter, GroupKind, kinds_of
from bionets.layers.plastic.graph import Graph
from bionets.layers.plastic.integrate_and_fire import AdaptiveLIF
from bionets.layers.plastic.pair_stdp import check_dependence
from bionets.layers.plastic.replay import FEWEST_STEPS, cuda_graph
from bionets.layers.plastic.weighted import WeightedConnection
from bionets.scan.gpu.kernels import Kernel, load_kernel

LARGEST = 1024  # maximum number of neurons of a tile
WARPS = 8
TILE = 32  # rows and columns of the weights that one instance changes

Launch = Callable[[], None]
KINDS = {torch.float32: "tl.float32", torch.float64: "tl.float64"}


def run(
    network: Graph, spikes: dict[str, Tensor], rewards: Tensor | None, currents: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The spikes ``[T, B, *shape]`` of every group that is not an input. External currents are not supported:
    `simulate` runs networks with external currents by the reference.
    """
    presentation = Presentation(network, spikes)
    learning = presentation.learning()
    if not learning:
        presentation.dynamics(presentation.steps)
        return presentation.out

    def step() -> None:
        presentation.dynamics(1)
        for launch in learning:
            launch()
        presentation.clock.add_(1)

    _repeat(step, presentation.steps, presentation.clock.device)
    return presentation.out


def _repeat(step: Launch, times: int, device: torch.device) -> None:
    """Run a step ``times`` times, on a GPU as a CUDA graph if that is faster. The first run compiles the kernels."""
    graph = device.type == "cuda" and times >= FEWEST_STEPS and not torch.cuda.is_current_stream_capturing()
    for number in range(times):
        step()
        if graph and number == 0:
            step = cuda_graph(step)


@functools.lru_cache(maxsize=64)
def _kernel(kinds: tuple[GroupKind, ...], dtype: str) -> Kernel:
    return load_kernel(DynamicsPrinter(kinds, dtype).source())


class Presentation:
    """The tensors of one presentation by the names of the kernel arguments, and the launches."""

    def __init__(self, network: Graph, spikes: dict[str, Tensor]) -> None:
        given = next(iter(spikes.values()))
        self.network, (self.steps, self.batch), device = network, given.shape[:2], given.device
        (self.dtype,) = dtypes_of(network)
        self.clock = torch.zeros(1, dtype=torch.int32, device=device)
        self.out: dict[str, Tensor] = {}
        self.values: dict[str, Any] = {"clock": self.clock, "batch": self.batch}
        self.numbers = {neurons: number for number, neurons in enumerate(network.neurons.values())}
        for number, name in enumerate(network.neurons):
            self._add_group(number, name, spikes)
        for number, name in enumerate(network.connections):
            self.values[f"weight{number}"] = weight_of(network, name)
            target = network.neurons[network.paths[name][1]]
            self.values[f"size_of_target{number}"] = math.prod(target.shape)

    def _add_group(self, number: int, name: str, spikes: dict[str, Tensor]) -> None:
        neurons = self.network.neurons[name]
        size = math.prod(neurons.shape)
        values = values_of(neurons, self.batch, self.dtype)
        self.values |= {f"{own}{number}": _bytes(value) for own, value in values.items()}
        fired = values["spikes"]
        flat = fired.reshape(self.batch, size)
        self.values |= {
            f"size{number}": size,
            f"fresh{number}": torch.empty_like(_bytes(fired)),
            f"counts{number}": flat.sum(1, dtype=torch.int32),
            f"list{number}": torch.argsort((~flat).to(torch.uint8), dim=1, stable=True).to(torch.int32),
        }
        if name in spikes:
            self.values[f"x{number}"] = _bytes(spikes[name].contiguous())
        else:
            self.out[name] = fired.new_empty((self.steps, self.batch, *neurons.shape))
            self.values[f"out{number}"] = _bytes(self.out[name])

    def dynamics(self, steps: int) -> None:
        """Compute all groups over this number of time steps, starting at the step of the clock."""
        kernel = _kernel(kinds_of(self.network), KINDS[self.dtype])
        largest = max(math.prod(neurons.shape) for neurons in self.network.neurons.values())
        block = min(LARGEST, max(32, 1 << (largest - 1).bit_length()))
        arguments = [{**self.values, "steps": steps}[name] for name in kernel.source.arguments]
        _launch(kernel.function, (self.batch,), *arguments, block, EVENTS, num_warps=WARPS)

    def learning(self) -> list[Launch]:
        """The launches that change values shared by all samples, at the end of each step."""
        launches: list[Launch] = []
        for neurons, number in self.numbers.items():
            if isinstance(neurons, AdaptiveLIF) and neurons.homeostasis and neurons.adapts:
                launches.append(functools.partial(self._adapt, number))
        for rule in self.network.rules if self.network.training else ():
            for connection, options in rule:
                launches.append(self._learning_of(connection, options))
        return launches

    def _adapt(self, number: int) -> None:
        from bionets.layers.plastic.gpu.learning import adapt

        names = ("adaptation", "adaptation_decay", "adaptation_gain", "spikes")
        size = self.values[f"size{number}"]
        given = [self.values[f"{name}{number}"] for name in names]
        _launch(adapt, (-(-size // 128),), *given, self.batch, size, 128)

    def _learning_of(self, connection: WeightedConnection, options: SimpleNamespace) -> Launch:
        from bionets.layers.plastic.gpu.learning import learn

        ends = self.network.ends_of(connection)
        for end, neurons in zip(("source", "target"), ends, strict=True):
            neurons.require_trace(end)
        check_dependence(connection, options.weight_dependence)
        rows, columns = connection.weight.shape
        low, high = connection.bounds
        rates = (options.potentiation, options.depression, options.trace_target)
        numbers = torch.tensor([*rates, low, high], dtype=self.dtype, device=self.clock.device)
        given = [self.values[f"{name}{self.numbers[end]}"] for end in ends for name in ("spikes", "trace")]
        grid = (-(-rows // TILE), -(-columns // TILE))
        exponent = float(options.weight_dependence)
        arguments = (connection.weight.data, *given, numbers, self.batch, rows, columns, exponent, TILE, TILE)
        return functools.partial(_launch, learn, grid, *arguments)


def _bytes(values: Tensor) -> Tensor:
    """View bools as bytes."""
    return values.view(torch.uint8) if values.dtype == torch.bool else values


def _launch(function: Any, grid: tuple[int, ...], *arguments: Any, num_warps: int = 4) -> None:
    """Launch without fused multiply-adds, so that the same values cross a threshold as in eager PyTorch."""
    device = next(each.device for each in arguments if isinstance(each, Tensor))
    with torch.cuda.device(device) if device.type == "cuda" else torch.no_grad():
        function[grid](*arguments, num_warps=num_warps, enable_fp_fusion=False)
