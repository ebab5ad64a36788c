"""Models that cannot be stacked are refused, since a batch of seeds would leave out what they do."""

from types import SimpleNamespace
from typing import Any

import pytest

from bionets.experiment.errors import UserError
from bionets.experiment.seeds.stacked_models import StackedModels
from bionets.models import RecurrentModel
from bionets.tasks import TaskSpec

SPEC = TaskSpec("sequence_to_value", input_size=2, output_size=3)


def stack(kind: type[RecurrentModel]) -> StackedModels:
    return StackedModels([kind(SPEC, "bionets.layers.BRC", hidden_size=4) for _ in range(2)], [SimpleNamespace()] * 2)  # type: ignore[list-item]


HOOKS = (
    *("on_train_epoch_end", "on_train_start", "on_validation_batch_end", "lr_scheduler_step", "answers"),
    *("transfer_batch_to_device", "configure_callbacks", "train_dataloader", "state_dict", "_measure"),
)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_of_its_own_is_refused_by_name(hook: str) -> None:
    kind = type("Own", (RecurrentModel,), {hook: lambda self, *arguments: None})
    with pytest.raises(UserError, match=f"Own has {hook} of its own"):
        stack(kind)


def test_learning_rates_of_its_own_are_refused() -> None:
    class Own(RecurrentModel):
        factor = 1.0

        def lr_factors(self) -> dict[str, float]:
            return dict.fromkeys(dict(self.named_parameters()), self.factor)

        def on_test_start(self, *arguments: Any) -> None: ...

    assert len(stack(Own).stacked)
    Own.factor = 0.1
    with pytest.raises(UserError, match="Own has parameters with learning rates of their own"):
        stack(Own)
