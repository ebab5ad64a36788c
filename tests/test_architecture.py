"""The arrows of the design: who may import whom. The entry points stay short."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "bionets"

MAY_IMPORT = {
    "scan": {"scan"},
    "layers": {"layers", "scan"},
    "tasks": {"tasks"},
    "models": {"models", "layers", "scan", "tasks.spec"},
    "analysis": {"analysis", "layers", "scan"},
    "experiment": {"experiment", "studies", "analysis", "models", "layers", "scan", "tasks"},
    "studies": {"studies", "experiment", "analysis", "models", "layers", "scan", "tasks"},
}
FOREIGN = {"scan": {"lightning", "hydra", "omegaconf", "wandb"}, "layers": {"lightning", "hydra", "omegaconf", "wandb"}}


def imports(file: Path) -> set[str]:
    """Every module that a file imports, relative imports resolved."""
    package = file.relative_to(SOURCE.parent).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            found.add(".".join(filter(None, [base, node.module])))
    return found


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_imports_follow_the_arrows(package: str) -> None:
    files = list((SOURCE / package).rglob("*.py"))
    assert files
    for file in files:
        for module in imports(file):
            if module.startswith("bionets."):
                inner = module.removeprefix("bionets.")
                allowed = any(inner == name or inner.startswith(f"{name}.") for name in MAY_IMPORT[package])
                assert allowed, f"{file.relative_to(ROOT)} imports {module}"
            assert module.split(".")[0] not in FOREIGN.get(package, set()), f"{file.relative_to(ROOT)} imports {module}"


def test_every_package_has_its_arrows() -> None:
    assert {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()} == set(MAY_IMPORT)
    assert not (ROOT / "src" / "__init__.py").exists()


def test_what_hydra_scans_in_every_program_of_this_environment_is_light() -> None:
    (plugin,) = (SOURCE.parent / "hydra_plugins").glob("*.py")
    heavy = "{'torch', 'lightning', 'optuna'}"
    code = f"import runpy, sys; runpy.run_path({str(plugin)!r}); print(*{heavy} & {{*sys.modules}})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


@pytest.mark.parametrize("entry", ["train.py", "evaluate.py", "compare.py", "analyse.py"])
def test_entry_points_are_short(entry: str) -> None:
    assert len((ROOT / entry).read_text().splitlines()) < 60
