"""When the best checkpoint may be written."""

import pytest

from bionets.experiment.run.checkpoints import within_epochs


@pytest.mark.parametrize(
    ("interval", "within"), [(None, False), (1.0, False), (0.25, True), (1, True), (10, True)], ids=repr
)
def test_a_number_of_batches_or_a_part_of_an_epoch_is_within_epochs(interval: float | None, within: bool) -> None:
    """1 is a batch, and 1.0 an epoch."""
    assert within_epochs({"val_check_interval": interval}) is within
