"""Schemas of the small files in a run folder, which are checked before anything else reads them.

``format`` is the version: a file without it has version 1, and a higher number is that of a later version of bionets.
Keys that are not named here are allowed.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from bionets.experiment.errors import UserError
from bionets.experiment.nested import nested_values
from bionets.experiment.run.names import fault_of_component
from bionets.experiment.run.safe_read import RESTORE

IN_EVERY_RUN = ("config.yaml", "result.json", "metrics.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt")
LAST_SEED, LARGEST = 2**32 - 1, 10**18


def _component(name: str) -> str:
    if fault := fault_of_component(name):
        raise ValueError(f"a name {fault}")
    return name


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("text holds control characters")
    return text


def _fits(number: Any) -> Any:
    if isinstance(number, int) and abs(number) > LARGEST:
        raise ValueError("a number is too large")
    return number


Number = Annotated[float, BeforeValidator(_fits)]
Name = Annotated[str, AfterValidator(_component)]
Text = Annotated[str, AfterValidator(_printable)]
Seed = Annotated[int, Field(ge=0, le=LAST_SEED)]
Count = Annotated[int, Field(ge=0, le=LARGEST)]


class Part(BaseModel):
    """Part of a file. Types are strict: a string is not converted to a number, nor a number to a string."""

    model_config = ConfigDict(strict=True, extra="allow")


class RunFile(Part):
    format: Literal[1] = 1


class Choice(Part):
    """The model or the task of a config."""

    name: Name
    seed: Seed | None = None


class Trainer(Part):
    precision: Text = "32-true"
    max_epochs: int | None = None


class Logger(Part):
    project: Text = "bionets"
    entity: Text | None = None


class ConfigFile(RunFile):
    """``config.yaml``"""

    name: Name
    seed: Seed
    model: Choice
    task: Choice
    trainer: Trainer
    optimizer: dict[str, Any] | None = None
    schedule: dict[str, Any] | None = None
    callbacks: dict[str, Any] = {}
    logger: Logger = Logger()
    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    average_weights: float | None = None
    metrics: list[Text] = []
    flush_denormals: bool = False  # runs before this key was added did not

    @model_validator(mode="before")
    @classmethod
    def _sizes(cls, values: Any) -> Any:
        for key, value in nested_values(values):
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise ValueError(f"{key} is a whole number of more than 64 bits")
        return values

    @model_validator(mode="after")
    def _one_seed(self) -> "ConfigFile":
        if self.task.seed is not None and self.task.seed != self.seed:
            raise ValueError(f"seed is {self.seed}, and task.seed {self.task.seed}")
        return self


class EnvironmentFile(RunFile):
    """``environment.json``"""

    own_files: dict[str, str] = {}
    class_names: dict[Text, Count | list[str]] = {}
    columns: list[str] = []


class ResultFile(RunFile):
    """``result.json`` of a run that ended early; of a complete one, `CompleteResultFile`."""

    status: Literal["complete", "failed", "interrupted", "pruned"]
    error: str = ""


class CompleteResultFile(ResultFile):
    metrics: dict[Text, Number] = Field(min_length=1)
    tests: dict[Text, dict[Text, Number]]
    parameters: Count | None = None
    wall_time: Annotated[Number, Field(ge=0, allow_inf_nan=False)] | None = None
    epochs: Count | None = None
    steps: Count | None = None
    best_epoch: Count | None = None


class MirrorFile(RunFile):
    """``wandb.json`` and ``mlflow.json``"""

    id: Annotated[str, Field(pattern=r"^[\w-]{1,64}$")]


class FileDigest(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    size: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ManifestFile(RunFile):
    """``manifest.json``: size and digest of the files of a complete run, by path within the folder."""

    files: dict[str, FileDigest]

    @model_validator(mode="after")
    def _whole(self) -> "ManifestFile":
        missing = [name for name in IN_EVERY_RUN if name not in self.files]
        if missing:
            raise ValueError(f"it does not have {missing[0]}")
        return self


def validated(path: Path, content: Any, kind: type[BaseModel], advice: str = RESTORE) -> Any:
    """Return the content of a file, unchanged, if it matches the schema ``kind``.

    Raises:
        UserError: it does not; the message names the file, the first invalid key, and what to do.
    """
    try:
        kind.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(part if part.isprintable() else ascii(part) for part in map(str, first["loc"]))
        raise UserError(f"{path}: {key + ': ' if key else ''}{_what(first)}: {advice}") from error
    return content


def _what(fault: Any) -> str:
    if fault["type"] == "missing":
        return "the key is missing, so it was not written by bionets"
    if fault["loc"] == ("format",):
        return f"format {ascii(fault['input'])[:20]} is not known to this version of bionets"
    message = fault["msg"].removeprefix("Value error, ")
    shown = ascii(fault["input"])[:40]
    return f"{message[0].lower()}{message[1:]}" + (f", got {shown}" if not isinstance(fault["input"], dict) else "")
