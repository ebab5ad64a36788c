"""The search space of a sweep in Hydra's syntax, and the overrides that stay fixed.

``key=a,b`` and ``key=choice(a,b)`` are choices, ``key=range(1,9,2)`` and ``key=interval(0.1,1)`` are numbers,
``key=int(interval(1,64))`` are integers, and ``key=tag(log,interval(1e-4,1e-1))`` are numbers on a logarithmic scale.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice, product
from math import isfinite, prod
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from bionets.experiment.command_line import refuse_repeated
from bionets.experiment.errors import UserError, user_errors

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

MOST_JOBS = 10_000  # of a grid


@dataclass(frozen=True)
class Space:
    """The overrides that all jobs of a sweep share, and those in which they differ."""

    fixed: list[str]
    swept: dict[str, Override]

    @classmethod
    def of(cls, params: Mapping[str, str], arguments: Sequence[str], config_loader: ConfigLoader) -> "Space":
        """Read the space from ``hydra.sweeper.params`` of the config and the command line, which takes precedence."""
        refuse_repeated(arguments)
        parser = OverridesParser.create(config_loader=config_loader)
        given = {one.get_key_element(): one for one in parser.parse_overrides([f"{k}={v}" for k, v in params.items()])}
        overrides = {one.get_key_element(): one for one in parser.parse_overrides(list(arguments))}
        overrides = {**given, **overrides}
        swept = {key: one for key, one in overrides.items() if one.is_sweep_override()}
        fixed_by_user = [key for key, one in given.items() if one.is_sweep_override() and key not in swept]
        groups = {word.partition("=")[0] for word in arguments}
        # An experiment has values of its own, which the command line may replace beside a sweep.
        if fixed_by_user and "sweep" in groups and not (swept and "experiment" in groups):
            words = " ".join(f"{key}={given[key].get_value_string()}" for key in fixed_by_user)
            typed = " ".join(_as_word(key, overrides[key]) for key in fixed_by_user)
            raise UserError(f"the sweep says {words}, and the command line {typed}: leave out one of the two")
        fixed = [_as_word(key, one) for key, one in overrides.items() if key not in swept]
        return cls(fixed, swept)

    def words(self) -> list[str]:
        """The swept overrides as typed."""
        return [f"{key}={override.get_value_string()}" for key, override in self.swept.items()]

    def grid(self) -> list[list[str]]:
        """The overrides of each job of the grid; the last key varies fastest."""
        for key, override in self.swept.items():
            if not override.is_discrete_sweep():
                raise UserError(
                    f"{key}={override.get_value_string()} has infinitely many values: "
                    f"list some ({key}=1,2,3), or search with sweep=random, tpe or cmaes"
                )
        choices = []
        for key, override in self.swept.items():
            words = [f"{key}={value}" for value in islice(override.sweep_string_iterator(), MOST_JOBS + 1)]
            if not words:
                raise UserError(f"{key}={override.get_value_string()} has no values: there is nothing to run")
            choices.append(words)
        if (jobs := prod(map(len, choices))) > MOST_JOBS:
            raise UserError(f"this sweep has {jobs} jobs or more, and at most {MOST_JOBS} are allowed: divide it")
        return [[*self.fixed, *combination] for combination in product(*choices)]

    def varied(self, job: list[str]) -> list[str]:
        """The overrides in which a job differs from the others."""
        return job[len(self.fixed) :] or job

    def distributions(self) -> dict[str, "BaseDistribution"]:
        """The swept keys as distributions of Optuna. A choice is the text after ``key=``."""
        return {key: _distribution(key, override) for key, override in self.swept.items()}

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """The overrides of a job with these values of the swept keys."""
        return [*self.fixed, *(f"{key}={values[key]}" for key in self.swept)]


def _as_word(key: str, override: Override) -> str:
    return key if override.is_delete() else f"{key}={override.get_value_element_as_str()}"


def _distribution(key: str, override: Override) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep = override.value()
    with user_errors(f"{key}={override.get_value_string()} cannot be searched: "):
        if isinstance(sweep, IntervalSweep):
            log = "log" in sweep.tags
            assert sweep.start is not None
            assert sweep.end is not None
            if not (isfinite(sweep.start) and isfinite(sweep.end)):
                raise ValueError("both ends must be finite")
            if isinstance(sweep.start, int) and isinstance(sweep.end, int):
                return IntDistribution(sweep.start, sweep.end, log=log)
            return FloatDistribution(sweep.start, sweep.end, log=log)
        if isinstance(sweep, RangeSweep):
            values = [float(value) for value in sweep.range()]
            if not values:
                raise ValueError("it has no values")
            # In decimals: Optuna leaves out the last value unless it is a whole number of steps after the first one.
            start, step = Decimal(str(sweep.start)), Decimal(str(sweep.step))
            low, high = sorted((start, start + (len(values) - 1) * step))
            log, size = "log" in sweep.tags, abs(float(step))
            if all(value.is_integer() for value in (*values, size)):
                return IntDistribution(int(low), int(high), log=log, step=int(size))
            return FloatDistribution(float(low), float(high), log=log, step=size)
        choices = list(override.sweep_string_iterator())
        # Shuffled ones have another order in each process, which Optuna takes for another space.
        return CategoricalDistribution(sorted(choices) if getattr(sweep, "shuffle", False) else choices)
