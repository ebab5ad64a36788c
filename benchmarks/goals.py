"""The goals of the project, compared with the measurements."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.first_call import FRESH, USED
from benchmarks.results import Results, ratio

Measure = Callable[[Results], float | None]


@dataclass(frozen=True)
class Goal:
    """A goal: the number returned by `measure` should be at most `most`. `measure` returns None if the number was not
    measured.
    """

    what: str
    most: float
    unit: str
    measure: Measure


def reached(results: Results) -> Iterator[tuple[Goal, float]]:
    """The goals for which there are measurements, with their values."""
    for goal in GOALS:
        value = goal.measure(results)
        if value is not None:
            yield goal, value


def _against(comparison: str, *peers: str) -> Measure:
    """The ratio of the time of bionets to that of the fastest of the rows whose names begin with `peers`; None if one
    of them was not measured, because it could be the fastest.
    """

    def measure(results: Results) -> float | None:
        measured = results.comparisons.get(comparison)
        if measured is None:
            return None
        times = [row.median for row in measured.rows if row.contestant.name.startswith(peers)]
        return ratio(measured.ours, _if_all(min, times))

    return measure


def _over_floor(comparison: str) -> Measure:
    def measure(results: Results) -> float | None:
        measured = results.comparisons.get(comparison)
        return ratio(measured.ours, measured.floors[0].total) if measured else None

    return measure


def _over(longer: str, shorter: str) -> Measure:
    def measure(results: Results) -> float | None:
        one, other = results.comparisons.get(longer), results.comparisons.get(shorter)
        return ratio(one.ours, other.ours) if one and other else None

    return measure


def _peak(results: Results) -> float | None:
    return results.memory.get("bionets scan", (None, None))[0]


def _conv_peak(results: Results) -> float | None:
    """The ratio of the peak memory of bionets to the lowest of the other libraries."""
    peaks = {name: peak for name, (peak, _) in results.conv_memory.items()}
    ours = peaks.pop("bionets", None)
    return ratio(ours, _if_all(min, list(peaks.values())))


def _first_call(position: int, machine: str = "") -> Measure:
    def measure(results: Results) -> float | None:
        times = [call[:2][position] for cell, call in results.first_calls.items() if cell.endswith(machine)]
        return _if_all(max, times)

    return measure


def _if_all(choose: Callable[[list[float]], float], values: list[float | None]) -> float | None:
    """The smallest or largest value; None if there is no value, or if one is missing."""
    known = [value for value in values if value is not None]
    return choose(known) if known and len(known) == len(values) else None


def _goals() -> Iterator[Goal]:
    yield Goal("BRC, T 300: time over brc_pytorch's", 1 / 6, "×", _against("brc-300", "brc_pytorch"))
    yield Goal("BRC, T 300: time over nn.GRU's", 1 / 4, "×", _against("brc-300", "nn.GRU"))
    yield Goal("BRC, T 300: time over JAX's", 1 / 3, "×", _against("brc-300", "JAX"))
    yield Goal("nBRC, T 300: time over JAX's", 1 / 3, "×", _against("nbrc-300", "JAX"))
    yield Goal("LIF: time over JAX's", 1 / 3, "×", _against("lif-round", "JAX"))
    yield Goal("BRC, T 300: time over the floor", 1.6, "×", _over_floor("brc-300"))
    yield Goal("nBRC, T 300: time over the floor", 1.4, "×", _over_floor("nbrc-300"))
    yield Goal("BRC, T 1000: time over brc_pytorch's", 1 / 45, "×", _against("brc-1000", "brc_pytorch"))
    yield Goal("BRC, T 1000: time over nn.GRU's", 1 / 4, "×", _against("brc-1000", "nn.GRU"))
    yield Goal("BRC, T 1000: time over its own at T 100", 12, "×", _over("brc-1000", "brc-100"))
    yield Goal("nBRC, T 300: time over brc_pytorch's", 1 / 4.5, "×", _against("nbrc-300", "brc_pytorch"))
    yield Goal("nBRC, T 300: time over nn.GRU's", 1 / 2, "×", _against("nbrc-300", "nn.GRU"))
    for quantiser in ("round", "bernoulli"):
        lif, dsrlits = f"lif-{quantiser}", f"dsrlits-{quantiser}"
        yield Goal(f"LIF ({quantiser}): time over tracetorch's", 1 / 8, "×", _against(lif, "tracetorch"))
        if quantiser == "round":
            others = _against(lif, "snntorch", "spikingjelly", "norse")
            yield Goal("LIF: time over the fastest of snntorch, spikingjelly, norse", 1 / 3.5, "×", others)
        yield Goal(f"LIF ({quantiser}): time over the floor", 2, "×", _over_floor(lif))
        yield Goal(f"DSRLITS ({quantiser}): time over tracetorch's", 1 / 8, "×", _against(dsrlits, "tracetorch"))
        yield Goal(f"DSRLITS ({quantiser}): time over the floor", 4, "×", _over_floor(dsrlits))
        conv = f"spiking-conv-{quantiser}"
        yield Goal(f"conv net ({quantiser}): time over tracetorch's", 1 / 2, "×", _against(conv, "tracetorch"))
    rivals = _against("spiking-conv-round", "snntorch", "spikingjelly")
    yield Goal("conv net: time over the faster of snntorch and spikingjelly", 3 / 4, "×", rivals)
    yield Goal("conv net: time over the same net with ReLUs", 1.3, "×", _against("spiking-conv-round", "ReLU"))
    ordinary = _against("decay", "bionets scan, ordinary numbers")
    yield Goal("a decay into denormals: time over that of ordinary numbers", 1.1, "×", ordinary)
    for size, most in ((32, 0.2), (256, 0.17)):
        peer = _against(f"stigmergic-{size}", "eager, last readout")
        yield Goal(f"stigmergic network, B {size}: time over its equations' in eager PyTorch", most, "×", peer)
    for batch, most in ((1, 1 / 2), (32, 1.0)):
        products = _against(f"plastic-{batch}", "two addmm_ a step")
        yield Goal(f"784 → 400 with STDP, B {batch}: time over two addmm_ a step", most, "×", products)
    yield Goal("LIF: peak memory beyond inputs and outputs", 1.2, "[T, B, N]", _peak)
    yield Goal("conv net: peak memory over the lowest of the others", 1, "×", _conv_peak)
    for machine, most in ((FRESH, 1.0), (USED, 0.5)):
        yield Goal(f"first call of a new cell, {machine}", most, "s", _first_call(0, machine))
    yield Goal("first call in a new process, from the disk cache", 0.3, "s", _first_call(1))


GOALS = tuple(_goals())
