"""Groups of parameters, and Muon beside AdamW."""

import copy
import pickle
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import LightningModule
from torch import Tensor, nn

from bionets.layers import SpatialLinear
from bionets.layers.spiking import LIB
from bionets.models import MuonWithAdamW
from bionets.models.optimization import (
    configure_optimizers,
    has_one_group,
    names_without_decay,
    require_optimizer_state,
)


class Net(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 4), LIB(4), SpatialLinear(4, 2))


def test_decays_thresholds_biases_and_positions_have_no_weight_decay() -> None:
    module = Net()
    spared = set(names_without_decay(module))
    assert {"net.0.bias", "net.2.bias", "net.2.positions"} < spared
    assert all(name in spared for name, _ in module.named_parameters() if name.startswith("net.1."))
    assert {"net.0.weight", "net.2.weight"}.isdisjoint(spared)


def test_weight_decay_applies_to_weights_only() -> None:
    module = Net()
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    optimizer = configure_optimizers(module, partial(torch.optim.SGD, lr=0.5, weight_decay=0.1), None)
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, value in module.named_parameters():
        factor = 1.0 if name in names_without_decay(module) else 1 - 0.5 * 0.1
        torch.testing.assert_close(value.detach(), factor * before[name])


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_there_is_one_parameter_group_without_weight_decay_or_on_request(weight_decay: float) -> None:
    module = Net()
    factory = partial(torch.optim.AdamW, weight_decay=weight_decay)
    grouped = configure_optimizers(module, factory, None)
    assert len(grouped.param_groups) == (2 if weight_decay else 1)
    assert has_one_group({"optimizer_states": [grouped.state_dict()]}) is not bool(weight_decay)
    assert len(configure_optimizers(module, factory, None, one_group=True).param_groups) == 1


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_a_parameter_may_have_a_learning_rate_of_its_own(weight_decay: float) -> None:
    module = Net()
    factors = {"net.2.positions": 3.0, "net.0.weight": 1.0}
    factory = partial(torch.optim.AdamW, lr=0.1, weight_decay=weight_decay)
    optimizer = configure_optimizers(module, factory, None, lr_factors=factors)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    found = {names[id(each)]: group for group in optimizer.param_groups for each in group["params"]}
    assert found.keys() == set(names.values())
    spared = names_without_decay(module)
    for name, group in found.items():
        assert group["lr"] == pytest.approx(0.3 if name == "net.2.positions" else 0.1)
        assert group["weight_decay"] == (0.0 if name in spared else weight_decay)


def test_a_schedule_receives_the_number_of_steps_and_runs_at_every_step() -> None:
    module: Any = Net()
    module._trainer = SimpleNamespace(estimated_stepping_batches=7, callbacks=[])
    steps: list[int] = []

    def schedule(optimizer: torch.optim.Optimizer, number: int) -> Any:
        steps.append(number)
        return torch.optim.lr_scheduler.StepLR(optimizer, 3)

    configured = configure_optimizers(module, torch.optim.SGD, schedule)
    assert steps == [7] and configured["lr_scheduler"]["interval"] == "step"


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((4, 3), (4,), (2, 3, 3), (3, 3))]


def steps(optimizer: torch.optim.Optimizer, given: list[nn.Parameter], count: int) -> None:
    for _ in range(count):
        for parameter in given:
            parameter.grad = torch.cos(parameter.detach())
        optimizer.step()


def test_muon_optimises_matrices_and_adamw_the_other_parameters() -> None:
    ours, theirs = parameters(), parameters()
    steps(MuonWithAdamW(ours, lr=0.02, weight_decay=0.1), ours, 3)
    matrices, rest = [theirs[0], theirs[3]], [theirs[1], theirs[2]]
    steps(torch.optim.Muon(matrices, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"), matrices, 3)
    steps(torch.optim.AdamW(rest, lr=0.02, weight_decay=0.1), rest, 3)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.detach(), other.detach(), rtol=0, atol=0)


def test_muon_resumed_from_its_state_dict_gives_the_same_bits() -> None:
    whole = parameters()
    steps(MuonWithAdamW(whole), whole, 4)
    resumed = parameters()
    first = MuonWithAdamW(resumed)
    steps(first, resumed, 2)
    state = copy.deepcopy(first.state_dict())
    second = MuonWithAdamW(resumed)
    second.load_state_dict(state)
    steps(second, resumed, 2)
    for one, other in zip(whole, resumed, strict=True):
        torch.testing.assert_close(one.detach(), other.detach(), rtol=0, atol=0)


def test_a_schedule_changes_the_learning_rate_of_both_parts_of_muon() -> None:
    given = parameters()
    optimizer = MuonWithAdamW(given, lr=0.1, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0)
    before: list[Tensor] = [parameter.detach().clone() for parameter in given]
    steps(optimizer, given, 2)
    schedule.step()
    for one, other in zip(given, before, strict=True):
        torch.testing.assert_close(one.detach(), other)


def test_muon_accepts_parameter_groups_with_their_own_options() -> None:
    given = parameters()
    optimizer = MuonWithAdamW([{"params": given[:2], "weight_decay": 0.0}, {"params": given[2:]}], weight_decay=0.2)
    assert sorted(group["weight_decay"] for group in optimizer.param_groups) == [0.0, 0.0, 0.2, 0.2]


def test_muon_trains_a_group_that_is_added_later() -> None:
    given, apart = parameters(), parameters()
    optimizer = MuonWithAdamW(given[:1], lr=0.02)
    steps(optimizer, given[:1], 2)
    optimizer.add_param_group({"params": given[1:3], "lr": 0.01})
    optimizer.add_param_group({"params": given[3]})
    steps(optimizer, given, 2)
    for rate, chosen in ((0.01, apart[1:3]), (0.02, apart[3:])):
        steps(MuonWithAdamW(chosen, lr=rate), chosen, 2)
    for one, other in zip(given[1:], apart[1:], strict=True):
        torch.testing.assert_close(one.detach(), other.detach(), rtol=0, atol=0)
    whole = parameters()[:1]
    steps(MuonWithAdamW(whole, lr=0.02), whole, 4)
    torch.testing.assert_close(given[0].detach(), whole[0].detach(), rtol=0, atol=0)


def test_muon_is_copied_and_pickled_with_its_options() -> None:
    given = parameters()
    optimizer = MuonWithAdamW(given, lr=0.02, momentum=0.5, betas=(0.5, 0.9))
    steps(optimizer, given, 2)
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        copies = [each for group in twin.param_groups for each in group["params"]]
        steps(twin, copies, 1)
        expected = copy.deepcopy(given)
        whole = MuonWithAdamW(expected, lr=0.02, momentum=0.5, betas=(0.5, 0.9))
        whole.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        steps(whole, expected, 1)
        ordered = [each for group in whole.param_groups for each in group["params"]]
        for one, other in zip(copies, ordered, strict=True):
            torch.testing.assert_close(one.detach(), other.detach(), rtol=0, atol=0)


@pytest.mark.parametrize("checkpoint", [{}, {"optimizer_states": []}, {"optimizer_states": [{}]}])
def test_a_checkpoint_without_the_state_of_an_optimizer_is_refused(checkpoint: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no state of the optimizer"):
        require_optimizer_state(checkpoint)
