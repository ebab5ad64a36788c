"""Stacks of different layers, decoders and readouts, as a user types them."""

from pathlib import Path

import bionets
from bionets.models import StackModel
from tests.acceptance.conftest import Command, the_run

TINY = (
    "task=copy_first_input",
    "task.length=4",
    "task.train_size=20",
    "task.val_size=10",
    "task.test_size=10",
    "task.batch_size=10",
    "trainer.max_epochs=1",
    "callbacks=quiet",
    "logger=none",
)
MIXED = "model.layers=[{layer: BRC, size: 4, norm: layer}, {layer: LIB, size: 4, residual: true, dropout: 0.5}]"
OWN = """
import torch

class Doubled(torch.nn.Module):
    def __init__(self, size_in, size):
        super().__init__()
        self.linear = torch.nn.Linear(size_in, size)

    def forward(self, x):
        return 2 * self.linear(x)
"""


def test_a_stack_of_different_layers_trains_and_can_be_evaluated_and_loaded(cli: Command, workplace: Path) -> None:
    outcome = cli("train", "model=stack", MIXED, "model.decoder=[6]", "model.loss_every_step=true", *TINY)
    assert outcome.code == 0, outcome.error
    folder = the_run(workplace).path
    assert cli("evaluate", f"run={folder}").code == 0
    model, _ = bionets.load(folder)
    assert isinstance(model, StackModel) and len(model.network) == 2


def test_an_invalid_entry_of_layers_gives_a_one_line_error(cli: Command) -> None:
    outcome = cli("train", "model=stack", "model.layers=[{layer: BRC, size: 4, nrom: layer}]", *TINY)
    assert outcome.code == 1
    assert outcome.error.strip() == "error: model.layers[0]: BRC has no argument nrom"
    outcome = cli("train", "model=stack", *TINY)
    assert outcome.code == 1 and "give it a value, as in model.layers=" in outcome.error


def test_a_user_layer_named_in_a_run_folder_needs_trust(cli: Command, workplace: Path) -> None:
    (workplace / "own_stack_layers.py").write_text(OWN)
    outcome = cli("train", "model=stack", "model.layers=[{layer: own_stack_layers.Doubled, size: 4}]", *TINY)
    assert outcome.code == 0, outcome.error
    folder = the_run(workplace).path
    refused = cli("evaluate", f"run={folder}")
    assert refused.code == 1 and "trust=own_stack_layers" in refused.error
    assert cli("evaluate", f"run={folder}", "trust=own_stack_layers").code == 0


def test_recurrent_models_accept_decoder_readout_and_loss_every_step(cli: Command) -> None:
    keys = ("model.decoder=[6,5]", "model.readout=mean", "model.loss_every_step=true")
    assert cli("train", "model=gru", "model.hidden_size=4", *keys, *TINY).code == 0
    refused = cli("train", "model=gru", "model.readout=middle", *TINY)
    assert refused.error.strip() == "error: model.readout=middle is unknown: choose last, mean"
