"""The trace of a stigmergic memory, and its figure."""

from pathlib import Path

import pytest
import torch

from bionets.analysis.stigmergy import draw_memory, trace_memory
from bionets.layers import RecurrentStigmergicMemory, StigmergicMemory
from bionets.layers.stigmergic.stigmergic_memory import smooth_clamp


@pytest.mark.parametrize("kind", [StigmergicMemory, RecurrentStigmergicMemory])
def test_marks_and_ticks_of_a_trace_add_up_to_the_memory(kind: type[StigmergicMemory], tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer, x = kind(5, 4, 1, 6), torch.rand(9, 5)
    layer(x[0])
    kept = layer.memory.clone()
    trace = trace_memory(layer, x)
    before = torch.cat([torch.zeros(1, 4), trace.memory[:-1]])
    torch.testing.assert_close(smooth_clamp(before + trace.marks - trace.ticks, 0.0, 10.0), trace.memory)
    assert trace.marks.min() >= 0 and trace.ticks.min() >= 0
    assert torch.equal(layer.memory, kept)
    assert draw_memory(tmp_path / "figures" / "memory.png", x, trace, "title").read_bytes().startswith(b"\x89PNG")
