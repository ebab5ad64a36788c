"""Recurrent networks whose units have positions."""

from typing import Any

from torch import Tensor, nn

from bionets.layers import SpatialRecurrent
from bionets.models.checks import require_not_negative, require_positive
from bionets.models.recurrent import RecurrentModel
from bionets.tasks.spec import TaskSpec


class SpatialRecurrentModel(RecurrentModel):
    """A `RecurrentModel` whose units have positions, and whose recurrent connections cost something by their length.

    The loss of training is task loss + wiring · wiring cost + proximity · proximity cost, see `SpatialRecurrent`.
    ``val/loss`` is the task's alone; the costs, not weighted, are recorded as ``val/wiring`` and ``val/proximity``, and
    the mean length of a connection, weighted by its strength, as ``val/connection_length``.

    Args:
        wiring: the weight of the wiring cost.
        proximity: the weight of the proximity cost, which only learnt positions need.
        learn_positions: False for units on a regular grid.
        dim: in how many dimensions the units lie.
        others: see `RecurrentModel`.

    Raises:
        ValueError: those of `RecurrentModel`; a negative weight; learnt positions with wiring but without proximity.

    Source: Achterberg, Akarca, Strouse, Duncan and Astle, Nature Machine Intelligence 2023 (seRNN).
    """

    def __init__(
        self,
        spec: TaskSpec,
        layer: str = "torch.nn.RNN",
        *,
        wiring: float = 1e-3,
        proximity: float = 0.0,
        learn_positions: bool = False,
        dim: int = 3,
        **others: Any,
    ) -> None:
        require_not_negative(wiring=wiring, proximity=proximity)
        require_positive(dim=dim)
        if learn_positions and wiring and not proximity:
            raise ValueError(
                "model.learn_positions=true moves all units to one position: give model.proximity a weight, such as 1.0"
            )
        super().__init__(spec, layer, **others)
        try:
            self.recurrent = SpatialRecurrent(self.recurrent, dim, learn_positions)
        except ValueError as error:
            raise ValueError(f"model.layer={layer}: {error}") from error
        self.wiring, self.proximity, self.learn_positions = wiring, proximity, learn_positions

    def training_step(self, batch: tuple[Tensor, ...], batch_index: int) -> Tensor:
        loss = super().training_step(batch, batch_index)
        if self.wiring:
            loss = loss + self.wiring * self.recurrent.wiring_cost()
        if self.proximity:
            loss = loss + self.proximity * self.recurrent.proximity_cost()
        return loss

    def validation_metrics(self, x: Tensor, lengths: Tensor | None = None) -> dict[str, Tensor]:
        """``wiring`` and ``proximity``, the costs, and ``connection_length``; and those of `RecurrentModel`."""
        return {
            **super().validation_metrics(x, lengths),
            "wiring": self.recurrent.wiring_cost(),
            "proximity": self.recurrent.proximity_cost(),
            "connection_length": self.recurrent.mean_connection_length(),
        }

    def recorded_arrays(self) -> dict[str, dict[str, Tensor]]:
        """``positions.npz``, where positions are learnt: those of the units of each layer."""
        if not self.learn_positions:
            return {}
        return {"positions": {f"layer_{i}": each for i, each in enumerate(self.recurrent.positions)}}

    def recurrent_layer(self) -> nn.Module:
        return self.recurrent.layer
