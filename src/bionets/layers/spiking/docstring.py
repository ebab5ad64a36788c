"""The docstrings of the leaky integrators, generated from their specification: equations, arguments and states."""

from bionets.layers.spiking.kind import Kind

SIGNS = {"": "", "pos_": "₊", "neg_": "₋"}
MEANINGS = {
    "beta": "decay of the membrane",
    "alpha": "decay of the synaptic trace",
    "gamma": "decay of the recurrent trace",
    "rec_weight": "weight of the recurrent trace",
    "threshold": "threshold",
    "scale": "value of a spike",
}


def docstring(kind: Kind) -> str:
    """The docstring of the class of this kind."""
    lines = [
        f"{_summary(kind)}.",
        "",
        *equations(kind),
        "",
        *_explanations(kind),
        "",
        "Args:",
        "    num_neurons: entries along ``dim``.",
        *(f"    {spec.name}: {_meaning(spec.name)}, the default is {spec.default:g}." for spec in kind.parameters),
        "    dim: the axis of the neurons in one step's input.",
        "    *_rank: 1 (default) for one value per neuron, 0 for one value of the whole layer.",
        "    learn_*: whether the parameter is learned; the default is True.",
    ]
    if kind.fires:
        lines += [
            "    bias: added to the membrane in the comparison with a threshold; the default is None, no bias.",
            "    spike_fn: probability of a spike, a name in `SPIKE_FUNCTIONS` or a function; the default is σ(4v).",
            "    quant_fn: makes a spike of it, a name in `QUANTISERS` or a function; the default is ``bernoulli``.",
        ]
    lines += [
        "    backend: see `bionets.scan.scan`.",
        "",
        "Values are numbers, or tensors with one entry for each neuron. Decays and thresholds are stored as ``raw_*``",
        "and constrained by sigmoid and softplus. For calls and states, see `SpikingLayer`.",
        f"States, from 0: {', '.join(kind.states)}.",
    ]
    return "\n".join(line if number == 0 or not line else f"    {line}" for number, line in enumerate(lines)) + "\n    "


def equations(kind: Kind) -> list[str]:
    """One line for each quantity, in the order in which a step computes them."""
    lines, x = [], "x"
    if kind.synaptic:
        lines += [f"syn{s}' = α{s}·syn{s} + (1 − α{s})·{_part(x, s)}" for s in _signs(kind)]
        x = _sum("syn", kind, "'")
    recurrent, membrane = _sum("rec", kind), "u{}" if kind.fires else "mem{}'"
    for s in _signs(kind):
        own = f" + w{s}·{_part(recurrent, s)}" if kind.recurrent else ""
        gain = f"(1 − β{s})·" if kind.average else ""
        lines.append(f"{membrane.format(s)} = β{s}·mem{s} + {gain}{_part(x, s)}{own}")
    u = _sum("u", kind)
    if not kind.fires:
        return [*lines, "y = " + _sum("mem", kind, "'")]
    if kind.ternary:
        lines += [f"o₊ = quant_fn(spike_fn({u} − θ₊))", f"o₋ = quant_fn(spike_fn(−θ₋ − ({u})))"]
        y, reset = ("s₊·o₊ − s₋·o₋" if kind.scaled else "o₊ − o₋"), "θ₊·o₊ − θ₋·o₋"
    else:
        lines.append(f"o = quant_fn(spike_fn({u} − θ))")
        y, reset = "o", "θ·o"
    off = f"½·({reset})" if kind.dual else f"({reset})" if kind.ternary else reset
    lines += [f"mem{s}' = u{s} − {off}" for s in _signs(kind)]
    lines.append(f"y = {y}")
    if kind.recurrent:
        lines += [f"rec{s}' = γ{s}·rec{s} + (1 − γ{s})·{_part('y', s)}" for s in _signs(kind)]
    return lines


def _summary(kind: Kind) -> str:
    words = [word for word, there in zip(("dual", "synaptic", "recurrent"), kind[:3], strict=True) if there]
    output = {"": "", "B": "binary spikes", "T": "ternary spikes", "TS": "scaled ternary spikes"}[kind.output]
    name = " ".join([*words, "leaky integrator"]).capitalize() + ", an exponential moving average" * kind.average
    return f"{name} with {output}" if output else name


def _explanations(kind: Kind) -> list[str]:
    lines = []
    if kind.dual:
        lines.append("Each trace has a part for positive and one for negative input; at 0 the gradient passes to both.")
    if kind.fires:
        lines.append("The gradient passes through the reset.")
    return lines or ["The output is the membrane."]


def _signs(kind: Kind) -> list[str]:
    return [SIGNS[sign] for sign in kind.signs]


def _part(x: str, sign: str) -> str:
    return f"[{x}]{sign}" if sign else x


def _sum(trace: str, kind: Kind, prime: str = "") -> str:
    return " + ".join(f"{trace}{s}{prime}" for s in _signs(kind))


def _meaning(name: str) -> str:
    for prefix, word in (("pos_", "positive "), ("neg_", "negative ")):
        if name.startswith(prefix):
            return word + MEANINGS[name.removeprefix(prefix)]
    return MEANINGS[name]
