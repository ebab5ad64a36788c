"""Recurrent layers as steps: states by name, whole models, files; what is not a step is refused."""

from pathlib import Path

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
