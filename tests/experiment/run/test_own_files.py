"""The user's modules and data whose digests a run records."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

from bionets.experiment.run.own_files import own_files


def test_modules_of_an_import_path_and_all_their_imports_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "noted/__init__.py": "",
        "noted/cells.py": "import math\nfrom . import sizes\nfrom .numbers import *\nfrom noted_alone import A as B\n",
        "noted/sizes.py": "import noted.cells\n",
        "noted/numbers.py": "SLOPE = 1\n",
        "noted/unused.py": "",
        "noted_alone.py": "A = 1\ndef late() -> None:\n    import noted_late\n",
        "noted_late.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("noted.cells", "noted.unused", "noted_late"):
        import_module(name)
    config = {"model": {"layer": "noted.cells.Own", "sizes": [3, "torch.nn.GRU"]}, "task": {"data": None}}
    try:
        found = own_files(config)
        assert {*found} == {"noted", "noted.cells", "noted.sizes", "noted.numbers", "noted_alone", "noted_late"}
        (tmp_path / "noted" / "numbers.py").write_text("SLOPE = 2\n")
        changed = own_files(config)
        assert [name for name in found if changed[name] != found[name]] == ["noted.numbers"]
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("noted", "noted_alone", "noted_late")]:
            del sys.modules[name]


def test_data_shared_by_several_runs_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,y")
    config = {"task": {"data": str(tmp_path / "data.csv")}}
    digests: dict[str, str] = {}
    first = own_files(config, digests)
    (tmp_path / "data.csv").write_text("changed")
    assert own_files(config, digests) == first == digests != own_files(config)


def test_the_digest_of_a_folder_is_that_of_the_names_and_sizes_of_its_files(tmp_path: Path) -> None:
    def digest(**files: str) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return own_files({"task": {"data": str(folder)}})[str(folder)]

    inner = {"cat/1.npy": "abc"}
    assert digest(one="a", **inner) == digest(**inner, one="b")
    different = [digest(**inner), digest(one="ab", **inner), digest(two="a", **inner), digest(one="a", two="abc")]
    assert len({digest(one="a", **inner), *different}) == 5


def test_code_in_the_notation_of_gymnasium_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_environments.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    import_module("my_environments")
    try:
        found = own_files({"model": {}, "task": {"environment": "my_environments:Maze-v0", "data": None}})
        assert list(found) == ["my_environments"]
    finally:
        del sys.modules["my_environments"]


def test_packages_and_missing_data_are_not_the_users_own() -> None:
    config = {"model": {"layer": "torch.nn.GRU", "other": "yaml.dump"}, "task": {"data": "json.missing.csv"}}
    assert own_files(config) == {}
