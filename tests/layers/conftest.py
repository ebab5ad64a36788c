"""The equations of the recurrent layers once more, sequence by sequence and step by step, as the oracle of the
tests."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from bionets.layers import BRC, GRU, LSTM, NBRC, PeepholeLSTM

States = tuple[Tensor, ...]


def brc(x: Tensor, states: States, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor) -> States:
    (h,) = states
    candidate, a, c = (weight_ih @ x).chunk(3)
    w_a, w_c = weight_hh.chunk(2)
    b_a, b_c = bias.chunk(2)
    a = torch.tanh(a + w_a * h + b_a) + 1
    c = 1 / (1 + torch.exp(-(c + w_c * h + b_c)))
    return (c * h + (1 - c) * torch.tanh(candidate + a * h),)


def nbrc(x: Tensor, states: States, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor) -> States:
    (h,) = states
    candidate, a, c = (weight_ih @ x).chunk(3)
    w_a, w_c = weight_hh.chunk(2)
    b_a, b_c = bias.chunk(2)
    a = torch.tanh(a + w_a @ h + b_a) + 1
    c = 1 / (1 + torch.exp(-(c + w_c @ h + b_c)))
    return (c * h + (1 - c) * torch.tanh(candidate + a * h),)


def peephole_lstm(
    x: Tensor, states: States, weight_ih: Tensor, weight_hh: Tensor, weight_ch: Tensor, bias: Tensor
) -> States:
    h, c = states
    f, i, g, o = (weight_ih @ x + weight_hh @ h + bias).chunk(4)
    p_f, p_i, p_o = weight_ch.chunk(3)
    f = torch.sigmoid(f + p_f @ c)
    i = torch.sigmoid(i + p_i @ c)
    c = f * c + i * torch.tanh(g)
    o = torch.sigmoid(o + p_o @ c)
    return o * torch.tanh(c), c


def gru(x: Tensor, states: States, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor) -> States:
    (h,) = states
    x_r, x_z, x_n = (weight_ih @ x + bias_ih).chunk(3)
    h_r, h_z, h_n = (weight_hh @ h + bias_hh).chunk(3)
    r = 1 / (1 + torch.exp(-(x_r + h_r)))
    z = 1 / (1 + torch.exp(-(x_z + h_z)))
    return ((1 - z) * torch.tanh(x_n + r * h_n) + z * h,)


def lstm(x: Tensor, states: States, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor) -> States:
    h, c = states
    i, f, g, o = (weight_ih @ x + bias_ih + weight_hh @ h + bias_hh).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


STEPS: dict[type, Callable[..., States]] = {BRC: brc, NBRC: nbrc, PeepholeLSTM: peephole_lstm, GRU: gru, LSTM: lstm}
WEIGHTS = ("weight_ih", "weight_hh", "weight_ch")
BIASES: dict[type, dict[str, int]] = {
    BRC: {"bias": 2},
    NBRC: {"bias": 2},
    PeepholeLSTM: {"bias": 4},
    GRU: {"bias_ih": 3, "bias_hh": 3},
    LSTM: {"bias_ih": 4, "bias_hh": 4},
}


def run_one_sequence(layer: nn.Module, x: Tensor, states: States) -> tuple[Tensor, States]:
    """`x` [T, I], states [layers · directions, H] to outputs [T, directions · H] and last states, in plain loops."""
    last = []
    for k in range(layer.num_layers):
        outputs = []
        for suffix in (f"_l{k}", f"_l{k}_reverse")[: 1 + layer.bidirectional]:
            own = {name: getattr(layer, name + suffix) for name in WEIGHTS if hasattr(layer, name + suffix)}
            for name, gates in BIASES[type(layer)].items():
                bias = getattr(layer, name + suffix)
                own[name] = x.new_zeros(gates * layer.hidden_size) if bias is None else bias
            state = tuple(s[len(last)] for s in states)
            backwards = suffix.endswith("reverse")
            steps = []
            for x_t in reversed(x) if backwards else x:
                state = STEPS[type(layer)](x_t, state, **own)
                steps.append(state[0])
            outputs.append(torch.stack(steps[::-1] if backwards else steps))
            last.append(state)
        x = torch.cat(outputs, dim=-1)
    return x, tuple(torch.stack(s) for s in zip(*last, strict=True))


def run_sequences(layer: nn.Module, sequences: list[Tensor], states: States) -> tuple[list[Tensor], States]:
    """Each sequence `[T_b, I]` on its own, with states `[layers · directions, B, H]`."""
    runs = [run_one_sequence(layer, x, tuple(s[:, b] for s in states)) for b, x in enumerate(sequences)]
    return [y for y, _ in runs], tuple(torch.stack(s, dim=1) for s in zip(*(last for _, last in runs), strict=True))


@pytest.fixture(scope="session")
def naive() -> Callable[[nn.Module, list[Tensor], States], tuple[list[Tensor], States]]:
    return run_sequences


@pytest.fixture(params=list(STEPS), ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type[nn.Module]:
    return request.param


@pytest.fixture
def double_precision() -> Iterator[None]:
    """float64 as torch's default, and random numbers that are the same for every test."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)
