"""Which figures a comparison has."""

from pathlib import Path

import pytest

from bionets.experiment.comparison.figures import MOST_PANELS, draw
from bionets.experiment.comparison.groups import Group
from bionets.experiment.comparison.statistics import Row


@pytest.mark.parametrize(("panels", "drawn"), [(2, True), (MOST_PANELS + 1, False)])
def test_bars_are_not_drawn_for_many_panels(panels: int, drawn: bool, tmp_path: Path) -> None:
    rows = [
        Row(Group((model, str(panel)), []), "test/error", (0.1, 0.2), model == "brc", None, None)
        for panel in range(panels)
        for model in ("brc", "gru")
    ]
    files = draw(tmp_path, [], rows, ["model", "task.problem"], [])
    assert [file.name for file in files] == (["bars.png"] if drawn else [])
    assert (tmp_path / "bars.png").exists() == drawn
