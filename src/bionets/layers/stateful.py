"""Layers that are written for one time step and keep their state between calls."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bionets.layers.backward_pass import GraphGuard, refuse_recomputation
from bionets.layers.find_modules import find_modules, join_path
from bionets.layers.folding import current_folding, folding, refuse_within_unroll
from bionets.scan.eager import backward_pass, needs_reference

States = tuple[Tensor, ...]
INITIAL = "initial"  # metadata of a file of states: names of the states that were not kept


class StatefulModule(nn.Module):
    """A layer that keeps its state between calls, until `reset_states`.

    A subclass sets the names of its states, and implements their shapes and `over_time`, a pure function of input and
    states. A call of the layer is one time step, ``[B, ...] -> [B, ...]``, or with ``whole_sequence=True`` a whole
    sequence, ``[T, B, ...] -> [T, B, ...]`` (`unroll` does this for a whole model). Both start from the kept states and
    keep the last states.

    The kept states are the attributes ``state_names``; they are None before the first call. They are moved by
    ``.to()``, and copied and pickled with the layer (without their graph), but are neither parameters nor in its
    ``state_dict``.
    """

    state_names: tuple[str, ...]
    kept_in = -1  # the backward pass in which the states were set; see `refuse_recomputation`
    step_backend = "reference"  # for single steps: a kernel is not faster than the step itself

    def __init__(self) -> None:
        super().__init__()
        for name in self.state_names:
            self.register_buffer(name, None, persistent=False)

    def state_shapes(self, input_shape: torch.Size) -> tuple[tuple[int, ...], ...]:
        """The shape of each state, for an input of one step of this shape."""
        raise NotImplementedError(f"{self._get_name()} must implement state_shapes")

    def over_time(
        self,
        x: Tensor,
        states: States | None = None,
        *,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
        backend: str = "auto",
    ) -> tuple[Tensor, States]:
        """The outputs ``[T, B, ...]`` and last states for x ``[T, B, ...]``, from ``states`` (default: initial states).

        Pure: the kept states are neither read nor changed. With ``lengths`` (``[B]`` integers), states do not change
        past the end of a sequence, and outputs there are zero; x there is ignored. With ``reset``
        (``[T, B]`` bools), the states before a step are the initial states if ``reset`` is True for this step.
        ``backend`` is that of `bionets.scan.scan`.
        """
        raise NotImplementedError(f"{self._get_name()} must implement over_time")

    def checked_states(self, x: Tensor, states: States | None) -> States:
        """The given states for a sequence x ``[T, B, ...]``; initial states if None are given.

        Raises:
            ValueError: their number or their shapes are not those of `state_shapes`.
        """
        if states is None:
            return self.initial_states(x)
        expected, found = self.state_shapes(x.shape[1:]), tuple(tuple(state.shape) for state in states)
        if found != expected:
            shapes = ", ".join(f"{name} {list(shape)}" for name, shape in zip(self.state_names, expected, strict=True))
            raise ValueError(f"{self._get_name()}: expected states of shape {shapes}, got {[*map(list, found)]}")
        return states

    def step(self, x: Tensor, states: States | None = None) -> tuple[Tensor, States]:
        """`over_time` for a single step: x and the output ``[B, ...]``."""
        y, states = self.over_time(x.unsqueeze(0), states, backend=self.step_backend)
        return y.squeeze(0), states

    def initial_states(self, x: Tensor) -> States:
        """The states before the first step of x ``[T, B, ...]``: zeros."""
        like = next((p for p in self.parameters() if p.is_floating_point()), x)
        return tuple(like.new_zeros(shape) for shape in self.state_shapes(x.shape[1:]))

    def forward(
        self, x: Tensor, *, whole_sequence: bool = False, lengths: Tensor | None = None, reset: Tensor | None = None
    ) -> Tensor:
        """Run one step or a whole sequence from the kept states; for ``lengths`` and ``reset`` see `over_time`.

        Raises:
            ValueError: the kept states belong to a batch of another size, or a single step has lengths or resets.
            RuntimeError: in the backward pass, if it reaches an old state whose graph has been freed, or if
                `torch.utils.checkpoint` calls the layer again from the state after the forward pass.
        """
        if current_folding() is not None and not whole_sequence:
            return self.unfolded(x, self.run_sequence)
        if whole_sequence:
            return self.run_sequence(x, lengths, reset)
        if lengths is not None or reset is not None:
            given = "lengths are" if lengths is not None else "reset is"
            raise ValueError(f"{self._get_name()}: {given} for a whole sequence, and this is one step")
        return self.keep(*self.step(x, self.states_for(x.unsqueeze(0))))

    def run_sequence(self, x: Tensor, lengths: Tensor | None = None, reset: Tensor | None = None) -> Tensor:
        """The outputs ``[T, B, ...]`` for x ``[T, B, ...]``, from the kept states; the last states are kept."""
        options = {"lengths": lengths, "reset": reset}
        given: dict[str, Any] = {
            name: option for name, option in options.items() if option is not None
        }  # a layer may not have these arguments
        return self.keep(*self.over_time(x, self.states_for(x), **given))

    def unfolded(self, x: Tensor, run: Callable[[Tensor, Tensor | None, Tensor | None], Tensor]) -> Tensor:
        """Within a pass of `unroll`: unfold x ``[T·B, ...]`` to ``[T, B, ...]``, call ``run(x, lengths, reset)``, and
        fold the result again."""
        fold = current_folding()
        assert fold is not None
        fold.note_call(self)
        with folding(None):  # for the layers that this layer calls
            kept = self._buffers[self.state_names[0]] if self.state_names else None
            pieces = 1 if kept is None else len(kept) // max(fold.batch, 1)
            x = fold.unfold(x, self._get_name(), pieces)
            return fold.fold(run(x, fold.lengths_of(x), fold.reset_of(x)))

    def keep(self, y: Tensor, states: States) -> Tensor:
        """Keep the states for the next call, and return the output."""
        if torch.is_grad_enabled() and any(state.requires_grad for state in states) and needs_reference() is None:
            y, *states = GraphGuard.apply(self._get_name(), y, *states)
        for name, state in zip(self.state_names, states, strict=True):
            self._buffers[name] = state  # equivalent to setattr, but much faster
        self.note_kept()
        return y

    def note_kept(self) -> None:
        """Record that the kept states were set now."""
        if self.kept_in != (now := backward_pass()):
            self.kept_in = now

    def _kept_states(self, input_shape: torch.Size) -> States | None:
        """The kept states, or None if one is missing. Raises ValueError if one does not fit an input of this shape."""
        kept = tuple(getattr(self, name) for name in self.state_names)
        if kept and all(state is None for state in kept):
            return None
        for name, state, expected in zip(self.state_names, kept, self.state_shapes(input_shape), strict=True):
            if state is not None and tuple(state.shape) != expected:
                raise ValueError(
                    f"{self._get_name()}: the kept {name} has shape {tuple(state.shape)} but an input of shape "
                    f"{tuple(input_shape)} needs {expected}: call reset_states(model) before a new batch"
                )
        return None if any(state is None for state in kept) else kept

    def states_for(self, x: Tensor) -> States:
        """The kept states for a sequence x ``[T, B, ...]``; missing states are replaced by initial states."""
        kept = self._kept_states(x.shape[1:])
        if kept is not None:
            refuse_recomputation(self._get_name(), self.kept_in)
            return kept
        named = zip(self.state_names, self.initial_states(x), strict=True)
        return tuple(start if getattr(self, name) is None else getattr(self, name) for name, start in named)

    def __getattr__(self, name: str) -> Any:
        if name != "state_names" and name in self.state_names and current_folding() is not None:
            refuse_within_unroll(
                f"the state {name} of {self._get_name()} is read",
                "there is one state for each step: call the model step by step, "
                "torch.stack([model(step) for step in x])",
            )
        return super().__getattr__(name)

    def __getstate__(self) -> dict[str, Any]:
        # Tensors inside a graph can be neither copied nor pickled.
        buffers = {name: None if kept is None else kept.detach() for name, kept in self._buffers.items()}
        return {**self.__dict__, "_buffers": buffers}


def stateful_modules(model: Any) -> Iterator[tuple[str, StatefulModule]]:
    """Every layer of the model that keeps a state, with its path; see `find_modules`."""
    return find_modules(model, StatefulModule)


def reset_states(model: Any) -> None:
    """Reset all states: every stateful layer starts from its initial state at the next call."""
    _refuse_within_unroll("reset_states")
    for _, module in stateful_modules(model):
        for name in module.state_names:
            module._buffers[name] = None
        module.note_kept()


def detach_states(model: Any) -> None:
    """Detach all kept states from the graph: no gradient flows further back in time."""
    _refuse_within_unroll("detach_states")
    for _, module in stateful_modules(model):
        for name in module.state_names:
            kept = getattr(module, name)
            setattr(module, name, None if kept is None else kept.detach())


def get_states(model: Any) -> dict[str, Tensor]:
    """All kept states by ``path.name``, with their graph; layers that were not called since a reset have none."""
    _refuse_within_unroll("get_states")
    kept = {key: getattr(module, name) for key, (module, name) in _places(model).items()}
    return {key: state for key, state in kept.items() if state is not None}


def set_states(model: Any, states: Mapping[str, Tensor]) -> None:
    """Set the kept states to the result of `get_states`; layers without an entry start from their initial state.

    Raises:
        ValueError: a name is not a state of the model.
    """
    _refuse_within_unroll("set_states")
    places = _places(model)
    _refuse_unknown(states, places)
    for key, (module, name) in places.items():
        setattr(module, name, states.get(key))
        module.note_kept()


@contextmanager
def temporary_states(model: Any) -> Iterator[None]:
    """Start from initial states within this context, and restore the kept states at its end."""
    kept = get_states(model)
    reset_states(model)
    try:
        yield
    finally:
        set_states(model, kept)


def save_states(model: Any, path: str | PathLike[str]) -> None:
    """Write all kept states to a safetensors file, with the names of the states that are not kept."""
    states = get_states(model)
    initial = sorted(_places(model).keys() - states.keys())
    tensors = {key: state.detach().clone().contiguous() for key, state in states.items()}
    save_file(tensors, path, metadata={INITIAL: json.dumps(initial)})


def load_states(model: Any, path: str | PathLike[str]) -> None:
    """Load the states that `save_states` wrote, to the device of each layer.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a safetensors file, or its states do not match the model.
    """
    try:
        with safe_open(path, framework="pt") as file:
            states = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # not a dict
            initial = json.loads((file.metadata() or {}).get(INITIAL, "[]"))
        if not isinstance(initial, list) or not all(isinstance(name, str) for name in initial):
            raise ValueError(f"its {INITIAL} must be a list of names")
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path} is not a safetensors file as save_states writes it ({error})") from None
    places = _places(model)
    _refuse_unknown((*states, *initial), places)
    if missing := sorted(places.keys() - states.keys() - set(initial)):
        raise ValueError(f"{path} has no state {missing[0]}: it has {', '.join(states) or 'none'}")
    set_states(model, {key: state.to(_device(places[key][0])) for key, state in states.items()})


def _refuse_unknown(names: Iterable[str], places: Mapping[str, Any]) -> None:
    if unknown := sorted(set(names) - places.keys()):
        raise ValueError(f"the model has no state {unknown[0]}: it has {', '.join(places) or 'none'}")


def _refuse_within_unroll(function: str) -> None:
    refuse_within_unroll(
        f"{function} is called",
        f"call {function} before or after, or the model step by step, torch.stack([model(step) for step in x])",
    )


def _places(model: Any) -> dict[str, tuple[StatefulModule, str]]:
    """The layer and name of each state, by ``path.name``."""
    return {
        join_path(path, name): (module, name) for path, module in stateful_modules(model) for name in module.state_names
    }


def _device(module: nn.Module) -> torch.device | None:
    return next((tensor.device for tensor in (*module.parameters(), *module.buffers())), None)
