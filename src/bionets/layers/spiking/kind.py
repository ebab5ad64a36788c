"""The specification of a leaky integrator: its traces and its output. 32 kinds have names."""

from typing import NamedTuple

from bionets.layers.spiking.neuron_layer import ParameterSpec


class Kind(NamedTuple):
    """One leaky integrator. The name has a letter for each trait: D, S, R, then LI, then B, T, TS or EMA."""

    dual: bool = False
    synaptic: bool = False
    recurrent: bool = False
    output: str = ""  # "": the membrane itself; "B" binary, "T" ternary, "TS" ternary scaled spikes
    average: bool = False  # the membrane is an exponential moving average of its input

    @property
    def name(self) -> str:
        return "D" * self.dual + "S" * self.synaptic + "R" * self.recurrent + "LI" + self.output + "EMA" * self.average

    @property
    def fires(self) -> bool:
        return self.output != ""

    @property
    def ternary(self) -> bool:
        return self.output in ("T", "TS")

    @property
    def scaled(self) -> bool:
        return self.output == "TS"

    @property
    def signs(self) -> tuple[str, ...]:
        """The prefixes of the names of the traces and their parameters."""
        return ("pos_", "neg_") if self.dual else ("",)

    @property
    def polarities(self) -> tuple[str, ...]:
        """The prefixes of the names of the thresholds and their parameters."""
        return ("pos_", "neg_") if self.ternary else ("",) if self.fires else ()

    @property
    def states(self) -> tuple[str, ...]:
        traces = ["syn"] * self.synaptic + ["rec"] * self.recurrent + ["mem"]
        return tuple(sign + trace for trace in traces for sign in self.signs)

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        wanted: list[tuple[str, float, str | None, tuple[str, ...]]] = [("beta", 0.9, "decay", self.signs)]
        if self.synaptic:
            wanted.append(("alpha", 0.5, "decay", self.signs))
        if self.recurrent:
            wanted.append(("gamma", 0.9, "decay", self.signs))
            wanted.append(("rec_weight", 0.0, None, self.signs))
        wanted.append(("threshold", 1.0, "threshold", self.polarities))
        if self.scaled:
            wanted.append(("scale", 1.0, None, self.polarities))
        return tuple(
            ParameterSpec(sign + name, default, constraint)
            for name, default, constraint, signs in wanted
            for sign in signs
        )
