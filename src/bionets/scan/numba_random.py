"""Uniform random numbers by a counter-based generator: each chunk is computed from the seed and its own number alone.

So the bits depend neither on the number of threads nor on their timing. The generator is Philox 4x32-10 (Salmon et al.,
"Parallel random numbers: as easy as 1, 2, 3", SC 2011), whose rounds LLVM vectorises.
"""

from collections.abc import Callable
from typing import Any

from numba import float32, njit, uint64

from bionets.scan.numba_memory import store32

LANES = 256  # counters of a chunk; each gives four numbers
CHUNK = 4 * LANES
_LOW = uint64(0xFFFFFFFF)
_MULTIPLIER_A, _MULTIPLIER_B = uint64(0xD2511F53), uint64(0xCD9E8D57)
_WEYL_A, _WEYL_B = uint64(0x9E3779B9), uint64(0xBB67AE85)
_SCALE = float32(2.0**-24)


@njit(error_model="numpy")
def _round(a: Any, b: Any, c: Any, d: Any, key_a: Any, key_b: Any) -> Any:
    """Four 32-bit words, each in a 64-bit integer."""
    first, second = _MULTIPLIER_A * a, _MULTIPLIER_B * c
    return (second >> uint64(32)) ^ b ^ key_a, second & _LOW, (first >> uint64(32)) ^ d ^ key_b, first & _LOW


def uniform(out: int, first: int, last: int, seed: int) -> None:
    """Fill the chunks `first` to `last` of float32 at `out` with numbers in [0, 1), multiples of 2⁻²⁴."""
    for chunk in range(first, last):
        base = out + chunk * CHUNK * 4
        for lane in range(LANES):
            number = uint64(chunk) * uint64(LANES) + uint64(lane)
            a, b, c, d = number & _LOW, number >> uint64(32), uint64(0), uint64(0)
            key_a, key_b = uint64(seed) & _LOW, uint64(seed) >> uint64(32)
            for _ in range(10):
                a, b, c, d = _round(a, b, c, d, key_a, key_b)
                key_a, key_b = (key_a + _WEYL_A) & _LOW, (key_b + _WEYL_B) & _LOW
            store32(base, lane, float32(a >> uint64(8)) * _SCALE)
            store32(base, LANES + lane, float32(b >> uint64(8)) * _SCALE)
            store32(base, 2 * LANES + lane, float32(c >> uint64(8)) * _SCALE)
            store32(base, 3 * LANES + lane, float32(d >> uint64(8)) * _SCALE)


generators: dict[str, Callable[..., None]] = {"uniform": uniform}
