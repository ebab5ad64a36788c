"""The figure of learnt filters."""

from pathlib import Path

import pytest
import torch
from matplotlib.image import AxesImage

from bionets.analysis.filters import draw_filters


def test_every_filter_is_in_the_figure_in_the_order_of_the_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets = []
    plain = AxesImage.set_data
    monkeypatch.setattr(AxesImage, "set_data", lambda self, data: sheets.append(data) or plain(self, data))
    weight = torch.arange(1.0, 6.0).unsqueeze(1).repeat(1, 2 * 3 * 4)
    file = draw_filters(tmp_path / "filters.png", weight, (2, 3, 4), torch.tensor([2, 0, 1, 0, -1]), "title")
    assert file.read_bytes().startswith(b"\x89PNG")
    sheet = torch.as_tensor(sheets[0])
    assert sheet.shape == (3 * (3 + 1), 2 * (4 + 1))  # three rows of two filters, with gaps
    shown = [sheet[row, column].item() for row in range(0, len(sheet), 4) for column in range(0, sheet.shape[1], 5)]
    assert [value for value in shown if value == value] == [10, 4, 8, 6, 2]  # both channels together
