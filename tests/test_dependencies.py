"""The lowest versions that pyproject.toml supports are the ones that the tests run with."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIREMENT = re.compile(r"^([\w.-]+)(?:\[\w+\])?(?:>=|==)([\d.]+)")


def test_the_lock_has_the_lowest_supported_versions() -> None:
    locked = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if found := re.match(r"([\w.-]+)==([\d.]+)", line):
            locked[found[1].replace("_", "-").lower()] = found[2]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    lowest = dict(found.groups() for group in groups for each in group if (found := REQUIREMENT.match(each)))
    lowest.pop("triton")  # a CUDA build of torch asks for its own
    assert len(lowest) > 20
    for name, version in lowest.items():
        parts = version.split(".")
        assert locked[name.lower()].split(".")[: len(parts)] == parts, f"{name}>={version} was not tested"
