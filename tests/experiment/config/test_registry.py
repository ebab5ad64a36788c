"""A class in a module of `bionets.tasks` or `bionets.models` is registered without an entry anywhere else."""

import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from bionets import models, tasks
from bionets.experiment.config.schemas.registry import MODELS, TASKS, concrete_classes, model_schemas, task_schemas
from bionets.experiment.run.trust import registered

ADDED = """
from bionets.models.model import Model
from bionets.tasks.task import Task


class CopyLastInput(Task):
    def __init__(self, length: int = 7, epochs: int = 1, seed: int = 0) -> None: ...


class DeepModel(Model): ...


class CopyLastTwo(CopyLastInput): ...


class Base(Task):
    abstract = True


class OfBase(Base): ...


class _Unfinished(CopyLastInput): ...


def function() -> None: ...
"""


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "added_here.py").write_text(ADDED)
    for package in (tasks, models):
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
        monkeypatch.setattr(package, "added_here", None, raising=False)  # taken away again after the test
        monkeypatch.delitem(sys.modules, f"{package.__name__}.added_here", raising=False)


@pytest.mark.usefixtures("added")
def test_classes_in_a_new_module_of_the_package_are_registered() -> None:
    try:
        task = OmegaConf.structured(task_schemas()["copy_last_input"])
        assert (task.length, task._target_) == (7, "bionets.tasks.added_here.CopyLastInput")
        assert {"copy_last_input", "copy_last_two", "of_base"} <= {*task_schemas()}
        assert {"base", "_unfinished"}.isdisjoint(task_schemas())
        assert "deep" in model_schemas()
        assert registered("task", task._target_) and registered("model", "bionets.models.added_here.DeepModel")
        assert not registered("task", "bionets.tasks.added_here.function")
        assert not registered("model", task._target_)
    finally:
        for package in (tasks, models):
            sys.modules.pop(f"{package.__name__}.added_here", None)


@pytest.mark.parametrize("path", ["bionets.tasks.nowhere.Task", "bionets.tasks..Task", "bionets.tasks.\0.Task", "Task"])
def test_paths_that_do_not_exist_are_not_registered(path: str) -> None:
    assert not registered("task", path)


def test_abstract_base_classes_are_not_registered() -> None:
    found = concrete_classes(models, models.Model)
    assert {"Model", "PlasticModel", "SequenceModel", "SpatialModel", "SpikingModel"}.isdisjoint(found)
    assert found["RecurrentModel"] is models.RecurrentModel  # although another class derives from it
    assert found["SpatialRecurrentModel"] is models.SpatialRecurrentModel
    assert list(found) == sorted(found)


def test_registered_classes_keep_the_import_path_of_earlier_runs() -> None:
    for package, schemas in ((tasks, TASKS), (models, MODELS)):
        for schema in schemas.values():
            target = OmegaConf.structured(schema)._target_
            assert getattr(package, target.rpartition(".")[2]).__name__ == target.rpartition(".")[2]
            assert target.rpartition(".")[0] == package.__name__
