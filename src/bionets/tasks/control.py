"""Control: act in a Gymnasium environment, one episode at a time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor
from torchmetrics import MetricCollection

from .checks import require_at_least
from .metrics import MeanOf
from .seeding import generator
from .spec import TaskSpec
from .task import Data, Task

if TYPE_CHECKING:
    import gymnasium


class Control(Task):
    """Play episodes of at most ``steps`` steps in the Gymnasium environment ``environment_name``, whose observations
    are vectors and whose actions are discrete.

    x ``[B]`` holds the seeds of episodes, and the prediction ``[B]`` the return (the sum of the rewards) of each
    episode. The model plays the episodes in `environment`. The target is not used. Sizes are numbers of episodes. The
    loss is (``best_return`` − mean return) / abs(``best_return``).

    Args:
        environment_name: the name of the environment in Gymnasium.
        steps: maximum number of steps in an episode.
        bounds: the lowest and highest usual value of each component of an observation.
        best_return: the return of a perfect episode, not 0; it may be negative.
        solved_from: smallest return of a solved episode.
        others: see `Task`.
    """

    monitor = "val/return"
    mode = "max"

    def __init__(
        self,
        environment_name: str = "CartPole-v1",
        steps: int = 500,
        bounds: Sequence[Sequence[float]] = ((-2.4, 2.4), (-2.5, 2.5), (-0.21, 0.21), (-2.5, 2.5)),
        best_return: float = 500.0,
        solved_from: float = 195.0,
        train_size: int = 100,
        val_size: int = 20,
        test_size: int = 100,
        batch_size: int = 1,
        epochs: int = 10,
        seed: int = 0,
    ) -> None:
        require_at_least(1, steps=steps)
        if best_return == 0:
            raise ValueError("task.best_return must not be 0, because the loss is a share of it")
        super().__init__(train_size, val_size, test_size, batch_size, epochs, seed=seed)
        self.environment_name = environment_name
        self.steps = steps
        self.best_return = best_return
        self.solved_from = solved_from
        inputs, actions = self._sizes()
        if len(bounds) != inputs or any(len(pair) != 2 or not pair[0] < pair[1] for pair in bounds):
            raise ValueError(f"task.bounds must be the lowest and highest value of each of {inputs} observed numbers")
        self.spec = TaskSpec(
            "control", inputs, actions, bounds=tuple((float(low), float(high)) for low, high in bounds)
        )

    def environment(self) -> "gymnasium.Env[Any, Any]":
        """A new environment.

        Raises:
            ValueError: Gymnasium is not installed, or has no environment of this name.
        """
        try:
            import gymnasium
        except ImportError as error:
            raise ValueError('a control task needs Gymnasium: pip install "bionets[reward]"') from error
        try:
            return gymnasium.make(self.environment_name, max_episode_steps=self.steps, disable_env_checker=True)
        except (gymnasium.error.Error, ImportError) as error:  # module:Name-v0 imports a module
            raise ValueError(f"task.environment_name={self.environment_name} cannot be made: {error}") from error

    def _sizes(self) -> tuple[int, int]:
        environment = self.environment()
        from gymnasium.spaces import Discrete

        shape, actions = environment.observation_space.shape, environment.action_space
        if shape is None or len(shape) != 1 or not isinstance(actions, Discrete) or actions.start != 0:
            raise ValueError(
                f"task.environment_name={self.environment_name} must observe a vector of numbers "
                "and number its actions from 0"
            )
        return shape[0], int(actions.n)

    def train_data(self, epoch: int) -> Data:
        """New episodes in every epoch."""
        return self.draw("train", self.train_size, generator(self.seed, "train", epoch))

    def draw(self, split: str, size: int, random: Generator) -> Data:
        """The seeds of episodes ``[size]``."""
        return torch.randint(2**31, (size,), generator=random), torch.zeros(size)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The difference between the best return and the mean return, as a share of the best return."""
        return (self.best_return - prediction.mean()) / abs(self.best_return)

    def metrics(self) -> MetricCollection:
        """``return``, the mean return of the episodes, and ``solved``, the share of solved episodes."""
        returns = MeanOf(lambda prediction, target: prediction)
        solved = MeanOf(lambda prediction, target: prediction >= self.solved_from)
        return MetricCollection({"return": returns, "solved": solved}, compute_groups=False)
