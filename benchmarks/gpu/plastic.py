"""Plastic networks: one presentation on the device, compared with the CPU kernel in the same process."""

import copy
from collections.abc import Iterator

import torch

from benchmarks.gpu.case import BACKEND, DEVICE, Case, Row, time_run
from benchmarks.gpu.correctness import agreement
from benchmarks.plastic import diehl_and_cook, digits

ROUNDS = 5
CONTESTANTS = {  # name, device, backend
    "bionets, Triton": (DEVICE, BACKEND),
    "bionets, PyTorch's kernels": (DEVICE, "reference"),
    "bionets, CPU": ("cpu", "numba"),
}


def agreement_cases(tiny: bool) -> Iterator[Case]:
    """Compare spikes, weights and thresholds after a presentation by the Triton kernels with those of the CPU kernel,
    in float64.
    """
    for training in (True, False):
        name = f"a plastic network {'that learns' if training else 'without learning'}"
        yield Case(name, lambda training=training: _compare(10 if tiny else 100, training))  # type: ignore[misc]


def _compare(steps: int, training: bool) -> Row:
    torch.manual_seed(0)
    other = diehl_and_cook(50).double().train(training)
    network, x = copy.deepcopy(other).to(DEVICE), digits(4, steps)
    found, expected = network(x.to(DEVICE), backend=BACKEND), other(x, backend="numba")
    spikes = [[each.float().cpu() for each in of.values()] for of in (found, expected)]
    ours, theirs = (
        [*one, *(values.cpu() for values in net.state_dict().values())]
        for one, net in zip(spikes, (network, other), strict=True)
    )
    return agreement(ours, theirs, 1e-9) | {"spikes": float(found["excitatory"].sum())}


def cases(tiny: bool) -> Iterator[Case]:
    for batch in (1,) if tiny else (32, 1, 128):
        size, steps = (8, 5) if tiny else (400, 350)
        for training in (True, False):
            for name, (device, backend) in CONTESTANTS.items():
                title = f"784-{size}-batch-{batch}{'' if training else '-without-learning'} / {name}"
                given = (batch, size, steps, device, backend, training)
                yield Case(title, lambda given=given: _presentation(*given))  # type: ignore[misc]


def _presentation(batch: int, size: int, steps: int, device: str, backend: str, training: bool) -> Row:
    torch.manual_seed(0)
    network, x = diehl_and_cook(size).to(device).train(training), digits(batch, steps).to(device)

    def run() -> None:
        network.reset()
        network.normalise()
        network(x, backend=backend)

    return time_run(run, ROUNDS) | {"backend": network.backend}
