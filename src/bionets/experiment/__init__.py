"""A run from config to result: schemas, build, run folder, train, evaluate, compare."""

from bionets.experiment.cli import command
from bionets.experiment.compare import compare
from bionets.experiment.errors import UserError
from bionets.experiment.evaluate import evaluate
from bionets.experiment.schemas import register
from bionets.experiment.train import train

__all__ = ["UserError", "command", "compare", "evaluate", "register", "train"]
