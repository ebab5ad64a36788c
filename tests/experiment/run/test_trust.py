"""A run's folder is data: nothing that its config names is imported or called, unless it is registered or trusted."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bionets.experiment.comparison.runs import read_folders
from bionets.experiment.config.schemas.registry import MODELS, OPTIMIZERS, SCHEDULES, TASKS
from bionets.experiment.errors import UserError
from bionets.experiment.run.instantiate import instantiate_node
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.run.trained import load_trained
from bionets.experiment.run.trust import as_modules, is_trusted, registered, require_trusted
from bionets.studies.spatial.spatial_run import SpatialRun
from bionets.tasks.own_task import CUSTOM
from tests.acceptance.conftest import SMALL, Command, cli, the_run, workplace

__all__ = ["cli", "workplace"]  # fixtures

TINY = (*SMALL, "trainer.max_epochs=1", "model.num_layers=1", "model.dropout=0", "task.train_size=20")
Change = Callable[[dict[str, Any]], None]

PLANTED = "planted_module.py"
MODULE = "import pathlib\npathlib.Path('trap-was-sprung').touch()\nfrom torch.nn import GRU as Cell, GRU as function\n"


def planting(value: dict[str, Any], *path: str) -> Change:
    def change(config: dict[str, Any]) -> None:
        node = config
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value

    return change


WRITE = {"_target_": "pathlib.Path.write_text", "_args_": [{"_target_": "pathlib.Path", "_args_": ["trap"]}, "x"]}


@pytest.fixture
def run(cli: Command, workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    made = tmp_path_factory.getbasetemp() / "trusted-run"
    if not made.exists():
        assert cli("train", *TINY, f"paths.output_dir={made}").code == 0
    shutil.copytree(made, workplace / "outputs")
    return the_run(workplace / "outputs")


def change(run: RunFolder, how: Change) -> None:
    run.manifest_file.unlink(missing_ok=True)  # as an attacker would
    config = run.config()
    how(config)
    run.config_file.write_text(yaml.safe_dump(config))


@pytest.mark.parametrize(
    ("how", "named"),
    [
        (planting(WRITE, "task", "length"), "task.length._target_"),
        (planting(WRITE, "model", "hidden_size"), "model.hidden_size._target_"),
        (planting({"a": [1, {"b": WRITE}]}, "model", "layer_arguments"), "model.layer_arguments.a.1.b._target_"),
        (planting(WRITE, "optimizer", "lr"), "optimizer.lr._target_"),
        (planting(WRITE, "optimizer"), "optimizer._target_=pathlib.Path.write_text"),
        (planting(WRITE, "schedule"), "schedule._target_=pathlib.Path.write_text"),
        (planting(WRITE, "model"), "model"),
        (planting("planted_module.Cell", "model", "layer"), "model.layer=planted_module.Cell"),
        (planting("planted_module.Cell", "model", "_target_"), "model._target_=planted_module.Cell"),
        (planting("planted_module.Cell", "task", "_target_"), "task._target_=planted_module.Cell"),
        (planting("planted_module.function", "optimizer", "_target_"), "optimizer._target_=planted_module.function"),
        (planting("planted_module.function", "model", "initialisation"), "model.initialisation"),
        (planting({"activation": "planted_module:Cell-v0"}, "model", "layer_arguments"), "planted_module:Cell-v0"),
        (planting("torch.nn.utils.rnn.pad_sequence", "model", "layer"), "model.layer=torch.nn.utils.rnn"),
        (planting("bionets.layers.unroll", "model", "layer"), "model.layer=bionets.layers.unroll"),
        (planting("torch.load", "model", "_target_"), "model._target_=torch.load"),
    ],
)
def test_foreign_code_named_in_a_config_is_refused_before_it_is_imported(
    run: RunFolder, workplace: Path, monkeypatch: pytest.MonkeyPatch, how: Change, named: str
) -> None:
    (workplace / PLANTED).write_text(MODULE)
    monkeypatch.syspath_prepend(str(workplace))
    change(run, how)
    for read in (load_trained, SpatialRun):
        with pytest.raises(UserError) as refused:
            read(run.path)
        assert str(run.config_file) in str(refused.value) and named in str(refused.value)
    read_folders(str(run.path))
    assert not (workplace / "trap").exists() and not (workplace / "trap-was-sprung").exists()


def test_every_command_refuses_foreign_code_in_one_line(run: RunFolder, cli: Command) -> None:
    change(run, planting(WRITE, "task", "length"))
    for command in (("evaluate", f"run={run.path}"), ("analyse", f"run={run.path}")):
        outcome = cli(*command)
        assert outcome.code == 1 and outcome.error.count("\n") == 1
        assert "task.length._target_" in outcome.error
    assert cli("compare", "runs=outputs").code == 0
    assert not Path("trap").exists()


def test_user_code_is_trained_and_needs_trust_to_be_evaluated(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace / "my_cells_of_this_test.py").write_text("from torch.nn import GRU\nclass Cell(GRU): pass\n")
    monkeypatch.syspath_prepend(str(workplace))
    trained = cli("train", *TINY, "model=recurrent", "model.layer=my_cells_of_this_test.Cell", "model.name=mine")
    assert trained.code == 0, trained.error
    folder = the_run(workplace / "outputs")
    refused = cli("evaluate", f"run={folder.path}")
    assert refused.code == 1 and "trust=my_cells_of_this_test" in refused.error
    assert cli("evaluate", f"run={folder.path}", "trust=other").code == 1
    for trust in ("trust=my_cells_of_this_test", "trust=[other,my_cells_of_this_test]"):
        assert cli("evaluate", f"run={folder.path}", trust).code == 0
    with pytest.raises(UserError, match="trust=my_cells"):
        load_trained(folder.path)
    model, _ = load_trained(folder.path, trust=["my_cells_of_this_test"])
    assert type(model.recurrent).__name__ == "Cell"


def test_a_resumed_run_takes_its_config_from_the_command_line_alone(run: RunFolder, cli: Command) -> None:
    run.result_file.unlink()
    change(run, planting(WRITE, "task", "length"))
    run.overrides_file.write_text("- task.length=7\n")
    assert cli("train", *TINY).code == 0
    assert not Path("trap").exists()
    assert run.config()["task"]["length"] == 5
    assert "task.length=5" in yaml.safe_load(run.overrides_file.read_text())


def test_a_target_nested_in_a_value_is_never_built(cli: Command, workplace: Path) -> None:
    with pytest.raises(UserError, match=r"length\._target_ is refused"):
        instantiate_node({"_target_": "bionets.tasks.CopyFirstInput", "length": WRITE})
    outcome = cli("train", *TINY, "+model.layer_arguments.x={_target_:pathlib.Path.touch,_args_:[trap]}")
    assert outcome.code == 1 and "_target_" in outcome.error
    assert list(workplace.iterdir()) == []


@pytest.mark.parametrize(
    ("section", "path", "known"),
    [
        ("model", "bionets.models.RecurrentModel", True),
        ("model", "bionets.models.recurrent.RecurrentModel", True),
        ("model", "bionets.models.recurrent.import_layer", False),
        ("model", "bionets.tasks.Images", False),
        ("model", "bionets.models.cosine_schedule", False),
        ("task", "bionets.tasks.Images", True),
        ("task", "bionets.tasks.images.Images", True),
        ("task", "bionets.tasks.TaskSpec", False),
        ("optimizer", "torch.optim.Adam", True),
        ("optimizer", "torch.optim.adam.Adam", False),
        ("optimizer", "torch.optim.lr_scheduler.StepLR", True),
        ("optimizer", "torch.optim.os", False),
        ("schedule", "bionets.models.cosine_schedule", True),
        ("schedule", "torch.optim.lr_scheduler.StepLR", True),
        ("layer", "torch.nn.GRU", True),
        ("layer", "torch.nn.init", False),
        ("layer", "bionets.layers.NBRC", True),
        ("layer", "bionets.layers.spiking.LIB", True),
        ("layer", "bionets.layers.unroll", False),
        ("layer", "bionets.experiment.command", False),
        ("layer", "os.system", False),
        ("layer", "", False),
    ],
)
def test_only_choices_of_a_section_are_registered(section: str, path: str, known: bool) -> None:
    assert registered(section, path) is known


def test_every_choice_in_this_repository_is_registered() -> None:
    root = Path(__file__).parents[3] / "configs"
    assert all(registered("model", schema._target_) for schema in MODELS.values())
    assert all(registered("task", schema._target_) for schema in TASKS.values())
    assert all(registered("optimizer", schema._target_) for schema in OPTIMIZERS.values())
    assert all(registered("schedule", schema._target_) for schema in SCHEDULES.values())
    layers = [yaml.safe_load(file.read_text()).get("layer") for file in sorted((root / "model").glob("*.yaml"))]
    assert all(registered("layer", layer) for layer in layers if layer and "." in layer)


def test_trust_applies_to_whole_modules() -> None:
    assert is_trusted("my_cells.Cell", ["my_cells"]) and is_trusted("my_cells.deep.Cell", ["my_cells"])
    assert not is_trusted("my_cells_too.Cell", ["my_cells"]) and not is_trusted("my.Cell", ["my.cells"])
    assert as_modules(None) == () and as_modules("a.b") == ("a.b",) and as_modules(["a", "b"]) == ("a", "b")
    for wrong in ("", "a/b", [1], "*"):
        with pytest.raises(UserError, match="trust="):
            as_modules(wrong)


def test_names_and_paths_in_a_config_are_not_mistaken_for_code() -> None:
    node = {"_target_": "bionets.tasks.Images", "name": "my.task", "data_dir": "/data/v1.2"}
    model = {"_target_": "bionets.models.FeedForwardModel"}
    require_trusted({"model": model, "task": node}, "config.yaml")
    columns = {"inputs": ["wind speed.mean", "T: degC"], "targets": "os.system", "class_names": ["a.b"]}
    require_trusted({"model": model, "task": {"_target_": CUSTOM, "data": "wind.csv", **columns}}, "config.yaml")
    with pytest.raises(UserError, match=r"task\.inputs"):  # of a class that may import it
        require_trusted({"model": model, "task": {"_target_": "bionets.tasks.Images", **columns}}, "config.yaml")


def test_a_class_below_an_empty_key_is_refused() -> None:
    with pytest.raises(UserError, match=r"\._target_"):
        instantiate_node({"_target_": "builtins.dict", "": WRITE})
