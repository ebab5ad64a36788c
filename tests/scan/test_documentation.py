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
    for backend in ("cpu", "reference"):
        spikes, _ = scan(names["adaptive_lif"], constant, state, params, backend=backend)
        counts[backend] = (int(spikes[:40].sum()), int(spikes[-40:].sum()))
    assert counts["cpu"] == counts["reference"]
    assert counts["cpu"][0] > counts["cpu"][1] > 0


def test_the_annealed_step_follows_its_slope() -> None:
    names = run(BLOCKS[1])
    step = names["partial"](names["lif"], slope=8.0)
    torch.manual_seed(0)
    x = torch.randn(10, 2, 4, requires_grad=True)
    gradients = [
        torch.autograd.grad(scan(step, x, torch.zeros(2, 4), backend=backend)[0].sum(), x)[0]
        for backend in ("auto", "reference")
    ]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_the_documented_spike_function_has_its_spikes_and_gradient() -> None:
    v = torch.tensor([-0.1, 0.0, 0.2], requires_grad=True)
    spike = run(BLOCKS[2])["exponential"](v)
    assert spike.tolist() == [0.0, 1.0, 1.0]
    (gradient,) = torch.autograd.grad(spike.sum(), v)
    torch.testing.assert_close(gradient, 2.5 * torch.exp(-5 * v.detach().abs()))
