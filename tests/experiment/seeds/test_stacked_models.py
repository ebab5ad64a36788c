"""Stacked models equal single models, and models that cannot be stacked are refused."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from bionets.experiment.errors import UserError
from bionets.experiment.seeds.stacked_models import StackedModels, StackedTasks
from bionets.layers import BRC
from bionets.models import RecurrentModel, SpikingRecurrentModel, StackModel
from bionets.models.checks import InterfaceError
from bionets.models.meters import MetricError
from bionets.tasks import Task, TaskSpec

SPEC = TaskSpec("sequence_to_value", input_size=2, output_size=3)


def stack(kind: type[RecurrentModel]) -> StackedModels:
    return StackedModels([kind(SPEC, "bionets.layers.BRC", hidden_size=4) for _ in range(2)], [SimpleNamespace()] * 2)  # type: ignore[list-item]


HOOKS = (
    *("on_train_epoch_end", "on_train_start", "on_validation_batch_end", "lr_scheduler_step", "answers"),
    *("transfer_batch_to_device", "configure_callbacks", "train_dataloader", "state_dict", "_measure"),
)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_model_that_overrides_a_hook_is_refused_by_name(hook: str) -> None:
    kind = type("Own", (RecurrentModel,), {hook: lambda self, *arguments: None})
    with pytest.raises(UserError, match=f"Own has {hook} of its own"):
        stack(kind)


def test_a_model_with_learning_rates_of_its_own_is_refused() -> None:
    class Own(RecurrentModel):
        factor = 1.0

        def lr_factors(self) -> dict[str, float]:
            return dict.fromkeys(dict(self.named_parameters()), self.factor)

        def on_test_start(self, *arguments: Any) -> None: ...

    assert len(stack(Own).stacked)
    Own.factor = 0.1
    with pytest.raises(UserError, match="Own has parameters with learning rates of their own"):
        stack(Own)


class OutputsAlone(BRC):
    def forward(self, *arguments: Any, **options: Any) -> Any:
        return super().forward(*arguments, **options)[0]


def test_errors_of_a_single_model_are_reported_for_stacked_models() -> None:
    models = [RecurrentModel(SPEC, f"{__name__}.OutputsAlone", hidden_size=4) for _ in range(2)]
    stacked = StackedModels(models, [SimpleNamespace()] * 2)  # type: ignore[list-item]
    with pytest.raises(InterfaceError, match=r"OutputsAlone\.forward must return a pair"):
        stacked.try_out([(torch.randn(4, 5, 2), torch.randn(5, 3))] * 2)
    with pytest.raises(InterfaceError, match="the loss of the task has no gradient"):
        stacked.backward(torch.zeros(()))


def test_an_unknown_monitor_is_refused_by_name() -> None:
    models = [RecurrentModel(SPEC, "bionets.layers.BRC", hidden_size=4) for _ in range(2)]
    stacked = StackedModels(models, [SimpleNamespace(monitor="val/none")] * 2)  # type: ignore[list-item]
    stacked.meters, stacked.own_values = [MetricCollection({})] * 2, [{"loss": 1.0}] * 2
    with pytest.raises(MetricError, match="val/none, is not measured: choose one of val/loss"):
        stacked.on_validation_epoch_end()


def test_try_out_does_not_change_batch_normalisation_statistics() -> None:
    layers = [{"layer": "Linear", "size": 4, "norm": "batch"}]
    models = [StackModel(SPEC, layers) for _ in range(2)]
    stacked = StackedModels(models, [SimpleNamespace()] * 2)  # type: ignore[list-item]
    before = [buffer.clone() for buffer in stacked.buffers()]
    stacked.try_out([(torch.randn(4, 5, 2), torch.randn(5, 3))] * 2)
    assert len(before) == 3
    assert all(map(torch.equal, stacked.buffers(), before))


def test_gradients_of_each_model_are_clipped_by_their_own_norm_also_for_scalar_parameters() -> None:
    models = [SpikingRecurrentModel(SPEC, 4, layer_arguments={"beta_rank": 0}) for _ in range(2)]
    stacked = StackedModels(models, [SimpleNamespace()] * 2)  # type: ignore[list-item]
    assert any(parameter.ndim == 1 for parameter in stacked.parameters())
    for parameter in stacked.parameters():
        parameter.grad = torch.randn_like(parameter)
        parameter.grad[1] *= 0.01  # whose norm is small enough
    alone = [[parameter.grad[number].clone() for parameter in stacked.parameters()] for number in range(2)]  # type: ignore[index]
    stacked.configure_gradient_clipping(torch.optim.SGD(stacked.parameters(), lr=1.0), 0.5)
    for number, gradients in enumerate(alone):
        parameters = [nn.Parameter(torch.empty_like(gradient)) for gradient in gradients]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(parameters, 0.5)
        for clipped, parameter in zip(stacked.parameters(), parameters, strict=True):
            torch.testing.assert_close(clipped.grad[number], parameter.grad)  # type: ignore[index]


class Third(Metric):
    """A metric whose value is not a tensor."""

    def update(self, prediction: Tensor, target: Tensor) -> None: ...

    def compute(self) -> float:
        return 1 / 3


class Sparse(Task):
    """Of seed 0, no target is scored."""

    spec = SPEC

    def draw(self, split: str, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return torch.randn(4, size, 2, generator=generator), torch.full((size, 3), float(self.seed))

    def scored_steps(self, target: Tensor) -> float:
        return float(target.sum())

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (target * (prediction - target).square()).sum() / target.sum().clamp(min=1)

    def metrics(self) -> MetricCollection:
        return MetricCollection({})


class Measured(Sparse):
    monitor = "val/third"

    def metrics(self) -> MetricCollection:
        return MetricCollection({"third": Third()})


def trained(models: Any, data: Any, **more: Any) -> Trainer:
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = Trainer(
        max_epochs=1,
        reload_dataloaders_every_n_epochs=1,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **silent,
        **more,
    )
    trainer.fit(models, datamodule=data)
    return trainer


def test_metrics_that_are_not_tensors_equal_those_of_a_single_seed() -> None:
    tasks = [Measured(train_size=6, val_size=3, test_size=3, batch_size=3, epochs=1, seed=seed) for seed in range(2)]
    optimizer = partial(torch.optim.SGD, lr=0.1)
    models = [RecurrentModel(SPEC, "bionets.layers.BRC", hidden_size=4, optimizer=optimizer) for _ in range(3)]
    stacked = StackedModels(models[:2], tasks)
    trained(stacked, StackedTasks(tasks))
    alone = trained(models[2], tasks[1]).callback_metrics
    assert float(stacked.values[1]["val/third"]) == float(alone["val/third"])


def test_a_batch_of_weight_zero_of_the_first_seed_does_not_change_the_step_of_the_others() -> None:
    tasks = [Sparse(train_size=6, val_size=3, test_size=3, batch_size=3, epochs=1, seed=seed) for seed in range(2)]
    optimizer = partial(torch.optim.SGD, lr=0.1)
    models: list[nn.Module] = []
    for _ in range(3):
        torch.manual_seed(0)
        models.append(RecurrentModel(SPEC, "bionets.layers.BRC", hidden_size=4, optimizer=optimizer))
    stacked = StackedModels(models[:2], tasks)  # type: ignore[arg-type]
    before = {name: value.clone() for name, value in models[2].state_dict().items()}
    trained(stacked, StackedTasks(tasks), limit_val_batches=0)
    trained(models[2], tasks[1], limit_val_batches=0)
    alone = models[2].state_dict()
    assert any(not torch.equal(alone[name], before[name]) for name in before)
    for name, value in stacked.state_dict().items():
        torch.testing.assert_close(value[0], before[name])
        torch.testing.assert_close(value[1], alone[name])


class Reservoir(nn.Module):
    """A layer with a frozen matrix; ``kind`` adds what cannot be stacked."""

    kind = ""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.fixed = nn.Parameter(torch.randn(input_size, hidden_size), requires_grad=False)
        self.own = nn.Linear(hidden_size, hidden_size)
        if self.kind == "plain":
            self.mask = torch.rand(hidden_size)
        if self.kind == "tied":
            self.other = nn.Linear(hidden_size, hidden_size)
            self.other.weight = self.own.weight

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = self.own(x @ self.fixed)
        return y, y[-1]


def test_frozen_parameters_stay_as_they_are_in_stacked_models() -> None:
    models = [RecurrentModel(SPEC, f"{__name__}.Reservoir", hidden_size=4) for _ in range(2)]
    stacked = StackedModels(models, [SimpleNamespace()] * 2)  # type: ignore[list-item]
    of_name = dict(zip(stacked.names, stacked.stacked, strict=True))
    assert {name for name, each in of_name.items() if not each.requires_grad} == {"recurrent.fixed"}
    stacked(torch.randn(2, 5, 3, 2)).sum().backward()
    assert all((each.grad is None) == (name == "recurrent.fixed") for name, each in of_name.items())


@pytest.mark.parametrize(
    ("kind", "message"),
    [("plain", "Reservoir.mask differs from seed to seed"), ("tied", "two names, one of them recurrent.other.weight")],
)
def test_models_whose_tensors_cannot_be_stacked_are_refused(
    kind: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reservoir, "kind", kind)
    models = [RecurrentModel(SPEC, f"{__name__}.Reservoir", hidden_size=4) for _ in range(2)]
    with pytest.raises(UserError, match=message):
        StackedModels(models, [SimpleNamespace()] * 2)  # type: ignore[list-item]


def test_every_epoch_of_seeds_with_other_weights_of_accumulated_batches_is_refused() -> None:
    tasks = [Sparse(train_size=6, val_size=3, test_size=3, batch_size=3, epochs=1, seed=seed) for seed in range(2)]
    optimizer = partial(torch.optim.SGD, lr=0.1)
    models = [RecurrentModel(SPEC, "bionets.layers.BRC", hidden_size=4, optimizer=optimizer) for _ in range(2)]
    with pytest.raises(UserError, match="accumulate_grad_batches"):
        trained(StackedModels(models, tasks), StackedTasks(tasks), accumulate_grad_batches=2)
