"""Recurrent layers as steps: states by name, whole models, files; what is not a step is refused."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bionets.layers import (
    BRC,
    LRU,
    NBRC,
    SRC,
    BRCCell,
    StatefulRecurrent,
    get_states,
    load_states,
    reset_states,
    save_states,
    unroll,
)
from bionets.layers.spiking import LIB, FullyRecurrent


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        StatefulRecurrent(BRC(3, 8)),
        nn.Linear(8, 6),
        FullyRecurrent(LIB(6, spike_fn="arctan")),
        StatefulRecurrent(nn.LSTM(6, 5, num_layers=2)),
        StatefulRecurrent(LRU(5, 4, batch_first=True)),
    )


@pytest.fixture
def x() -> Tensor:
    return torch.randn(9, 2, 3, generator=torch.Generator().manual_seed(0))


def test_recurrent_and_spiking_layers_can_be_unrolled_in_one_model(x: Tensor) -> None:
    net = network()
    expected = torch.stack([net(step) for step in x])
    states = get_states(net)
    lstm = ["3.h_l0", "3.h_l1", "3.c_l0", "3.c_l1"]
    assert list(states) == ["0.h", "2.output", "2.mem", *lstm, "4.real", "4.imaginary"]
    assert states["0.h"].shape == (2, 8) and states["3.c_l1"].shape == (2, 5)
    reset_states(net)
    torch.testing.assert_close(unroll(net, x), expected)
    torch.testing.assert_close(get_states(net), states)


def test_a_stream_continues_from_states_loaded_from_a_file(x: Tensor, tmp_path: Path) -> None:
    whole = unroll(network(), x)
    first, second = network(), network()
    unroll(first, x[:4])
    save_states(first, tmp_path / "states.safetensors")
    load_states(second, tmp_path / "states.safetensors")
    torch.testing.assert_close(torch.stack([second(step) for step in x[4:]]), whole[4:])


@pytest.mark.parametrize("kind", [LRU, SRC])
def test_the_output_is_that_of_the_layer_and_not_its_state(kind: type[LRU] | type[SRC], x: Tensor) -> None:
    layer = kind(3, 8)
    y = StatefulRecurrent(layer)(x[0])
    torch.testing.assert_close(y, layer(x[:1])[0][0])


def test_weights_and_hooks_are_those_of_the_layer(x: Tensor) -> None:
    layer = NBRC(3, 8)
    step = StatefulRecurrent(layer)
    assert list(step.state_dict()) == [f"layer.{name}" for name in layer.state_dict()]
    seen: list[torch.Size] = []
    layer.register_forward_hook(lambda module, given, output: seen.append(output[0].shape))
    step(x[0])
    reset_states(step)
    unroll(nn.Sequential(step), x)
    assert seen == [(1, 2, 8), (9, 2, 8)]


def test_an_unbatched_step_equals_a_batched_one(x: Tensor) -> None:
    for layer in (BRC(3, 8), nn.GRU(3, 8)):
        alone, batch = StatefulRecurrent(layer), StatefulRecurrent(layer)
        for step in x:
            torch.testing.assert_close(alone(step[0]), batch(step)[0])


def images(make: Callable[[], Any]) -> tuple[StatefulRecurrent, Tensor, tuple[Tensor, ...]]:
    """A layer along the channels of images, whose outputs of zeros are not zero; images ``[T, B, C, H, W]``, and states
    to start from."""
    torch.manual_seed(0)
    layer = make().double()
    for name, parameter in layer.named_parameters():
        if name.startswith("bias"):
            nn.init.normal_(parameter)
    step, x = StatefulRecurrent(layer, dim=-3), torch.randn(6, 3, 3, 2, 2, dtype=torch.float64)
    return step, x, tuple(torch.randn(shape, dtype=torch.float64) for shape in step.state_shapes(x.shape[1:]))


@pytest.mark.parametrize("make", [lambda: BRC(3, 4, num_layers=2), lambda: LRU(3, 4), lambda: nn.LSTM(3, 4)])
def test_images_of_different_lengths_equal_single_sequences(make: Callable[[], Any]) -> None:
    step, x, start = images(make)
    lengths = torch.tensor([6, 0, 4])
    y, last = step.over_time(x, start, lengths=lengths)
    for b, length in enumerate(lengths.tolist()):
        alone, end = step.over_time(x[:length, b : b + 1], tuple(state[b : b + 1] for state in start))
        torch.testing.assert_close(y[:length, b : b + 1], alone)
        torch.testing.assert_close(tuple(state[b : b + 1] for state in last), end)
        assert not y[length:, b].any()


@pytest.mark.parametrize("make", [lambda: BRC(3, 4, num_layers=2), lambda: LRU(3, 4)])
def test_pieces_of_images_between_resets_equal_separate_sequences(make: Callable[[], Any]) -> None:
    step, x, start = images(make)
    reset = torch.zeros(6, 3, dtype=torch.bool)
    reset[[2, 5], 0] = reset[3, 2] = True
    y, last = step.over_time(x, start, reset=reset)
    for b, starts in enumerate(([0, 2, 5, 6], [0, 6], [0, 3, 6])):
        states: Any = tuple(state[b : b + 1] for state in start)
        for begin, end in pairwise(starts):
            alone, states = step.over_time(x[begin:end, b : b + 1], states if begin == 0 else None)
            torch.testing.assert_close(y[begin:end, b : b + 1], alone)
        torch.testing.assert_close(tuple(state[b : b + 1] for state in last), states)


def test_a_backend_is_chosen_by_name_and_an_unknown_one_is_refused(x: Tensor) -> None:
    step = StatefulRecurrent(BRC(3, 8))
    torch.testing.assert_close(step.over_time(x, backend="reference"), step.over_time(x))
    with pytest.raises(ValueError, match="unknown backend 'fast'"):
        BRC(3, 8, backend="fast")
    with pytest.raises(ValueError, match="unknown backend 'fast'"):
        step.over_time(x, backend="fast")


def test_bidirectional_layers_cells_and_wrong_shapes_are_refused(x: Tensor) -> None:
    with pytest.raises(ValueError, match="a bidirectional layer has no time step"):
        StatefulRecurrent(BRC(3, 8, bidirectional=True))
    with pytest.raises(TypeError, match="got BRCCell"):
        StatefulRecurrent(BRCCell(3, 8))  # type: ignore[arg-type]
    step = StatefulRecurrent(BRC(3, 8))
    with pytest.raises(ValueError, match=r"input_size=3 entries along dim=-1, got an input of shape \(2, 2\)"):
        step(x[0, :, :2])
    step(x[0])
    with pytest.raises(ValueError, match="reset_states"):
        step(x[0, :1])
