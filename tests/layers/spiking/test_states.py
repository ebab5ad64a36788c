"""States of spiking networks: how they are found and saved, and errors after a missing reset."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bionets.layers import detach_states, get_states, load_states, reset_states, save_states, set_states, unroll
from bionets.layers.spiking import DSRLITS, LI, LIB, SLIB, freeze, unfreeze


class Hidden(nn.Module):
    """Layers where torch does not look."""

    def __init__(self) -> None:
        super().__init__()
        self.listed = [LIB(3, backend="reference"), (SLIB(3, quant_fn="round", backend="reference"),)]
        self.by_name = {"readout": nn.Sequential(nn.Identity(), LI(3, backend="reference"))}

    def forward(self, x: Tensor) -> Tensor:
        return self.by_name["readout"](self.listed[1][0](self.listed[0](2 * x)))


NAMES = {"listed.0.mem", "listed.0.noise", "listed.1.0.syn", "listed.1.0.mem", "by_name.readout.1.mem"}


@pytest.fixture
def x() -> Tensor:
    return torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(0))


def test_states_are_found_in_lists_tuples_and_dicts(x: Tensor) -> None:
    model = Hidden()
    assert get_states(model) == {}
    unroll(model, x)
    assert set(get_states(model)) == NAMES
    assert set(get_states([model])) == {f"0.{name}" for name in NAMES}
    detach_states(model)
    assert not any(state.requires_grad for state in get_states(model).values())
    reset_states([{"one": model}])
    assert get_states(model) == {}
    freeze(model)
    assert "beta" in model.listed[0].state_dict()
    unfreeze(model)
    assert "raw_beta" in model.listed[0].state_dict()


def test_states_are_saved_to_and_loaded_from_a_safetensors_file(x: Tensor, tmp_path: Path) -> None:
    model, other = Hidden(), Hidden()
    other.load_state_dict(model.state_dict())
    unroll(model, x[:4])
    save_states(model, tmp_path / "states.safetensors")
    expected = unroll(model, x[4:])
    load_states(other, tmp_path / "states.safetensors")
    assert torch.equal(unroll(other, x[4:]), expected)


def test_states_of_another_model_are_refused(x: Tensor, tmp_path: Path) -> None:
    model = Hidden()
    unroll(model, x)
    save_states(model, tmp_path / "states.safetensors")
    with pytest.raises(ValueError, match=r"the model has no state by_name\.readout\.1\.mem: it has mem"):
        load_states(LI(3), tmp_path / "states.safetensors")


def test_a_file_that_lacks_a_state_of_the_model_is_refused(x: Tensor, tmp_path: Path) -> None:
    small, large = nn.Sequential(LI(3)), nn.Sequential(LI(3), LI(3))
    unroll(small, x)
    save_states(small, tmp_path / "states.safetensors")
    unroll(large, 2 * x)
    kept = get_states(large)
    with pytest.raises(ValueError, match=r"states\.safetensors has no state 1\.mem: it has 0\.mem"):
        load_states(large, tmp_path / "states.safetensors")
    assert all(state is kept[key] for key, state in get_states(large).items())


def test_layers_without_a_state_are_saved_and_loaded_without_one(x: Tensor, tmp_path: Path) -> None:
    model = nn.Sequential(LI(3), LI(3))
    model[0](x[0])
    save_states(model, tmp_path / "states.safetensors")
    unroll(model, x)
    load_states(model, tmp_path / "states.safetensors")
    assert set(get_states(model)) == {"0.mem"}
    save_states(LI(3), tmp_path / "none.safetensors")
    load_states(LI(3), tmp_path / "none.safetensors")


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    torch.save({"mem": torch.ones(1)}, tmp_path / "states.pt")
    (tmp_path / "empty").touch()
    for name in ("states.pt", "empty"):
        with pytest.raises(ValueError, match=rf"{name} is not a safetensors file as save_states writes it"):
            load_states(LI(3), tmp_path / name)
    with pytest.raises(FileNotFoundError):
        load_states(LI(3), tmp_path / "nothing")
    for names in ("5", "[[1]]", "{"):
        save_file({"mem": torch.ones(1, 3)}, tmp_path / "other", metadata={"initial": names})
        with pytest.raises(ValueError, match="other is not a safetensors file as save_states writes it"):
            load_states(LI(3), tmp_path / "other")


def test_a_state_that_was_not_set_starts_at_its_initial_value(x: Tensor) -> None:
    layer = LIB(3, backend="reference")
    set_states(layer, {"mem": torch.full((2, 3), 0.7)})
    layer(x[0])
    assert layer.noise is not None and layer.noise[1] == 1 and (layer.mem > 0).any()


def test_a_missing_reset_gives_an_error_with_the_function_to_call(x: Tensor) -> None:
    net = nn.Sequential(nn.Linear(3, 3), DSRLITS(3, backend="reference"))
    unroll(net, x)
    with pytest.raises(ValueError, match=r"DSRLITS.*pos_syn.*\(2, 3\).*\(1, 3\).*reset_states"):
        unroll(net, x[:, :1])
    unroll(net, x).sum().backward()
    with pytest.raises(RuntimeError, match=r"DSRLITS: a second backward.*detach_states.*reset_states"):
        unroll(net, x).sum().backward()
    reset_states(net)
    unroll(net, x).sum().backward()


def test_layers_draw_the_same_noise_step_by_step_in_chunks_and_in_one_pass(x: Tensor) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(LIB(3, backend="reference"), nn.Linear(3, 3), LIB(3, backend="reference"))
    results = []
    for run in (
        lambda: unroll(net, 3 * x),
        lambda: torch.stack([net(3 * step) for step in x]),
        lambda: torch.cat([unroll(net, 3 * piece) for piece in x.split(2)]),
    ):
        torch.manual_seed(3)
        reset_states(net)
        results.append(run())
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])
    reset_states(net)
    assert not torch.equal(unroll(net, 3 * x), results[0]), "a new sequence meets new noise"


def test_a_generator_fixes_the_noise_of_explicit_states() -> None:
    layer, x = LIB(3, threshold=0.1, backend="reference"), torch.zeros(7, 2, 3)
    outputs = [
        layer.over_time(x, layer.initial_states(x, generator=torch.Generator().manual_seed(seed)))[0]
        for seed in (0, 0, 1)
    ]
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])
    assert get_states(layer) == {}
