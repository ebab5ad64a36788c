"""The built wheel, in an empty folder whose path has a space, away from the source tree."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.acceptance.conftest import ROOT

pytestmark = pytest.mark.slow

SMALL = ("task.train_size=200", "trainer.max_epochs=1", "callbacks=quiet", "logger=none")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("build")
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "configs", "src", "*.toml", "*.py", "*.in"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in {*listed.stdout.splitlines(), "README.md", "LICENSE"}:
        if (ROOT / name).is_file() and (name.startswith(("src/", "configs/")) or "/" not in name):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(place), str(source)]
    built = subprocess.run(build, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (made,) = place.glob("*.whl")  # built from the source distribution, which is complete therefore
    return made


@pytest.fixture(scope="module")
def bionets(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console command, in an environment that has the wheel, and PyTorch and the others from this one."""
    place = tmp_path_factory.mktemp("an environment")
    venv.create(place, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python")]
    install = [*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, env=without_source(), check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    # Behind the wheel on the path, so that bionets is the wheel's; an editable install here is no part of it.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin" / "bionets"


def without_source() -> dict[str, str]:
    """The environment variables, without a path to the source tree."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "BIONETS_COMMAND")}


def run(program: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program), *words], cwd=cwd, env=without_source(), capture_output=True, text=True, check=False
    )


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder"
    folder.mkdir()
    return folder


def test_a_new_project_trains_and_its_tests_pass(bionets: Path, empty: Path) -> None:
    made = run(bionets, "new", "my-cells", cwd=empty)
    assert made.returncode == 0, made.stderr
    project = empty / "my-cells"
    addition = ("model=leaky", "task=binary_addition", "task.length=4", "task.test_length=4")
    for words in (("experiment=first",), addition):
        trained = run(bionets, "train", *words, *SMALL, cwd=project)
        assert trained.returncode == 0, trained.stderr
        assert "leaky on" in trained.stdout
    assert "bionets train experiment=first" in run(bionets, "train", "experiment=first", *SMALL, cwd=project).stdout
    folder = next(file.parent for file in project.rglob("sum_of_inputs/*/*/*/result.json"))
    evaluated = run(bionets, "evaluate", f"run={folder}", "trust=my_cells", cwd=project)
    assert evaluated.returncode == 0, evaluated.stderr
    compared = run(bionets, "compare", "runs=outputs", cwd=project)
    assert compared.returncode == 0, compared.stderr
    tested = run(bionets.parent / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_a_folder_with_a_user_cell_and_config_trains(bionets: Path, empty: Path) -> None:
    (empty / "my_cells.py").write_text("from torch.nn import RNN\n\n\nclass Mine(RNN):\n    pass\n")
    (empty / "configs" / "model").mkdir(parents=True)
    (empty / "configs" / "model" / "gru.yaml").write_text(
        "defaults: [/schema/model/recurrent@_here_, _self_]\nname: in_place_of_gru\nlayer: my_cells.Mine\n"
    )
    words = ("task=copy_first_input", "task.length=3", "task.val_size=10", "task.test_size=10", *SMALL)
    trained = run(bionets, "train", "model=gru", *words, cwd=empty)
    assert trained.returncode == 0, trained.stderr
    assert "in_place_of_gru on copy_first_input" in trained.stdout


def test_commands_print_help_and_unknown_commands_are_refused(bionets: Path, empty: Path) -> None:
    assert "bionets new" in run(bionets, cwd=empty).stdout
    wrong = run(bionets, "trian", cwd=empty)
    assert wrong.returncode == 2 and "no command trian" in wrong.stderr
    assert "nbrc" in run(bionets, "train", "--help", cwd=empty).stdout
