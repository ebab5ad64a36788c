"""The lines in docs/scan.md run, on every backend of this machine."""

import re
from pathlib import Path
from typing import Any

import torch

from bionets.scan import scan

PAGE = Path(__file__).parents[2] / "docs" / "scan.md"
BLOCKS = [block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "import" in block]


def run(block: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(block, names)
    return names


def test_the_adaptive_neuron_adapts() -> None:
    names = run(BLOCKS[0])
    assert names["params"][0].grad.abs().sum() > 0
    constant = torch.full((400, 1, 1), 0.3)
    state = (torch.zeros(1, 1), torch.zeros(1, 1))
    params = (torch.tensor(0.9), torch.tensor(0.98), torch.tensor(0.2))
    counts = {}
    for backend in ("numba", "reference"):
        spikes, _ = scan(names["adaptive_lif"], constant, state, params, backend=backend)
        counts[backend] = (int(spikes[:40].sum()), int(spikes[-40:].sum()))
    assert counts["numba"] == counts["reference"]
    assert counts["numba"][0] > counts["numba"][1] > 0


def test_the_spike_function_of_your_own() -> None:
    v = torch.tensor([-0.1, 0.0, 0.2], requires_grad=True)
    spike = run(BLOCKS[1])["exponential"](v)
    assert spike.tolist() == [0.0, 1.0, 1.0]
    (gradient,) = torch.autograd.grad(spike.sum(), v)
    torch.testing.assert_close(gradient, 2.5 * torch.exp(-5 * v.detach().abs()))
