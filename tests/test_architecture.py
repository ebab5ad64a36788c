"""Allowed imports between packages, inside `experiment` and inside `scan`; lengths of the entry points; encodings."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "bionets"

MAY_IMPORT = {
    "scan": {"scan"},
    "layers": {"layers", "scan", "import_path"},
    "tasks": {"tasks", "import_path", "annotations"},
    "analysis": {"analysis", "layers", "scan", "import_path", "atomic", "csv_text"},
    "models": {"models", "analysis", "layers", "scan", "tasks.spec", "import_path", "annotations"},
    "experiment": {
        "experiment",
        "analysis",
        "models",
        "layers",
        "scan",
        "tasks",
        "import_path",
        "annotations",
        "atomic",
        "csv_text",
    },
    "studies": {"studies", "experiment", "analysis", "models", "layers", "scan", "tasks", "atomic", "csv_text"},
}
FOREIGN = {"scan": {"lightning", "hydra", "omegaconf", "wandb"}, "layers": {"lightning", "hydra", "omegaconf", "wandb"}}
# In the order in which they build on each other: each may import those before it.
INSIDE = {"experiment": ("config", "run", "comparison", "logging", "sweep", "seeds", "commands")}
APART = [("scan.cpu", "scan.gpu"), ("scan.gpu", "scan.cpu")]
FAMILIES = {"recurrent", "stigmergic", "spiking", "spatial", "plastic", "stdp", "reward_modulated"}


def module_of(file: Path, source: Path = SOURCE) -> str:
    parts = file.relative_to(source.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file: Path, source: Path = SOURCE, deferred: bool = True) -> Iterator[str]:
    """Every module that a file imports, relative imports resolved; ``from bionets import scan`` is ``bionets.scan``.

    Without ``deferred``, those of functions and of type checkers are left out, which make no cycle.
    """
    package = file.relative_to(source.parent).with_suffix("").parts[:-1]
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree) if deferred else at_import(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            inner = [f"{module}.{alias.name}" for alias in node.names]
            modules = [name for name in inner if is_module(name, source)]
            yield from modules
            if len(modules) < len(inner) or not module.startswith("bionets"):
                yield module


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        guarded = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if not guarded and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from at_import(child)


def is_module(name: str, source: Path) -> bool:
    place = source.parent.joinpath(*name.split("."))
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


def inside(module: str, name: str) -> bool:
    return module == name or module.startswith(f"{name}.")


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_packages_import_only_allowed_packages(package: str) -> None:
    files = list((SOURCE / package).rglob("*.py"))
    assert files
    for file in files:
        for module in imports(file):
            if module.startswith("bionets."):
                inner = module.removeprefix("bionets.")
                allowed = any(inside(inner, name) for name in MAY_IMPORT[package])
                assert allowed, f"{file.relative_to(ROOT)} imports {module}"
            assert module.split(".")[0] not in FOREIGN.get(package, set()), f"{file.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("package", INSIDE)
def test_subpackages_import_only_those_before_them(package: str) -> None:
    order = INSIDE[package]
    assert {path.name for path in (SOURCE / package).iterdir() if (path / "__init__.py").exists()} == set(order)
    for place, part in enumerate(order):
        for file in (SOURCE / package / part).rglob("*.py"):
            for module in imports(file):
                later = [other for other in order[place + 1 :] if inside(module, f"bionets.{package}.{other}")]
                assert not later, f"{file.relative_to(ROOT)} imports {module}"
    for file in (SOURCE / package).glob("*.py"):  # what all of them use
        if file.stem != "__init__":
            parts = [module for module in imports(file) if any(inside(module, f"bionets.{package}.{p}") for p in order)]
            assert not parts, f"{file.relative_to(ROOT)} imports {parts}"


@pytest.mark.parametrize(("package", "other"), APART)
def test_backends_do_not_import_each_other(package: str, other: str) -> None:
    for file in SOURCE.joinpath(*package.split(".")).rglob("*.py"):
        assert not [module for module in imports(file) if inside(module, f"bionets.{other}")], file


def cycle(source: Path) -> list[str]:
    """The modules of an import cycle, or none."""
    graph = {module_of(file, source): set(imports(file, source, deferred=False)) for file in source.rglob("*.py")}
    sorter = TopologicalSorter({module: {*found} & {*graph} for module, found in graph.items()})
    try:
        sorter.prepare()
    except ValueError as error:  # graphlib.CycleError
        return list(error.args[1])
    return []


def test_there_are_no_import_cycles() -> None:
    assert not cycle(SOURCE)


def test_experiment_refers_to_no_model_family() -> None:
    for file in (SOURCE / "experiment").rglob("*.py"):
        if file.name == "registry.py" or "published" in file.name:
            continue
        for module in imports(file):
            family = set(module.split(".")[2:]) & FAMILIES
            assert not (family and module.startswith(("bionets.models", "bionets.layers"))), f"{file} imports {module}"
        names = {node.id for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Name)}
        models = {name for name in names if name.endswith("Model")}
        assert models <= {"Model", "BaseModel"}, file  # the latter is pydantic's


def test_a_module_imported_from_its_package_is_found(tmp_path: Path) -> None:
    source = tmp_path / "bionets"
    (source / "layers").mkdir(parents=True)
    for file in ("__init__.py", "layers/__init__.py", "scan.py"):
        (source / file).touch()
    (source / "layers" / "one.py").write_text("from bionets import scan\nfrom . import two\n")
    (source / "layers" / "two.py").write_text("from bionets.layers.one import something\n")
    assert set(imports(source / "layers" / "one.py", source)) == {"bionets.scan", "bionets.layers.two"}
    assert set(cycle(source)) == {"bionets.layers.one", "bionets.layers.two"}
    (source / "layers" / "two.py").write_text("def later():\n    from bionets.layers.one import something\n")
    assert not cycle(source)


def test_every_package_has_a_list_of_allowed_imports() -> None:
    assert {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()} == set(MAY_IMPORT)
    assert not (ROOT / "src" / "__init__.py").exists()


@pytest.mark.parametrize("plugin", sorted((SOURCE.parent / "hydra_plugins").glob("*.py")), ids=lambda file: file.stem)
def test_hydra_plugins_import_no_heavy_package(plugin: Path) -> None:
    heavy = "{'torch', 'lightning', 'optuna'}"
    code = f"import runpy, sys; runpy.run_path({str(plugin)!r}); print(*{heavy} & {{*sys.modules}})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


@pytest.mark.parametrize("entry", ["train.py", "evaluate.py", "compare.py", "analyse.py"])
def test_entry_points_are_short(entry: str) -> None:
    assert len((ROOT / entry).read_text().splitlines()) < 60


def test_text_is_read_and_written_in_a_named_encoding() -> None:
    """The default depends on the system: on Windows it is not UTF-8."""
    without = [
        f"{file.relative_to(SOURCE)}:{call.lineno}"
        for file in sorted(SOURCE.rglob("*.py"))
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and getattr(call.func, "attr", None) in ("read_text", "write_text")
        and "encoding" not in {keyword.arg for keyword in call.keywords}
    ]
    assert not without
