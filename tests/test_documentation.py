"""Every Python block of the README and of the pages in docs/ runs, in the order of its page."""

import re
import runpy
import zlib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from bionets.layers.spiking import KINDS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def test_there_are_pages_with_code() -> None:
    assert sum(bool(BLOCK.search(page.read_text())) for page in PAGES) > 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "example"}
    for number, block in enumerate(BLOCK.findall(page.read_text())):
        if "<hash>" in block:  # stands for a folder of the reader's own
            compile(block, page.name, "exec")
            continue
        torch.manual_seed(0)
        exec(compile(block, f"{page.name}, block {number}", "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_point_to_existing_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_list_of_source_files_is_complete() -> None:
    index = runpy.run_path(str(ROOT / "docs" / "source_index.py"))
    assert (ROOT / "docs" / "source_files.md").read_text() == index["page"](), "run `make index`"


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mkdocs") is None, reason="needs bionets[docs]")
def test_every_public_name_is_in_the_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path)))
    inventory = zlib.decompress((tmp_path / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode()
    listed = {line.split(" ")[0] for line in inventory.splitlines()}
    generated = {kind.name for kind in KINDS}
    page = (tmp_path / "reference" / "leaky_integrators" / "index.html").read_text()
    assert all(f'id="{name.lower()}"' in page for name in generated)
    for package in ("layers", "layers.spiking", "layers.plastic", "scan", "tasks", "models"):
        module = import_module(f"bionets.{package}")
        for name in set(module.__all__) - generated - {"Kind"}:
            paths = {f"{module.__name__}.{name}", f"{getattr(getattr(module, name), '__module__', '')}.{name}"}
            assert paths & listed, f"bionets.{package}.{name}"
