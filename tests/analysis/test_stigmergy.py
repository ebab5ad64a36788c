"""The trace of a stigmergic memory, and its figure."""

from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from bionets.analysis import stigmergy
from bionets.analysis.stigmergy import draw_memory, trace_memory
from bionets.layers import RecurrentStigmergicMemory, StigmergicMemory
from bionets.layers.stigmergic.stigmergic_memory import smooth_clamp


@pytest.mark.parametrize("kind", [StigmergicMemory, RecurrentStigmergicMemory])
def test_marks_and_ticks_of_a_trace_add_up_to_the_memory(
    kind: type[StigmergicMemory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    layer, x = kind(5, 4, 1, 6), torch.rand(9, 5)
    layer(x[0])
    kept = layer.memory.clone()
    trace = trace_memory(layer, x)
    before = torch.cat([torch.zeros(1, 4), trace.memory[:-1]])
    torch.testing.assert_close(smooth_clamp(before + trace.marks - trace.ticks, 0.0, 10.0), trace.memory)
    assert trace.marks.min() >= 0 and trace.ticks.min() >= 0
    assert torch.equal(layer.memory, kept)

    drawn: list[Figure] = []
    save = stigmergy.save
    monkeypatch.setattr(stigmergy, "save", lambda *figure: drawn.append(figure[0]) or save(*figure))
    assert draw_memory(tmp_path / "figures" / "memory.png", x, trace, "title").read_bytes().startswith(b"\x89PNG")
    images = [axes.images[0] for axes in drawn[0].axes if axes.get_title()]
    for image, values in zip(images, (x, *trace), strict=True):
        assert torch.equal(torch.as_tensor(image.get_array().data), values)
    deposits = max(trace.marks.max().item(), trace.ticks.max().item())
    assert [image.get_clim() for image in images[:3]] == [(0, 1), (0, deposits), (0, deposits)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_memory_of_a_layer_in_every_precision_is_drawn(tmp_path: Path, dtype: torch.dtype) -> None:
    layer, x = RecurrentStigmergicMemory(5, 4, 1, 6).to(dtype), torch.rand(9, 5, dtype=dtype)
    assert draw_memory(tmp_path / "memory.png", x, trace_memory(layer, x), "title").exists()
