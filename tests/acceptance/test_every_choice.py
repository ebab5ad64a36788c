"""Every family of models trains on every kind of task that it fits, and is refused in one line on the others; every
model, data set, optimizer and experiment trains a few steps."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from bionets.experiment.config.schemas.registry import MODELS, TASKS
from bionets.tasks.event_files import EVENT_FILES
from bionets.tasks.image_files import IMAGE_FILES
from tests.acceptance.conftest import ROOT, Command, Outcome
from tests.tasks import event_recordings, idx_files

TINY = {
    "multi_image": ["task.labels=3"],
    "copy_first_input": ["task.length=4"],
    "binary_addition": ["task.length=4", "task.test_length=4", "task.epochs_per_length=1"],
    "denoising": ["task.length=12", "task.forgetting_period=2"],
    "boolean": ["task.steps=10", "task.population=2"],
    "cart_pole": ["task.steps=10"],
    **{name: ["task.steps=3", "task.height=12", "task.width=12"] for name in EVENT_FILES},
}
ROWS = ["task.read_as=rows", "task.blank_steps=2"]
SMALL_MODELS = {
    "spatial_linear": ["model.hidden_sizes=[4,4]"],
    "spatial_conv": ["model.channels=[2,2]"],
    "stack": ["model.layers=[{layer: BRC, size: 4}, {layer: LIB, size: 4}]"],
    "recurrent": ["model.layer=torch.nn.GRU", "model.hidden_size=4"],
}
CONFIGS = {file.stem for file in (ROOT / "configs" / "model").glob("*.yaml")}
CELLS = {"brc", "gru", "lstm", "nbrc", "peephole_lstm", "recurrent", "rnn"}  # of one family, for which BRC stands below
SEQUENCES = {"brc", "spatial_recurrent", "spiking_recurrent", "stack", "stigmergic"}
CLASSES = SEQUENCES | {"feed_forward", "stigmergic_perceptron"}
SPIKES = CLASSES | {"reward_modulated", "stdp"}
IMAGES = {"feed_forward", "spatial_conv", "spatial_linear", "spiking_conv"}
# A task of each kind, and the families that train on it. A model receives nothing of a task but its spec.
TRAINS: dict[str, tuple[list[str], set[str]]] = {
    "sequences to a value": (["task=copy_first_input", *TINY["copy_first_input"]], SEQUENCES),
    "sequences to sequences": (["task=binary_addition", *TINY["binary_addition"]], SEQUENCES),
    "sequences to classes": (["task=mnist", *ROWS], CLASSES),
    "spikes to classes": (["task=boolean", *TINY["boolean"]], SPIKES),
    "events to classes": (["task=n_mnist", *TINY["n_mnist"]], SPIKES | {"spiking_conv"}),
    "images to classes": (["task=mnist"], IMAGES | {"stdp"}),
    "images to several classes": (["task=multi_image", *TINY["multi_image"]], IMAGES),
    "control": (["task=cart_pole", *TINY["cart_pole"]], {"reward_modulated"}),
}
FAMILIES = set().union(*(families for _, families in TRAINS.values()))
IMAGE_SETS = sorted({*IMAGE_FILES} - {"cifar100", "usps", "mnist"})
EVENT_SETS = sorted({*EVENT_FILES} - {"n_mnist"})
# and how many runs each makes
EXPERIMENTS = {
    "boolean_reward": 3,
    "cart_pole_reward": 1,
    "stdp_mnist": 1,
    "copy_first_input_bistable": 4,
    "copy_first_input_study": 4,
    "online_learning": 1,
    "online_learning_copy": 1,
    "binary_addition_study": 8,
    "spiking_fashion": 1,
    "spiking_mnist": 1,
    "spiking_mnist_gpu": 1,
    "stigmergic_mnist": 5,
    "stigmergic_mnist_best": 1,
    "spatial_split": 6,
    "spatial_weights": 6,
    "spatial_clusters": 4,
    "bistability": 5,
    "initialisations": 5,
    "mnist_blank_rows": 8,
    "psmnist": 1,
    "remember_line": 8,
    "denoising": 4,
    "mnist_blank_pixels": 4,
}
ELSEWHERE = {"cogscale", "mackey_glass", "speech_digits"}  # data of fixed sizes: tests/acceptance/test_benchmarks.py
ONE_VALUE = {"spatial_weights": ["model.proximity=10", "model.transport=10"]}  # of a long grid
STUDIES = {file.stem for file in (ROOT / "configs" / "study").glob("*.yaml")}
SHORT = (
    "task.train_size=20",
    "task.val_size=10",
    "task.test_size=10",
    "task.batch_size=10",
    "trainer.max_epochs=1",
    "callbacks=quiet",
    "logger=none",
)


@pytest.fixture(scope="module", autouse=True)
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("data")
    for name in IMAGE_FILES:
        idx_files.write(folder, name)
    event_recordings.write(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIONETS_DATA", str(folder))
        yield


def test_every_config_file_extends_a_schema_or_another_config_file() -> None:
    for group, schemas in (("model", MODELS), ("task", TASKS)):
        for file in (ROOT / "configs" / group).rglob("*.yaml"):
            first = yaml.safe_load(file.read_text())["defaults"][0].removesuffix("@_here_").rpartition("/")
            others = {each.stem for each in (ROOT / "configs" / group).glob("*.yaml")}
            assert first[2] in (schemas if first[0].startswith("/schema") else others), file


def train(cli: Command, model: str, task: Sequence[str]) -> Outcome:
    return cli("train", f"model={model}", *SMALL_MODELS.get(model, ["model.hidden_size=4"]), *task, *SHORT)


@pytest.mark.parametrize("kind", TRAINS)
def test_an_incompatible_model_is_refused_with_a_list_of_compatible_ones(
    cli: Command, workplace: Path, kind: str
) -> None:
    task, families = TRAINS[kind]
    outcome = train(cli, min(FAMILIES - families), task)
    assert outcome.code == 1
    assert outcome.error.startswith(f"error: model={min(FAMILIES - families)} does not fit {task[0]} (")
    assert outcome.error.count("\n") == 1
    assert list(workplace.iterdir()) == []
    fitting = set(outcome.error.strip().partition("choose model=")[2].partition(", or read images")[0].split(", "))
    assert fitting == (families | CELLS if "brc" in families else families)


@pytest.mark.parametrize(("kind", "model"), [(kind, model) for kind in TRAINS for model in sorted(TRAINS[kind][1])])
def test_every_model_family_trains_on_every_compatible_kind_of_task(cli: Command, kind: str, model: str) -> None:
    outcome = train(cli, model, TRAINS[kind][0])
    assert outcome.code == 0, outcome.error
    assert f"{model} on {TRAINS[kind][0][0].removeprefix('task=')}" in outcome.out


@pytest.mark.parametrize("model", sorted(CONFIGS - FAMILIES))
def test_every_cell_trains(cli: Command, model: str) -> None:
    outcome = train(cli, model, ["task=copy_first_input", *TINY["copy_first_input"]])
    assert outcome.code == 0, outcome.error


@pytest.mark.parametrize(
    ("model", "task"),
    [
        ("brc", ["task=denoising", *TINY["denoising"]]),
        *(("brc", [f"task={name}", *ROWS]) for name in IMAGE_SETS),
        *(("spiking_conv", [f"task={name}"]) for name in IMAGE_SETS),
        *((model, [f"task={name}", *TINY[name]]) for name in EVENT_SETS for model in ("brc", "spiking_conv")),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_every_data_set_trains(cli: Command, model: str, task: list[str]) -> None:
    outcome = train(cli, model, task)
    assert outcome.code == 0, outcome.error


@pytest.mark.parametrize(
    "experiment", sorted({file.stem for file in (ROOT / "configs" / "experiment").glob("*.yaml")} - ELSEWHERE)
)
def test_every_experiment_runs(cli: Command, workplace: Path, experiment: str) -> None:
    tiny = next((sizes for task, sizes in TINY.items() if task in experiment), [])
    tiny = ["model.channels=[3,4]"] if experiment.startswith("spiking") else tiny
    size = SMALL_MODELS["spatial_linear"] if experiment.startswith("spatial") else ["model.hidden_size=4"]
    size = [] if experiment == "psmnist" else size  # a stack, whose layers are written out
    one_value = ONE_VALUE.get(experiment, [])
    outcome = cli("train", "-m", f"experiment={experiment}", *tiny, *SHORT, *size, *one_value, "seed=0")
    assert outcome.code == 0, outcome.error
    runs = list((workplace / "outputs").rglob("result.json"))
    assert len(runs) == EXPERIMENTS[experiment]
    if experiment in STUDIES:
        outcome = cli("compare", f"study={experiment}")
        assert outcome.code == 0, outcome.error
        files = {file.name for file in (workplace / "comparison" / experiment).iterdir()}
        assert files >= {"table.csv", "table.md", "table.tex", "bars.png", "bars.svg", "loss.svg"}


def test_every_study_has_an_experiment() -> None:
    assert {*EXPERIMENTS, *ELSEWHERE} > STUDIES


@pytest.mark.parametrize("optimizer", sorted(file.stem for file in (ROOT / "configs" / "optimizer").glob("*.yaml")))
def test_every_optimizer_trains(cli: Command, optimizer: str) -> None:
    outcome = cli("train", f"optimizer={optimizer}", "model=rnn", "task=copy_first_input", "task.length=3", *SHORT)
    assert outcome.code == 0, outcome.error


def test_the_cell_of_the_readme_trains(cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = (ROOT / "README.md").read_text().split("```python\n")[1:]
    code = next(block.split("```")[0] for block in blocks if "my_cells.py" in block)
    (workplace / "my_cells.py").write_text(code)
    monkeypatch.syspath_prepend(workplace)
    own = ("model=recurrent", "model.layer=my_cells.LeakyTanh", "model.name=leaky")
    outcome = cli("train", *own, "task=copy_first_input", "task.length=3", *SHORT)
    assert outcome.code == 0, outcome.error
    assert "leaky on copy_first_input" in outcome.out


def test_a_user_config_file_trains_without_changes_to_the_package(cli: Command, workplace: Path) -> None:
    (workplace / "mine" / "model").mkdir(parents=True)
    (workplace / "mine" / "model" / "mine.yaml").write_text(
        "defaults: [/schema/model/brc@_here_, _self_]\nname: mine\nlayer: bionets.layers.BRC\n"
        "initialisation: bistable\nhidden_size: 4\n"
    )
    own = ("--config-dir", str(workplace / "mine"), "model=mine")
    outcome = cli("train", *own, "task=copy_first_input", "task.length=3", *SHORT)
    assert outcome.code == 0, outcome.error
    assert "mine on copy_first_input" in outcome.out
