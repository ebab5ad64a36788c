"""The commands of bionets and what they share: configs, run folders, loggers, sweeps, comparisons.

Importing this package does not import PyTorch; the commands do so when they run.
"""

from bionets.experiment.commands.cli import command
from bionets.experiment.errors import UserError

__all__ = ["UserError", "command"]
