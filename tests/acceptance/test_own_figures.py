"""A user-defined figure, from a file beside the command."""

from pathlib import Path

from tests.acceptance.conftest import SMALL, Command, the_run

FILE = """
from bionets.analysis.style import new_figure, save
from bionets.experiment.run.callbacks import Figures


class Weights(Figures):
    def draw(self, directory, title, model, x):
        assert not model.training and x.shape[2] == model.spec.input_size
        figure = new_figure()
        figure.add_subplot().hist(model.readout.weight.detach().flatten().numpy())
        save(figure, directory / "weights.png", title)


class Steps(Figures):
    def draw(self, directory, title, model, x):
        print("padded" if (x[:, 0] == 0).any() else "not padded")


"""
OWN = "+callbacks.extra.own._target_=my_own_figures."


def test_a_user_figure_is_saved_beside_the_others_only_if_figures_are_drawn(cli: Command, workplace: Path) -> None:
    (workplace / "my_own_figures.py").write_text(FILE)
    outcome = cli("train", *SMALL, "trainer.max_epochs=1", OWN + "Weights", "callbacks.figures=true")
    assert outcome.code == 0 and "weights.png" in outcome.out, outcome.error
    folder = the_run(workplace / "outputs")
    assert {"loss.png", "weights.png", "weights.svg"} <= {file.name for file in folder.figures.iterdir()}
    quiet = ("trainer.max_epochs=1", "name=quiet", "callbacks.figures=false")
    assert cli("train", *SMALL, *quiet, OWN + "Weights").code == 0
    (quiet_folder,) = workplace.rglob("quiet-*")
    assert not list(quiet_folder.rglob("weights.*"))


def test_figures_show_the_first_sequence_of_the_test_set_without_padding(cli: Command, workplace: Path) -> None:
    (workplace / "my_own_figures.py").write_text(FILE)
    steps = [f"{number},1.0,{number % 2}" for number in range(60) for _ in range(1 + number % 9)]
    (workplace / "data.csv").write_text("\n".join(["id,a,y", *steps]))
    data = ("task=custom", "task.data=data.csv", "task.sequences=id", "task.targets=y", "task.standardise=false")
    figures = (OWN + "Steps", "callbacks.figures=true", "logger=none", "trainer.max_epochs=1")
    outcome = cli("train", "model=brc", "model.hidden_size=4", *data, *figures)
    assert outcome.code == 0 and "not padded" in outcome.out, outcome.error
