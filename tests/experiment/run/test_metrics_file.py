"""metrics.csv after a crash: the rows of epochs after the last checkpoint are removed, and no others."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bionets.experiment.run.metrics_file import Row, append, keep_epochs_before, read_metrics, summary

Rows = list[tuple[int, int, str, float]]
names = st.sampled_from(["train/loss", "val/loss", "val/accuracy"])
row = st.tuples(st.integers(0, 99), st.integers(0, 9), names, st.floats(allow_nan=False, allow_infinity=False))


@given(rows=st.lists(row), epoch=st.integers(0, 10), torn=st.integers(0, 40))
def test_only_complete_rows_before_the_epoch_are_kept(
    tmp_path_factory: pytest.TempPathFactory, rows: Rows, epoch: int, torn: int
) -> None:
    file = tmp_path_factory.mktemp("metrics") / "metrics.csv"
    before = [each for each in rows if each[1] < epoch]
    later = [each for each in rows if each[1] >= epoch]
    append(file, before)
    expected = read_metrics(file)
    length = file.stat().st_size
    append(file, later)
    with file.open("r+b") as opened:  # a crash while the later rows were written
        opened.truncate(max(length, file.stat().st_size - torn))
    keep_epochs_before(file, epoch)
    assert read_metrics(file) == expected


def test_a_file_truncated_in_its_header_is_started_again(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    for torn in ("", "step,ep"):
        file.write_text(torn)
        keep_epochs_before(file, 0)
        assert not file.exists()
    keep_epochs_before(file, 0)
    append(file, [(0, 0, "train/loss", 0.1)])
    assert read_metrics(file) == {"train/loss": ([0], [0.1])}


def test_an_epoch_is_summarised_by_its_mean_training_loss_and_its_last_validation() -> None:
    training = [Row(step, 3, "train/loss", loss) for step, loss in ((6, 1.0), (9, 3.0), (12, 5.0))]
    validation = [Row(step, 3, "val/loss", loss) for step, loss in ((8, 0.5), (11, 0.25))]
    assert summary([*training, *validation]) == ({"train/loss": 3.0, "val/loss": 0.25, "epoch": 3}, 12)
    assert summary(validation) == ({"val/loss": 0.25, "epoch": 3}, 11)
