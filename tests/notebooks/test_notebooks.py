"""Every notebook runs from top to bottom, in the environment of its kernel, and is stored without output."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.acceptance.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a notebook finds around itself, with outputs of its own."""
    for name in ("train.py", "evaluate.py", "compare.py", "analyse.py", "configs", "docs"):
        if (ROOT / name).exists():
            (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "notebooks").mkdir()
    bin_of_another_environment = tmp_path / "bin"
    bin_of_another_environment.mkdir()
    (bin_of_another_environment / "python").write_text("#!/bin/sh\necho error: this is another environment\nexit 1\n")
    (bin_of_another_environment / "python").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_of_another_environment}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the tests have taken all cores already
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs(file: Path, workplace: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(workplace / "notebooks")}}
    )
    client.execute()  # a cell that raises fails the test
    text = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()))
    assert "error:" not in text
    assert "Traceback" not in text


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_stored_without_output_and_runs_the_python_of_its_kernel(file: Path) -> None:
    cells = [cell for cell in nbformat.read(file, as_version=4).cells if cell.cell_type == "code"]
    assert all(cell.execution_count is None and not cell.outputs for cell in cells)
    assert not [cell.source for cell in cells if "!python" in cell.source]


@pytest.mark.slow
def test_the_first_notebook_shows_the_run_of_its_own_command(workplace: Path) -> None:
    """A newer run of the same model and task is not shown."""
    other = workplace / "outputs" / "binary_addition" / "nbrc" / "other-00000000" / "seed-0"
    other.mkdir(parents=True)
    os.utime(other, (2**32, 2**32))
    notebook = nbformat.read(ROOT / "notebooks" / "01_first_steps.ipynb", as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"][:3]
    notebook.cells.append(nbformat.v4.new_code_cell("print('shown', run)"))
    where = {"metadata": {"path": str(workplace / "notebooks")}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
    shown = notebook.cells[-1].outputs[0]["text"]
    assert "run-" in shown and "other-00000000" not in shown
