"""The leaky integrators once more, as FACTS and the paper have them: trait by trait, one step after the other."""

import torch
from torch import Tensor

from bionets.layers.spiking import LeakyIntegrator


def spike(v: Tensor, noise: Tensor | None, quant: str) -> Tensor:
    """σ(4v), quantised; the quantiser's gradient is attached by hand."""
    p = torch.sigmoid(4 * v)
    if quant == "identity":
        return p
    if quant == "round":
        return p + (p.round() - p).detach()
    drawn = (noise < p).to(p)
    if quant == "bernoulli":
        return p + (drawn - p).detach()
    return p * p + (p * drawn - p * p).detach()  # probabilistic: gradient 2p


def positive(x: Tensor) -> Tensor:
    return x * (x >= 0)


def negative(x: Tensor) -> Tensor:
    return x * (x <= 0)


def run(layer: LeakyIntegrator, x: Tensor, noise: list[Tensor], quant: str) -> Tensor:
    """All outputs ``[T, B, num_neurons]`` for x ``[T, B, num_neurons]`` and the noise of each polarity."""
    kind, values = layer.kind, {name: getattr(layer, name) for name in layer.constraints}
    zero = torch.zeros_like(x[0])
    sides = {"pos_": positive, "neg_": negative} if kind.dual else {"": lambda value: value}
    syn, rec, mem = (dict.fromkeys(sides, zero) for _ in range(3))
    previous, outputs = zero, []
    for t, now in enumerate(x):
        if kind.synaptic:
            for side, part in sides.items():
                alpha = values[side + "alpha"]
                syn[side] = alpha * syn[side] + (1 - alpha) * part(now)
            now = sum(syn.values())
        if kind.recurrent:
            for side, part in sides.items():
                gamma = values[side + "gamma"]
                rec[side] = gamma * rec[side] + (1 - gamma) * part(previous)
        for side, part in sides.items():
            gain = 1 - values[side + "beta"] if kind.average else 1
            mem[side] = values[side + "beta"] * mem[side] + gain * part(now)
            if kind.recurrent:
                mem[side] = mem[side] + part(sum(rec.values())) * values[side + "rec_weight"]
        membrane = sum(mem.values())
        if kind.output == "":
            previous = membrane
        elif kind.output == "B":
            previous = spike(membrane - values["threshold"], noise[0][t] if noise else None, quant)
            reset = previous * values["threshold"]
        else:
            up = spike(membrane - values["pos_threshold"], noise[0][t] if noise else None, quant)
            down = spike(-values["neg_threshold"] - membrane, noise[1][t] if noise else None, quant)
            reset = up * values["pos_threshold"] - down * values["neg_threshold"]
            previous = up - down
            if kind.output == "TS":
                previous = up * values["pos_scale"] - down * values["neg_scale"]
        if kind.output:
            for side in sides:
                mem[side] = mem[side] - reset / len(sides)
        outputs.append(previous)
    return torch.stack(outputs)
