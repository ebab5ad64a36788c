"""The base class of spiking layers: parameters, states and a neuron axis for the time step of a neuron."""

import math
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bionets.layers.spiking.constraints import ConstrainedParameters
from bionets.layers.spiking.firing import firing_of
from bionets.layers.spiking.layout import Layout
from bionets.layers.spiking.over_time import neurons_over_time
from bionets.layers.stateful import StatefulModule, States
from bionets.scan.arguments import check_lengths, check_reset
from bionets.scan.eager import is_batched, is_exporting
from bionets.scan.interface import check_backend
from bionets.scan.uniform import uniform

FUNCTIONS = ("spike_fn", "quant_fn")  # fields of `Firing`
# neuron(x, state, params) -> (output, new states); state and params by name
Neuron = Callable[[Tensor, Any, Any], tuple[Tensor, Any]]


class SpikingLayer(ConstrainedParameters, StatefulModule):
    """A layer of neurons of one kind without connections between them, written as one time step.

    A subclass sets its ``state_names``, declares its parameters (`add_parameter`), and implements
    ``neuron(x, state, params) -> (output, new states)``: pure, elementwise torch operations, states and (constrained)
    parameters by name. States start at 0. With ``noises`` = n, ``state.noise`` holds n tensors of uniform noise in [0,
    1).

    The input of one step has any shape with size ``num_neurons`` along the axis ``dim`` (-1: features, -3: the channels
    of images); the output has the same shape. For states, whole sequences and the explicit form see `StatefulModule`
    and `bionets.layers.unroll`. ``backend`` is that of `bionets.scan.scan`.

    Noise: at the first call after a reset, a layer draws one seed from torch's generator. The noise of a step depends
    only on this seed and the number of the step, so that one pass, chunks and single steps use the same noise. Both
    numbers are stored in the state ``noise`` (int64, ``[2]``).
    """

    state_names: tuple[str, ...] = ()
    step_backend = "auto"  # as for whole sequences: the last bit may decide about a spike
    noises = 0
    neuron: Neuron

    def __init__(self, num_neurons: int, dim: int = -1, *, backend: str = "auto") -> None:
        if self.noises:
            self.state_names = (*self.state_names, "noise")
        super().__init__()
        if not isinstance(num_neurons, int) or isinstance(num_neurons, bool) or num_neurons < 1:
            raise ValueError(
                f"{self._get_name()}: num_neurons must be a whole number of at least 1, got {num_neurons!r}"
            )
        self.num_neurons = num_neurons
        self.dim = dim
        check_backend(backend)
        self.backend = backend
        self.constraints = {}
        self.frozen = None
        firing = firing_of(self)
        for name in FUNCTIONS:
            if isinstance(function := getattr(firing, name, None), nn.Module):
                self.add_module(name, function)

    def state_shapes(self, input_shape: torch.Size) -> tuple[tuple[int, ...], ...]:
        """The shape of the input for each state; the noise stream has two numbers."""
        return tuple((2,) if name == "noise" else tuple(input_shape) for name in self.state_names)

    def initial_states(self, x: Tensor, generator: torch.Generator | None = None) -> States:
        """Zeros, and a new stream of noise, whose seed is drawn from ``generator`` (None: torch's own)."""
        like = next((value for value in self.values() if value.is_floating_point()), x)
        dtype = torch.promote_types(like.dtype, torch.float32)  # states are float32 also for half precision
        zeros = [torch.zeros(x.shape[1:], dtype=dtype, device=x.device) for name in self.state_names if name != "noise"]
        return (*zeros, new_stream(generator)) if self.noises else tuple(zeros)

    def over_time(
        self,
        x: Tensor,
        states: States | None = None,
        *,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
        backend: str = "auto",
    ) -> tuple[Tensor, States]:
        """x and the outputs ``[T, B, ...]``, with ``num_neurons`` along ``dim``. Pure; see `StatefulModule`."""
        layout = Layout.of(x, self.neuron_axis(x.shape[1:]))
        if lengths is not None:
            lengths = check_lengths(lengths, x.shape[: 2 if layout.axis else 1], x.device)
        reset_to = None
        if reset is not None:
            reset = check_reset(reset, x.shape[: 2 if layout.axis else 1], x.device)
            reset_to = tuple(layout.to_scan(state) for state in self.fresh_states(x))
        memory, noise, stream = self.with_noise(x, self.checked_states(x, states))
        y, memory = neurons_over_time(
            self.step_of_tuples(),
            layout.to_scan,
            x,
            noise,
            tuple(layout.to_scan(state) for state in memory),
            tuple(layout.parameter(value) for value in self.values()),
            lengths=lengths,
            reset=reset,
            reset_to=reset_to,
            checkpoint_every=self.checkpoint_every(len(x)),
            backend=self.backend if backend == "auto" else backend,
        )
        return self.in_dtype_of(x, layout.from_scan(y, 1)), (*(layout.from_scan(state) for state in memory), *stream)

    def fresh_states(self, x: Tensor) -> States:
        """The initial states without the stream of noise, which resets within a sequence do not change."""
        initial = self.initial_states(x, torch.Generator())
        return initial[:-1] if self.noises else initial

    def values(self) -> tuple[Tensor, ...]:
        """The constrained values in the order of declaration, then the parameters and buffers of a spike function or
        quantiser that is a module."""
        return (*super().values(), *(tensor for _, _, tensor in self.function_tensors()))

    def function_tensors(self) -> list[tuple[str, str, Tensor]]:
        """The parameters and buffers of ``spike_fn`` and ``quant_fn`` if these are modules: function, name, tensor.

        Raises:
            ValueError: the size of a tensor is neither 1 nor num_neurons.
        """
        found = []
        for function in (name for name in FUNCTIONS if name in self._modules):
            module = self.get_submodule(function)
            for name, tensor in (*module.named_parameters(), *module.named_buffers()):
                if tensor.numel() not in (1, self.num_neurons):
                    raise ValueError(
                        f"{self._get_name()}: {function}.{name} must have one entry or num_neurons={self.num_neurons}, "
                        f"got shape {tuple(tensor.shape)}"
                    )
                found.append((function, name, tensor if tensor.numel() > 1 else tensor.view(())))
        return found

    def step_of_tuples(self) -> Callable[..., tuple[Tensor, States]]:
        """The neuron as a step of `bionets.scan.scan`, with states and parameters as tuples in their order."""
        states = tuple(name for name in self.state_names if name != "noise")
        step = partial(named_step, states=states, params_names=tuple(self.constraints))
        functions = {name: self.get_submodule(name) for name in FUNCTIONS if name in self._modules}
        if not functions:
            return partial(step, neuron=self.neuron)
        names = tuple((function, name) for function, name, _ in self.function_tensors())
        return partial(step_with_modules, step=step, neuron=self.neuron, functions=functions, names=names)

    def checkpoint_every(self, steps: int) -> int:
        """The distance in steps between the states stored for the backward pass, which recomputes the others. The
        square root of the number of steps needs the least memory and, on a CPU, not more time than storing all states.
        """
        return math.isqrt(max(1, steps))

    def neuron_axis(self, input_shape: torch.Size) -> int:
        """The axis ``dim`` of the input of one step, as a non-negative number.

        Raises:
            ValueError: there is no such axis, or its size is not num_neurons.
        """
        axis = self.dim % len(input_shape) if -len(input_shape) <= self.dim < len(input_shape) else None
        if axis is None or input_shape[axis] != self.num_neurons:
            raise ValueError(
                f"{self._get_name()}: one step's input must have num_neurons={self.num_neurons} entries along "
                f"dim={self.dim}, got an input of shape {tuple(input_shape)}"
            )
        return axis

    def with_noise(self, x: Tensor, states: States) -> tuple[States, States, States]:
        """The states without the stream of noise, the noise for the steps of x, and the stream after these steps."""
        if not self.noises:
            return states, (), ()
        if is_exporting():
            raise RuntimeError(
                f"{self._get_name()}: random spikes cannot be exported; take a hard spike_fn, such as 'arctan', or "
                "quant_fn='round'"
            )
        # no decorator of draw_noise: it would import the compiler of torch at start-up
        draw = torch.compiler.disable(draw_noise) if torch.compiler.is_compiling() else draw_noise
        numbers, stream = draw(states[-1], len(x), (self.noises, *x.shape[1:]), x.device)
        return states[:-1], numbers.unbind(1), (stream,)

    def in_dtype_of(self, x: Tensor, y: Tensor) -> Tensor:
        """y in the dtype that a scan of x without noise has; with inputs in half precision, the noise is float32."""
        return y.to(x.dtype) if self.noises and x.is_floating_point() and y.dtype == torch.float32 else y

    def extra_repr(self) -> str:
        return f"{self.num_neurons}, dim={self.dim}"


def named_step(
    x: Any, state: States, params: States, *, neuron: Neuron, states: tuple[str, ...], params_names: tuple[str, ...]
) -> tuple[Tensor, States]:
    """One step of a neuron that reads states and parameters by name."""
    x, *noise = x if isinstance(x, tuple) else (x,)
    named_state = SimpleNamespace(noise=tuple(noise), **dict(zip(states, state, strict=True)))
    named_params = SimpleNamespace(**dict(zip(params_names, params, strict=True)))
    y, new = neuron(x, named_state, named_params)
    return y, (new,) if isinstance(new, Tensor) else tuple(new)


def step_with_modules(
    x: Any,
    state: States,
    params: States,
    *,
    step: Callable[..., tuple[Tensor, States]],
    neuron: Any,
    functions: dict[str, nn.Module],
    names: tuple[tuple[str, str], ...],
) -> tuple[Tensor, States]:
    """One step of a neuron whose spike function or quantiser is a module. The last params are the tensors of the
    module, so that the step can be compiled with them."""
    own = params[len(params) - len(names) :]
    tensors: dict[str, dict[str, Tensor]] = {function: {} for function in functions}
    for (function, name), tensor in zip(names, own, strict=True):
        tensors[function][name] = tensor

    def with_tensors(name: str) -> Callable[..., Tensor]:
        return lambda *inputs: functional_call(functions[name], tensors[name], inputs)

    firing = neuron.keywords["firing"]._replace(**{name: with_tensors(name) for name in functions})
    return step(x, state, params[: len(params) - len(names)], neuron=partial(neuron, firing=firing))


def new_stream(generator: torch.Generator | None = None) -> Tensor:
    """The start of a new stream: its seed, drawn from torch's generator, and the number of steps drawn so far."""
    seed = torch.randint(2**63 - 1, (), dtype=torch.int64, generator=generator)
    return torch.stack([seed, torch.zeros_like(seed)])


def draw_noise(stream: Tensor, time: int, shape: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """The next ``time`` steps of a stream, uniform in [0, 1), float32 ``[time, *shape]``, and the stream after them.

    Raises:
        RuntimeError: torch.vmap batches the stream.
    """
    if is_batched(stream):
        raise RuntimeError("torch.vmap draws random spikes only with randomness='same', one stream for all its calls")
    seed, first = stream.tolist()
    return uniform(seed, first, (time, *shape), device), torch.tensor([seed, first + time])
