"""Loggers, which copy a run to other tools, behind one interface."""

from collections.abc import Container, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from inspect import signature
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from lightning.pytorch.loggers import Logger

from bionets.annotations import require_types
from bionets.experiment.errors import Pruned, UserError, user_errors
from bionets.experiment.run.checkpoints import read_checkpoint
from bionets.experiment.run.metrics_file import read_rows, summary
from bionets.experiment.run.run_folder import RunFolder
from bionets.import_path import import_object

WANDB = "bionets.experiment.logging.wandb_mirror.WandbMirror"  # its settings are keys of ``logger`` itself


@dataclass(frozen=True)
class MirroredRun:
    """The run as passed to a logger: resolved config, folder, digest and type of job."""

    config: dict[str, Any]
    folder: RunFolder
    digest: str
    job_type: str = "train"

    @property
    def title(self) -> str:
        return f"{self.config['model']['name']} {self.config['task']['name']} seed {self.config['seed']}"

    @property
    def group(self) -> str:
        """The common name of runs that differ only in their seed."""
        return f"{self.config['task']['name']}/{self.config['model']['name']}/{self.config['name']}-{self.digest}"

    @cached_property
    def completed(self) -> tuple[int, int]:
        """The numbers of epochs and of training steps in the last checkpoint, which all loggers share; (0, 0) without
        one."""
        if not self.folder.last.exists():
            return 0, 0
        last = read_checkpoint(self.folder.last)
        return last["epoch"] + 1, last["global_step"]


class Mirror:
    """A logger of Lightning that also receives the results and figures at the end of a run.

    A logger of your own is a subclass, and a file in ``configs/logger`` that names it::

        # @package logger.my_logger
        _target_: my_package.MyMirror
        project: demo

    Its constructor takes the run and the other keys of that file, and sets ``logger``. It imports the packages that it
    needs, so that nothing is imported for loggers that are not used.

    Attributes:
        needs: the module that must be installed, and the extra of bionets that installs it.
        logger: a `lightning.pytorch.loggers.Logger`, which gets the metrics of every epoch.
        logged: the number of epochs whose metrics the constructor has logged, for a run that is resumed.
    """

    needs: ClassVar[tuple[str, str] | None] = None
    logger: Any
    logged = 0

    @classmethod
    def check(cls, **settings: Any) -> None:
        """Raise UserError for invalid settings or missing requirements; called before anything is written."""

    def write_result(self, result: dict[str, Any], folder: RunFolder) -> None:
        """Log the content of ``result.json`` and the figures of the run folder. The default implementation logs the
        headline metrics, except those of validation, which are logged after each epoch.
        """
        metrics = {name: value for name, value in result["metrics"].items() if not name.startswith("val/")}
        self.logger.log_metrics(metrics, step=result["steps"])

    def close(self, failed: bool) -> None:
        """Close the logger, after success or failure."""
        self.logger.finalize("failed" if failed else "success")


def check_mirrors(settings: dict[str, Any]) -> None:
    """Raise UserError if a logger of a config cannot be used; settings of W&B are checked even if it is disabled."""
    chosen = chosen_mirrors(settings)
    if not settings.get("wandb"):
        chosen.append((_class(WANDB), wandb_settings(settings)))
    for mirror, own in chosen:
        refuse_settings(mirror, own)
        mirror.check(**own)


def refuse_settings(mirror: type[Mirror], settings: dict[str, Any]) -> None:
    """Raise UserError for settings that a logger does not have, or whose type does not match its annotation."""
    arguments = signature(mirror)
    try:
        arguments.bind(None, **settings)
    except TypeError as error:
        known = ", ".join(list(arguments.parameters)[1:])
        raise UserError(f"the logger {mirror.__name__} takes {known or 'no settings'}: {error}") from error
    with user_errors(f"the logger {mirror.__name__}: "):
        require_types("", mirror, settings)


@contextmanager
def mirrored(
    config: dict[str, Any], folder: RunFolder, digest: str, *, has_failed: bool = False
) -> Iterator[list[Mirror]]:
    """Build the loggers of a config, and close them at the end of the context, also after an error.

    has_failed: whether the run failed before its loggers were built.
    """
    run = MirroredRun(config, folder, digest)
    mirrors: list[Mirror] = []
    failed = True

    def close(mirror: Mirror) -> None:
        mirror.close(failed)

    with ExitStack() as opened:
        for kind, settings in chosen_mirrors(config["logger"]):
            mirror = kind(run, **settings)  # type: ignore[call-arg]
            mirrors.append(mirror)
            opened.callback(close, mirror)
        try:
            yield mirrors
            failed = has_failed
        except Pruned:
            failed = False
            raise


def chosen_mirrors(settings: dict[str, Any]) -> list[tuple[type[Mirror], dict[str, Any]]]:
    """The class and the settings of each logger of a config; W&B, the default, only if it is installed."""
    chosen = []
    if settings.get("wandb") and find_spec("wandb") is not None:
        chosen.append((_class(WANDB), wandb_settings(settings)))
    for name, node in settings.items():
        if isinstance(node, dict):
            if not isinstance(node.get("_target_"), str):
                raise UserError(f"logger.{name}={node} is not a logger: its _target_ names the class of one")
            kind = _class(node["_target_"])
            if kind.needs is not None and find_spec(kind.needs[0]) is None:
                raise UserError(f"logger={name} needs {kind.needs[0]}: pip install 'bionets[{kind.needs[1]}]'")
            chosen.append((kind, {key: value for key, value in node.items() if key != "_target_"}))
    return chosen


def wandb_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of W&B, which are keys of ``logger`` itself."""
    return {key: value for key, value in settings.items() if not isinstance(value, dict) and key != "wandb"}


def _class(path: str) -> type[Mirror]:
    with user_errors(f"the logger {path} cannot be imported: "):
        found = import_object(path)
    if not (isinstance(found, type) and issubclass(found, Mirror)):
        raise UserError(f"the logger {path} is not a subclass of bionets.experiment.logging.mirrors.Mirror")
    return found


def log_completed(logger: Logger, run: MirroredRun) -> int:
    """Log the epochs that a run completed before it had this logger, and return their number."""
    epochs, _ = run.completed
    log_epochs(logger, run.folder.metrics_file, range(epochs))
    return epochs


def log_epochs(logger: Logger, metrics_file: Path, epochs: Container[int]) -> None:
    """Log those of the given epochs that a metrics file holds, as during their training."""
    for values, step in summaries(metrics_file, epochs):
        logger.log_metrics(values, step)


def summaries(metrics_file: Path, epochs: Container[int]) -> Iterator[tuple[dict[str, float], int]]:
    """The values and the step that loggers get of each of the given epochs that a metrics file holds."""
    for epoch, rows in groupby(read_rows(metrics_file), key=lambda row: row.epoch):
        if epoch in epochs:
            yield summary(list(rows))
