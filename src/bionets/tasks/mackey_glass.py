"""Mackey-Glass: continue a chaotic time series from the predictions of the model."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchmetrics import MetricCollection

from .checks import require_at_least
from .metrics import MeanOf
from .seeding import generator
from .spec import TaskSpec
from .task import Data, Task

LYAPUNOV_TIMES = dict(
    zip(range(17, 31), (197, 138, 315, 131, 191, 119, 106, 97, 98, 104, 112, 119, 131, 139), strict=True)
)
INITIAL_VALUES = dict(
    zip(
        range(17, 31),
        (
            *(0.7206597, 0.7744313, 0.7783468, 0.9225991, 0.9479431, 0.5455960, 0.8622247),
            *(0.3259660, 0.8297825, 1.0033490, 0.6491406, 1.0957495, 0.9256179, 0.2713639),
        ),
        strict=True,
    )
)
STEPS_PER_UNIT = 20  # of the integration
SERIES = 30  # number of series of each tau; each begins half a Lyapunov time after the previous one


def integrate(
    rate: Callable[[float, float], float], initial: float, delay: int, times: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Solve dx/dt = rate(x(t), x(t − delay)) with x = ``initial`` for t ≤ 0, and return x at the ``times``.

    The method is the classical Runge-Kutta method of order 4 with `STEPS_PER_UNIT` steps per unit of time; the delay is
    a multiple of the step. Values between steps are cubic Hermite interpolants, also of order 4. All numbers are Python
    floats, computed in a fixed order. They are therefore the same on every machine if ``rate`` consists of sums,
    products and quotients.

    Args:
        rate: returns dx/dt for x(t) and x(t − delay).
        initial: x for t ≤ 0.
        delay: at least 1.
        times: at least 0.
    """
    step, lag = 1 / STEPS_PER_UNIT, delay * STEPS_PER_UNIT
    count = int(times.max() * STEPS_PER_UNIT) + 1
    values, middles = [initial] * (lag + 1), [initial] * lag  # from t = −delay, at the steps and halfway between them
    slopes = [rate(initial, initial)]
    for k in range(count):
        x, before, between, after = values[-1], values[k], middles[k], values[k + 1]
        first = rate(x, before)
        second = rate(x + step / 2 * first, between)
        third = rate(x + step / 2 * second, between)
        fourth = rate(x + step * third, after)
        new = x + step / 6 * (first + 2 * second + 2 * third + fourth)
        slope = rate(new, after)
        middles.append((x + new) / 2 + step / 8 * (first - slope))
        values.append(new)
        slopes.append(slope)
    found, change = np.array(values[lag:]), np.array(slopes) * step
    place = np.minimum(np.floor(times * STEPS_PER_UNIT).astype(int), count - 1)
    s = times * STEPS_PER_UNIT - place
    left = (1 + 2 * s) * found[place] + s * change[place]
    right = (3 - 2 * s) * found[place + 1] + (s - 1) * change[place + 1]
    return (1 - s) ** 2 * left + s**2 * right


def mackey_glass_rate(x: float, delayed: float) -> float:
    """dx/dt = 0.2 x(t − τ) / (1 + x(t − τ)¹⁰) − 0.1 x(t)."""
    square = delayed * delayed
    fourth = square * square
    return 0.2 * delayed / (1 + fourth * fourth * square) - 0.1 * x


def symmetric_errors(prediction: Tensor, target: Tensor, mean: float, deviation: float) -> Tensor:
    """200 · |ŷ − y| / (|ŷ| + |y|), whose mean is the sMAPE, in percent from 0 to 200, of the original values, before
    the standardisation (y − mean) / deviation.
    """
    prediction, target = (each * deviation + mean for each in (prediction[-len(target) :], target))
    share = (prediction - target).abs() / (prediction.abs() + target.abs())  # at most 1, also in float16
    return 200 * share.nan_to_num(1.0)


class MackeyGlass(Task):
    """Predict the next value of the Mackey-Glass series; in validation and test, continue the series in a closed loop:

        dx/dt = 0.2 x(t − τ) / (1 + x(t − τ)¹⁰) − 0.1 x(t)

    The series is sampled at ``points`` values per Lyapunov time, and standardised by the mean and standard deviation of
    the training part. It lasts ``train_times`` + ``test_times`` Lyapunov times and has three parts: for training, for
    validation (the last ``val_times`` before the test), and for the test.

    - Training: x ``[window, B, 1]`` is a random window of the training part, and the prediction ``[window, B, 1]`` is
      the next value at each step, given the true previous values. The loss is the mean squared error after the first
      ``warm_up`` of a window.
    - Validation and test: x ``[T, 1, 1]`` is the series before the part, and the prediction is the whole part; each
      predicted value is the next input. ``smape`` is the symmetric mean absolute percentage error of the values before
      standardisation. The best epoch is the one with the smallest ``smape`` on the validation part.

    There are 30 series for each τ; each begins half a Lyapunov time after the previous one. ``seed`` modulo 30 is the
    number of the series. All times are in Lyapunov times.

    Args:
        tau: the delay τ, 17 to 30.
        points: number of values per Lyapunov time.
        train_times: duration of the training and validation parts together.
        val_times: duration of the validation part.
        test_times: duration of the test part.
        window: duration of a training sequence.
        warm_up: duration of the first part of a window, which is left out of the loss.
        train_size: number of windows in an epoch.
        seed: seed of the series and the windows.
        others: see `Task`.

    Source: chaotic function prediction of NeuroBench (Yik et al., Nature Communications 2025). The delays, Lyapunov
    times and initial values are from its code.
    """

    spec = TaskSpec("sequence_to_sequence", input_size=1, output_size=1, closed_loop=True)
    monitor = "val/smape"
    mode = "min"

    def __init__(
        self,
        tau: int = 17,
        points: int = 75,
        train_times: float = 10.0,
        val_times: float = 4.0,
        test_times: float = 10.0,
        window: float = 3.0,
        warm_up: float = 0.6,
        train_size: int = 200,
        batch_size: int = 20,
        epochs: int = 100,
        seed: int = 0,
    ) -> None:
        require_at_least(1, points=points)
        if tau not in LYAPUNOV_TIMES:
            raise ValueError(f"task.tau must be one of 17 to 30, got {tau}")
        durations = {"train_times": train_times, "val_times": val_times, "test_times": test_times}
        for key, value in {**durations, "window": window, "warm_up": warm_up}.items():
            if not math.isfinite(value * points):
                raise ValueError(f"task.{key} must be a finite number of Lyapunov times, got {value}")
        self.steps = {
            name: round(times * points)
            for name, times in (("train", train_times - val_times), ("val", val_times), ("test", test_times))
        }
        if min(self.steps.values()) < 1:
            raise ValueError(
                "task.train_times, task.val_times and task.test_times must leave a step for training, validation and "
                f"test each, got {train_times}, {val_times} and {test_times}"
            )
        self.window, self.warm_up = round(window * points), round(warm_up * points)
        if not 0 <= self.warm_up < self.window < self.steps["train"]:
            raise ValueError(
                "task.warm_up must be shorter than task.window, and that than task.train_times - task.val_times, "
                f"got {warm_up}, {window} and {train_times - val_times:g}"
            )
        super().__init__(train_size, 1, 1, batch_size, epochs, seed=seed)
        self.tau, self.points = tau, points
        self._series: Tensor | None = None

    @property
    def series(self) -> Tensor:
        """All values ``[steps, 1, 1]``, not standardised."""
        if self._series is None:
            unit = LYAPUNOV_TIMES[self.tau]
            start = self.tau + self.seed % SERIES / 2 * unit  # as in NeuroBench, whose solver first steps to τ
            times = start + torch.arange(sum(self.steps.values()), dtype=torch.float64) * unit / self.points
            values = integrate(mackey_glass_rate, INITIAL_VALUES[self.tau], self.tau, times.numpy())
            self._series = torch.from_numpy(values).view(-1, 1, 1)
        return self._series

    @property
    def scale(self) -> tuple[float, float]:
        """Mean and standard deviation of the training part."""
        part = self.series[: self.steps["train"]]
        return float(part.mean()), float(part.std())

    def train_data(self, epoch: int) -> Data:
        """New windows in every epoch."""
        last = self.steps["train"] - self.window - 1
        starts = torch.randint(last + 1, (self.train_size,), generator=generator(self.seed, "train", epoch))
        rows = torch.arange(self.window + 1).unsqueeze(1) + starts
        sequences = self._standardised()[rows, 0]  # [window + 1, train_size, 1]
        return sequences[:-1], sequences[1 + self.warm_up :]

    def val_data(self) -> Data:
        """The training part, and the validation part."""
        return self._split(self.steps["train"], self.steps["val"])

    def test_data(self, name: str) -> Data:
        """The training and validation parts, and the test part. Raises ValueError for a name that is not in
        ``test_names``."""
        self.require_test_set(name)
        return self._split(self.steps["train"] + self.steps["val"], self.steps["test"])

    def _split(self, before: int, steps: int) -> Data:
        series = self._standardised()
        return series[:before], series[before : before + steps]

    def _standardised(self) -> Tensor:
        mean, deviation = self.scale
        return ((self.series - mean) / deviation).float()

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean squared error over the steps of the target, which are the last steps of the prediction."""
        return functional.mse_loss(prediction[-len(target) :], target)

    def metrics(self) -> MetricCollection:
        """``smape``, in percent."""
        mean, deviation = self.scale
        return MetricCollection({"smape": MeanOf(partial(symmetric_errors, mean=mean, deviation=deviation))})
