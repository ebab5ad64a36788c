"""Networks that learn by spike timing: one presentation on the device beside the CPU's kernel in the same process."""

from collections.abc import Iterator

import torch

from benchmarks.gpu.case import DEVICE, Case, Row, time_run
from benchmarks.plastic import diehl_and_cook, digits

ROUNDS = 5


def cases(tiny: bool) -> Iterator[Case]:
    for batch in (1,) if tiny else (1, 32, 128):
        size, steps = (8, 5) if tiny else (400, 350)
        for name, device, backend in (("device", DEVICE, "auto"), ("CPU", "cpu", "auto")):
            yield Case(
                f"784-{size}-batch-{batch} / {name}",
                lambda batch=batch, size=size, steps=steps, device=device, backend=backend: _presentation(  # type: ignore[misc]
                    batch, size, steps, device, backend
                ),
            )


def _presentation(batch: int, size: int, steps: int, device: str, backend: str) -> Row:
    torch.manual_seed(0)
    network, x = diehl_and_cook(size).to(device), digits(batch, steps).to(device)

    def run() -> None:
        network.reset()
        network.normalise()
        network(x, backend=backend)

    return time_run(run, ROUNDS) | {"backend": network.backend}
