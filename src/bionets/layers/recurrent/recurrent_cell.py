"""Single steps with the interface of `torch.nn.GRUCell`, for any `Recurrence`."""

import torch
from torch import Tensor

from bionets.layers.recurrent.recurrence import RecurrentModule, States


class RecurrentCell(RecurrentModule):
    """One step of a recurrence, with the same step function as its layer; subclasses set `recurrence`.

    Input `[B, input_size]` or `[input_size]`; each state `[B, hidden_size]` or `[hidden_size]`, zeros if not given.
    Returns the new state(s).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        initialisation: str | None = None,
        chrono_steps: int | None = None,
        **constants: float,
    ) -> None:
        super().__init__(input_size, hidden_size, initialisation, chrono_steps, constants)
        self._add_parameters(input_size, "", bias, device=device, dtype=dtype)
        self.reset_parameters()

    def forward(self, x: Tensor, state: Tensor | States | None = None) -> Tensor | States:
        """One step from `state`; see the class for shapes.

        Raises TypeError for an input or a state that is not a tensor, and ValueError for one of the wrong shape or with
        a dtype other than that of the weights.
        """
        self._check_input(x, (1, 2))
        batch = x.shape[:-1]
        states = self._states_of(state, (*batch, self.hidden_size))
        if not batch:
            x, states = x.unsqueeze(0), tuple(state.unsqueeze(0) for state in states)
        # A scan of length one: no kernel would be faster than the step itself.
        _, states = self.recurrence.over_time(
            x.unsqueeze(0), states, self._named_parameters(""), **self.constants, backend="reference"
        )
        return self._as_given(states if batch else tuple(state.squeeze(0) for state in states))

    def extra_repr(self) -> str:
        bias = ", bias=False" if None in self._parameters.values() else ""
        return f"{self.input_size}, {self.hidden_size}{bias}{self._extra_initialisation()}"
