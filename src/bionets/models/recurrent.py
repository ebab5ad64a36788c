"""Recurrent networks: layers with the interface of ``nn.GRU`` and a linear readout."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bionets.layers.lengths import valid_steps
from bionets.layers.recurrent.bistable import BistableLayer
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer
from bionets.layers.recurrent.stateful_recurrent import run_layer, runs_packed
from bionets.layers.recurrent.warm_up import warm_up
from bionets.layers.single_step import RecurrentStep
from bionets.models.checks import InterfaceError, require_positive
from bionets.models.layer_arguments import build_layer, import_layer, outputs_and_state, require_forward
from bionets.models.model import OptimizerFactory
from bionets.models.sequence import SequenceModel, make_readout
from bionets.tasks.spec import TaskSpec

WARMUP = "warmup"


class RecurrentModel(SequenceModel):
    """x ``[T, B, input_size]`` -> recurrent layers -> readout, at the last step or at every step, depending on the
    task.

    Args:
        layer: dotted path of a class with the constructor and the forward of ``nn.GRU``, e.g. ``bionets.layers.NBRC``;
            it may lack ``num_layers``, ``dropout`` and ``bidirectional`` if these are not used.
        hidden_size, num_layers, dropout, bidirectional: as in ``nn.GRU``.
        initialisation: name of the initialisation of the layer; None for the default of the layer. ``warmup`` starts
            from the default and, for any layer, maximises the number of stable states before the first step, see
            `warm_up`.
        chrono_steps: the longest dependency, in time steps, that ``initialisation="chrono"`` expects.
        layer_arguments: other arguments of the constructor of the layer.
        decoder: numbers of hidden units of the layers between the last recurrent layer and the prediction; empty for a
            linear readout.
        gradients: ``bptt``, ``online`` (exact, for cells whose units are independent) or ``eprop``; the latter two
            process time in chunks of ``trainer.tbptt`` steps.
        readout: ``last`` or ``mean``: the prediction after the last step, or the mean over the predictions of all
            steps.
        loss_every_step: whether the training loss is the mean over the losses of the predictions at every step.

    Raises:
        ValueError: the kind of task is not supported, the layer cannot be imported, or a size is below 1.
    """

    needed_options: tuple[tuple[str, str], ...] = (("chrono_steps", "initialisation=chrono"),)

    def __init__(
        self,
        spec: TaskSpec,
        layer: str,
        hidden_size: int = 100,
        num_layers: int = 1,
        dropout: float = 0.0,
        bidirectional: bool = False,
        initialisation: str | None = None,
        chrono_steps: int | None = None,
        layer_arguments: Mapping[str, Any] | None = None,
        decoder: Sequence[int] = (),
        readout: str = "last",
        loss_every_step: bool = False,
        gradients: str = "bptt",
        optimizer: OptimizerFactory | None = None,
    ) -> None:
        super().__init__(spec, readout, loss_every_step, optimizer, gradients)
        require_positive(hidden_size=hidden_size, num_layers=num_layers)
        arguments = dict(layer_arguments or {})
        for key in ("batch_first", "proj_size"):
            if key in arguments:
                raise ValueError(f"model.layer_arguments.{key} would change the shapes that the model relies on")
        self.warms_up = initialisation == WARMUP
        if self.warms_up and bidirectional:
            raise ValueError(f"model.initialisation={WARMUP} needs one direction: leave out model.bidirectional")
        kind = import_layer(layer)
        if initialisation is not None and not self.warms_up and isinstance(kind, type) and issubclass(kind, nn.RNNBase):
            others = f"model.initialisation={WARMUP}"
            if kind in (nn.GRU, nn.LSTM):
                others += f" or model.layer=bionets.layers.{kind.__name__}, which has chrono"
            raise ValueError(
                f"model.initialisation={initialisation}: {layer} has one initialisation of its own; "
                f"leave it out, or choose {others}"
            )
        if initialisation is not None and not self.warms_up:
            arguments["initialisation"] = initialisation
            if chrono_steps is not None:
                arguments["chrono_steps"] = chrono_steps
        arguments_of_gru = {"num_layers": num_layers, "dropout": dropout, "bidirectional": bidirectional}
        self.recurrent = build_layer(
            kind,
            spec.input_size,
            hidden_size,
            arguments={**arguments_of_gru, **arguments},
            defaults={"num_layers": 1, "dropout": 0.0, "bidirectional": False},
            prefix="model.",
        )
        if spec.lengths and not runs_packed(self.recurrent):
            require_forward(self.recurrent, "the sequences of this task differ in length", lengths="[B]")
        if gradients != "bptt" and isinstance(self.recurrent, nn.RNNBase):
            raise ValueError(f"model.gradients={gradients} is for layers of bionets: {layer} has only bptt")
        self.output_size = hidden_size * (2 if bidirectional else 1)
        self.readout = make_readout(self.output_size, decoder, spec.output_size)

    def before_training(self, batches: Iterable[Tensor], seed: int) -> None:
        if self.warms_up:
            warm_up(self.recurrent_layer(), batches, generator=torch.Generator().manual_seed(seed))

    def single_step(self, x: Tensor) -> RecurrentStep:
        return RecurrentStep(self.recurrent_layer(), self.readout, x)

    def core(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        if not x.is_floating_point() and isinstance(self.recurrent_layer(), nn.RNNBase | RecurrentLayer):
            raise InterfaceError(f"x of the task is {x.dtype}, and a recurrent model takes floats: x.float()")
        found = run_layer(self.recurrent, x, lengths)
        every_step = lengths is not None or self.spec.kind == "sequence_to_sequence"
        output, _ = outputs_and_state(self.recurrent, found, x, self.output_size, every_step=every_step)
        return output

    def validation_metrics(self, x: Tensor, lengths: Tensor | None = None) -> dict[str, Tensor]:
        """For BRC and nBRC, ``bistable_share``: the share of units with a > 1, averaged over layers, time steps and
        sequences; with several layers also ``bistable_share_layer_1``, ...
        """
        layer = self.recurrent_layer()
        if not isinstance(layer, BistableLayer):
            return {}
        *_, gates = layer(x, lengths=lengths, return_gates=True)
        counted = slice(None) if lengths is None else valid_steps(lengths, len(x))
        of_layers = torch.stack([(each.a > 1)[counted].float().mean() for each in gates]).view(layer.num_layers, -1)
        values = {"bistable_share": of_layers.mean()}
        if len(of_layers) > 1:
            values |= {f"bistable_share_layer_{k}": share.mean() for k, share in enumerate(of_layers, 1)}
        return values

    def chunk(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        if getattr(self.recurrent, "bidirectional", False):
            raise ValueError("a bidirectional layer sees the whole sequence at once: leave out trainer.tbptt")
        if self.reads_mean:
            raise ValueError("model.readout=mean needs all steps at once: leave out trainer.tbptt")
        if state is not None:
            state = state.detach() if isinstance(state, Tensor) else tuple(each.detach() for each in state)
        try:
            found = self.recurrent(x, state)
        except TypeError:
            require_forward(self.recurrent, "chunks of time hand on the state", "h")
            raise
        output, state = outputs_and_state(self.recurrent, found, x, self.output_size)
        return self.readout(output), state

    def recurrent_layer(self) -> nn.Module:
        return self.recurrent
