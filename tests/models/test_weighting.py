"""The shares of batches in the loss of an optimizer step."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bionets.models import RecurrentModel
from bionets.models.meters import values_of
from bionets.models.weighting import has_samples, share_of_step, weighted_loss
from bionets.tasks import CopyFirstInput


def trainer_of(loader: Any, batches: int, together: int, processes: int = 1) -> Any:
    return SimpleNamespace(
        train_dataloader=loader,
        num_training_batches=batches,
        accumulate_grad_batches=together,
        world_size=processes,
        fit_loop=SimpleNamespace(batch_idx=0),
    )


@pytest.mark.parametrize(
    ("sizes", "own", "processes", "expected"),
    [
        ([8, 2, 3], [8, 2, 3], 1, [0.8, 0.2, 1.0]),  # the last step has one batch
        ([8, 8, 4, 4], [8, 8, 4, 4], 1, [0.5, 0.5, 0.5, 0.5]),
        ([8, 8, 3], [4, 4, 2], 2, [0.25, 0.25, 2 / 3]),
        ([8, 8, 3], [4, 4, 1], 2, [0.25, 0.25, 1 / 3]),
        ([0, 0, 4], [0, 0, 4], 1, [0.0, 0.0, 1.0]),  # of weight zero
    ],
)
def test_a_batch_has_the_share_of_its_samples_in_those_of_its_step(
    sizes: list[int], own: list[int], processes: int, expected: list[float]
) -> None:
    trainer = trainer_of(SimpleNamespace(sizes=sizes, shares=own), len(sizes), 2, processes)
    assert [share_of_step(trainer, number) for number in range(len(sizes))] == pytest.approx(expected)


def test_batches_of_other_loaders_have_equal_shares() -> None:
    trainer = trainer_of([], 7, 3, 2)
    assert [share_of_step(trainer, number) for number in range(7)] == pytest.approx([1 / 6] * 6 + [1 / 2])


def test_a_process_with_only_a_copy_of_a_row_has_no_samples_in_the_batch() -> None:
    loader = SimpleNamespace(own_rows=[2, 0])
    assert [has_samples(loader, number) for number in range(2)] == [True, False]
    assert has_samples([], 0)  # another loader


def test_the_copy_of_a_row_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    task = CopyFirstInput(3, train_size=4, val_size=4, test_size=4, batch_size=2)
    model = RecurrentModel(task.spec, "bionets.layers.BRC", hidden_size=4).eval()
    monkeypatch.setattr(RecurrentModel, "task", task)
    loader = SimpleNamespace(own_rows=[2, 0])
    monkeypatch.setattr(RecurrentModel, "trainer", SimpleNamespace(val_dataloaders=loader))
    model.on_validation_epoch_start()
    batches = list(task.val_dataloader())
    for number, batch in enumerate(batches):
        model.validation_step(batch, number)
    found = values_of(model.validation_meters["validation"])
    torch.testing.assert_close(found["mse"], task.loss(model(batches[0][0]), batches[0][1]))
    assert found["mse"] == found["loss"]


def test_a_loss_is_scaled_against_the_divisions_of_lightning() -> None:
    trainer = trainer_of(SimpleNamespace(sizes=[8, 2], shares=[4, 1]), 2, 2, 2)
    loss = torch.tensor(3.0)
    assert float(weighted_loss(trainer, loss)) / (2 * 2) == pytest.approx(0.4 * 3.0)
