"""`model.gradients` and `trainer.tbptt` from the command line."""

from pathlib import Path

import pytest

from bionets.experiment.run.metrics_file import read_metrics
from tests.acceptance.conftest import SMALL, Command

ONE_LAYER = (*SMALL, "model.dropout=0", "model.num_layers=1", "trainer.max_epochs=1")


def losses(workplace: Path, name: str) -> list[float]:
    (file,) = workplace.glob(f"outputs/*/*/{name}-*/seed-0/metrics.csv")
    return read_metrics(file)["train/loss"][1]


def test_online_learning_gives_the_losses_of_backpropagation_through_time(cli: Command, workplace: Path) -> None:
    assert cli("train", *ONE_LAYER, "name=bptt").code == 0
    assert cli("train", *ONE_LAYER, "name=online", "model.gradients=online", "trainer.tbptt=2").code == 0
    assert cli("train", *ONE_LAYER, "name=truncated", "trainer.tbptt=2").code == 0
    bptt, online, truncated = (losses(workplace, name) for name in ("bptt", "online", "truncated"))
    assert online == pytest.approx(bptt, rel=1e-6)
    assert truncated != pytest.approx(bptt, rel=1e-6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("model=nbrc", "model.gradients=online"), "eprop"),
        (("model=gru", "model.initialisation=null", "model.gradients=eprop"), "has only bptt"),
        (("model.gradients=rtrl",), "choose bptt, online, eprop"),
        (("trainer.tbptt=0",), "trainer.tbptt must be"),
        (("trainer.tbptt=2", "seeds=2"), "one seed at a time"),
        (("model=stigmergic", "trainer.tbptt=2"), "cannot be trained in chunks of time"),
    ],
)
def test_unsupported_gradients_and_tbptt_are_refused_without_a_traceback(
    cli: Command, words: tuple[str, ...], message: str
) -> None:
    words = tuple(word for word in words if word != "model.initialisation=null")
    small = () if "model=stigmergic" in words else ONE_LAYER
    outcome = cli("train", *small, *words, "logger=none")
    assert outcome.code != 0
    assert message in outcome.error
    assert "Traceback" not in outcome.error
