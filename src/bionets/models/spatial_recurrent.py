"""Recurrent networks whose units have positions."""

from typing import Any

from torch import Tensor, nn

from bionets.layers import SpatialRecurrent
from bionets.models.checks import require_not_negative, require_positive
from bionets.models.recurrent import RecurrentModel
from bionets.tasks.spec import TaskSpec


class SpatialRecurrentModel(RecurrentModel):
    """A `RecurrentModel` whose units have positions, with costs for the lengths of recurrent connections.

    The training loss is task loss + wiring · wiring cost + proximity · proximity cost, see `SpatialRecurrent`.
    ``val/loss`` is only the task loss. The costs, without weights, are recorded as ``val/wiring`` and
    ``val/proximity``, and the mean length of the connections, weighted by their strengths, as
    ``val/connection_length``.

    Args:
        wiring: weight of the wiring cost.
        proximity: weight of the proximity cost, which is needed only for learnt positions.
        learn_positions: whether positions are learnt; False for units on a regular grid.
        dim: number of dimensions of the positions.
        others: see `RecurrentModel`.

    Raises:
        ValueError: as in `RecurrentModel`, a weight is negative, or positions are learnt with wiring but without
            proximity.

    Source: Achterberg, Akarca, Strouse, Duncan and Astle, Nature Machine Intelligence 2023 (seRNN).
    """

    needed_options = (*RecurrentModel.needed_options, ("proximity", "learn_positions"))

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
        """The costs ``wiring`` and ``proximity``, ``connection_length``, and the metrics of `RecurrentModel`."""
        return {
            **super().validation_metrics(x, lengths),
            "wiring": self.recurrent.wiring_cost(),
            "proximity": self.recurrent.proximity_cost(),
            "connection_length": self.recurrent.mean_connection_length(),
        }

    def recorded_arrays(self) -> dict[str, dict[str, Tensor]]:
        """``positions.npz`` if positions are learnt: the positions of the units of each layer."""
        if not self.learn_positions:
            return {}
        return {"positions": {f"layer_{i}": each for i, each in enumerate(self.recurrent.positions)}}

    def recurrent_layer(self) -> nn.Module:
        return self.recurrent.layer
