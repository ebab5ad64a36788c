"""Every example in docs/spiking.md runs as it stands there."""

import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[3] / "docs" / "spiking.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example_runs(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if "import nir" in EXAMPLES[number]:
        pytest.importorskip("nir")
    exec(compile(EXAMPLES[number], f"docs/spiking.md, example {number}", "exec"), {"__name__": "example"})
