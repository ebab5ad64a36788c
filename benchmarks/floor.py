"""A lower bound of the time of a computation: its bytes at the speed of a copy, and its matrix products and random
numbers, each timed alone.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch

from bionets.scan.uniform import uniform

COPY_BYTES = 256 * 2**20
ROUNDS = 3  # runs for each round; the fastest one is used, because the floor is a lower bound


@dataclass(frozen=True)
class Product:
    """`[rows, inner] @ [inner, columns]`, computed `times` times, where each product depends on the one before it."""

    rows: int
    inner: int
    columns: int
    times: int = 1


@dataclass(frozen=True)
class Work:
    """The work of a computation.

    moved: number of bytes that must be read and written, by description. drawn: the shape of each block of uniform
    random numbers.
    """

    moved: dict[str, int]
    products: tuple[Product, ...] = ()
    drawn: tuple[tuple[int, ...], ...] = ()


@dataclass
class Floor:
    """The parts of a floor, in seconds."""

    moved_bytes: int
    moving: float
    multiplying: float
    drawing: float
    counted: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> float:
        return self.moving + self.multiplying + self.drawing


def measure_floor(work: Work, bytes_per_second: float, rounds: int) -> Floor:
    """The lower bound for `work`. Products and random numbers are timed now, in this process."""
    moved = sum(work.moved.values())
    multiplying = sum(_fastest(_multiply(product), rounds) for product in work.products)
    drawing = sum(_fastest(partial(uniform, 0, 0, shape), rounds) for shape in work.drawn)
    return Floor(moved, moved / bytes_per_second, multiplying, drawing, work.moved)


def copy_bandwidth(rounds: int, size: int = COPY_BYTES) -> float:
    """Bytes per second of `destination.copy_(source)`, counting both the bytes read and the bytes written."""
    source, destination = torch.ones(size // 4), torch.zeros(size // 4)
    return 2 * size / _fastest(lambda: destination.copy_(source), rounds)


def _multiply(product: Product) -> Callable[[], None]:
    left, right = torch.randn(product.rows, product.inner), torch.randn(product.inner, product.columns)
    result = torch.empty(product.rows, product.columns)

    def run() -> None:
        for _ in range(product.times):
            torch.mm(left, right, out=result)

    return run


def _fastest(run: Callable[[], object], rounds: int) -> float:
    run()
    taken = []
    for _ in range(ROUNDS * rounds):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return min(taken)
