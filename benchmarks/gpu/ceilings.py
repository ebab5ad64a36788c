"""Measured speed of a copy and of matrix products on the device, for lower bounds of the timings."""

from collections.abc import Callable, Iterator

import torch

from benchmarks.gpu.case import DEVICE, Case, Row, time_run

ROUNDS = 20


def cases(tiny: bool) -> Iterator[Case]:
    yield Case("copy", lambda: _copy(1 << (16 if tiny else 30)))
    for name, dtype, tf32 in (
        ("float32", torch.float32, False),
        ("TF32", torch.float32, True),
        ("bfloat16", torch.bfloat16, False),
    ):
        yield Case(f"product {name}", lambda dtype=dtype, tf32=tf32: _product(64 if tiny else 8192, dtype, tf32))  # type: ignore[misc]
    yield Case("launch", _launch)


def _copy(elements: int) -> Row:
    """A copy of float32 numbers, counting both the bytes read and the bytes written."""
    source, target = torch.randn(elements, device=DEVICE), torch.empty(elements, device=DEVICE)
    row = time_run(lambda: target.copy_(source), ROUNDS)
    return row | {"bytes_per_second": 8 * elements / row["median_s"]}


def _product(size: int, dtype: torch.dtype, tf32: bool) -> Row:
    left, right = (torch.randn(size, size, device=DEVICE).to(dtype) for _ in range(2))
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        row = time_run(lambda: left @ right, ROUNDS)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return row | {"operations_per_second": 2 * size**3 / row["median_s"]}


def _launch() -> Row:
    """A hundred additions to one number: the time of a short kernel in eager PyTorch."""
    number = torch.zeros(1, device=DEVICE)

    def run(step: Callable[[], object] = lambda: number.add_(1)) -> None:
        for _ in range(100):
            step()

    row = time_run(run, ROUNDS)
    return row | {"seconds_per_launch": row["median_s"] / 100}
