"""A run from config to result: schemas, build, run folder, train, evaluate, compare.

Light to import: what needs PyTorch is imported by the command that needs it, once its config has been composed.
"""

from bionets.experiment.commands.cli import command
from bionets.experiment.errors import UserError

__all__ = ["UserError", "command"]
