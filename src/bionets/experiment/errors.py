"""User errors, which are shown as one line without a traceback."""

import re
import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError

from bionets.experiment.console import escape_controls


class UserError(Exception):
    """An error that the user can correct. Its message is one line that says what is wrong and what to do."""


class JobError(UserError):
    """One or more jobs of a sweep failed; the others continue."""


class Busy(UserError):
    """Another process is training the same run, or has just completed it."""


class Pruned(Exception):
    """A trial was stopped early because it was worse than others at the same epoch."""


@contextmanager
def user_errors(beginning: str = "") -> Iterator[None]:
    """Turn a ValueError, with which other packages of bionets refuse a value, into a UserError. ``beginning`` is put in
    front of its message.
    """
    try:
        yield
    except ValueError as error:
        raise UserError(f"{beginning}{error}") from error


USER_ERRORS = (UserError, HydraException, OmegaConfBaseException, YAMLError, OSError)
# By name, because importing these classes takes seconds.
USER_ERRORS_BY_NAME = (
    "lightning.fabric.utilities.exceptions.MisconfigurationException",
    "lightning.fabric.utilities.spike.TrainingSpikeException",
    "wandb.errors.errors.Error",
    "mlflow.exceptions.MlflowException",
    "bionets.analysis.style.StyleError",
    "bionets.models.checks.InterfaceError",
    "bionets.models.meters.MetricError",
    "bionets.tasks.heads.PrecisionError",
)

PARSERS = ("hydra", "omegaconf", "antlr4", "yaml")  # packages
# Modules whose errors of general types are about the user's settings.
CHECKS_OF_SETTINGS = ("lightning.pytorch.callbacks.early_stopping",)
SEVERAL_VALUES = re.compile(r"Ambiguous value for argument '(.+)'\n")
NO_GROUP = re.compile(r"Could not override '.+'\. No match in the defaults list\.\n.* use \+(.+)$")
MAX_MESSAGE = 800  # characters; the middle of a longer message is left out

BIONETS = Path(__file__).parents[1]
INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
PACKAGES = ("site-packages", "dist-packages")

# Beginnings of lines that Hydra and OmegaConf add for debugging.
DEBUGGING_HINTS = (
    "object_type=",
    "reference_type=",
    "Set the environment variable",
    "Config search path",
    "provider=",
    "To append to your config",
)


def is_user_error(error: BaseException) -> bool:
    """Whether an error is shown as one line without a traceback: user errors and errors of the user's own code."""
    return meant_for_users(error) or own_line(error) is not None


def meant_for_users(error: BaseException) -> bool:
    """Whether the message of an error is written for users."""
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    known = isinstance(error, USER_ERRORS) or not names.isdisjoint(USER_ERRORS_BY_NAME)
    return known or raised_in(error) in CHECKS_OF_SETTINGS


def raised_by_parser(error: BaseException) -> bool:
    """Whether an error was raised inside Hydra or OmegaConf. While a config is composed, this means that the command
    line is wrong, whatever its type (ValueError for ``--resolve`` alone, AssertionError for ``optimizer=[1,2]``).
    """
    return raised_in(error).partition(".")[0] in PARSERS


def raised_in(error: BaseException) -> str:
    """The name of the module that raised an error; empty for an error that was not raised."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__", "")) if frames else ""


def is_no_choice(error: BaseException) -> bool:
    """Whether Hydra raised an error because a choice is not a word, as in ``schedule=null`` or ``model=3``."""
    return isinstance(error, ValueError) and str(error).startswith("Config group override must be")


def one_line(error: BaseException) -> str:
    """The message of an error on one line, shortened if it is very long, with control characters escaped. A misspelt
    key or choice is followed by similar known ones, and an error in the user's own code by its line there.
    """
    message, place = _message(error), own_line(error)
    if place and place not in message:
        kind = "" if meant_for_users(error) else f"{type(error).__name__}: "
        message = f"{kind}{message} ({place})"
    return escape_controls(cut(message))


def cut(text: str) -> str:
    """Shorten a text of more than `MAX_MESSAGE` characters to its beginning and its end."""
    if len(text) <= MAX_MESSAGE:
        return text
    return f"{text[: MAX_MESSAGE * 3 // 4]} ... {text[-MAX_MESSAGE // 4 :]}"


def _message(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__
    if isinstance(error, MissingConfigException) and (message := _missing_choice(error)):
        return message
    if isinstance(error, InstantiationException) and isinstance(cause, UserError):  # of a sweeper
        return _message(cause)
    if isinstance(error, ConfigCompositionException) and isinstance(cause, OmegaConfBaseException):
        message = (str(error).splitlines() or [""])[0]
        place = message.partition(":")[0] + ": " if message.startswith("In '") else ""
        return place + _message(cause)
    if isinstance(error, ConfigKeyError | ConfigAttributeError) and error.parent_node is not None:
        return _unknown_key(error)
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if "is not a ListConfig" in reason:
            return f"{error.full_key} needs a list, as in {error.full_key}=[a,b]"
        return f"{error.full_key}: {reason}"
    if is_no_choice(error):
        return (
            "a group takes a word, not null or a number: to leave a group out, put a tilde before it, as in ~schedule"
        )
    if raised_by_parser(error) and not is_user_error(error):
        return f"the command line cannot be read ({error}): --help lists all options"
    if isinstance(error, OverrideParseException):
        return _unreadable_word(error)
    if other := NO_GROUP.match(str(error)):  # a group of another command
        return f"this command has no choice {other[1]}: --help shows its options; a mapping takes {{key:value}}"
    if ambiguous := SEVERAL_VALUES.match(str(error)):
        return f"{ambiguous[1]} has several values: add -m to run each of them; a list is written [a,b]"
    if isinstance(error, OSError) and error.filename and error.strerror and not error.filename2:
        return f"{error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}"
    lines = [line.strip().replace("\t", " ") for line in str(error).splitlines()]
    return "; ".join(line for line in lines if line and not line.startswith(DEBUGGING_HINTS)) or type(error).__name__


def _missing_choice(error: MissingConfigException) -> str:
    """The message for a choice without a file; empty for another missing file."""
    file, place = error.missing_cfg_file or "", str(error).partition(":")[0]
    group, _, choice = file.rpartition("/")
    if error.options and group == "hydra/launcher":
        return f"launcher={choice} needs a package that is not installed: pip install 'bionets[launchers]'"
    if error.options:
        return f"there is no {group}={choice}: choose {', '.join(error.options)}{did_you_mean(choice, error.options)}"
    if file.startswith("schema/"):
        return (
            f"{place}: no class of bionets has the schema {file.removeprefix('schema/')}: the name of a schema is that "
            "of its class in lower case with underscores; a class of your own is named by _target_ instead"
        )
    return f"{place}: there is no {group}={choice}; --help shows all choices" if group else ""  # in a list of choices


def _unknown_key(error: ConfigKeyError | ConfigAttributeError) -> str:
    key = str(error.full_key)
    if key == "experiment":
        return "there is no key experiment: a file in configs/experiment/ begins with the line # @package _global_"
    hint = did_you_mean(str(error.key), [str(name) for name in error.parent_node])
    if not hint and "." not in key and isinstance(error.parent_node, DictConfig):  # as in lr=0.01
        hint = suggestion(places_of(key, OmegaConf.to_container(error.parent_node)))
    if "." in key and error.parent_node == {}:  # an option that is a mapping, such as logger.mlflow.tags
        return f"there is no key {key}: a plus in front of it adds it, as in +{key}=..."
    return f"there is no key {key}{hint}; --help shows all keys"


def _unreadable_word(error: OverrideParseException) -> str:
    """The message for a word of the command line that Hydra cannot read."""
    if "=" not in error.override:
        word = error.override or "''"
        of_folder = f"run={word} (evaluate, analyse) or runs={word} (compare, runs)"
        return f"{word} has no value: write key=value, as in {of_folder if '/' in word else 'model=nbrc'}"
    reason = str(error).partition("\n")[0]
    return (
        f"{error.override} cannot be read ({reason}): a value with special characters such as = , ( ) [ ] "
        "stands in quotes of its own, as in 'name=\"a=b\"'"
    )


def did_you_mean(word: str, known: Sequence[str]) -> str:
    return suggestion(get_close_matches(word, known, n=3))


def suggestion(words: Sequence[str]) -> str:
    return f", did you mean {' or '.join(words)}?" if words else ""


def places_of(key: str, config: Any) -> list[str]:
    """The full paths of a key below the groups of a config, such as ``optimizer.lr`` of ``lr``."""
    groups = {name: group for name, group in config.items() if name != "hydra" and isinstance(group, dict)}
    return [f"{name}.{key}" for name, group in groups.items() if key in group]


def refuse_unknown(key: str, words: Sequence[str], known: Iterable[str]) -> None:
    """Raise UserError for the first word that is not known."""
    choices = list(known)
    for word in words:
        if word not in choices:
            raise UserError(f"{key}={word} is unknown: choose {', '.join(choices)}{did_you_mean(str(word), choices)}")


def own_line(error: BaseException) -> str | None:
    """The innermost line of the user's own code that bionets called, as ``my_tasks.py, line 12, in loss``. If the
    traceback of the error has none, that of its cause is searched; None if neither has one.
    """
    called = False  # frames before the first one of bionets are those that started it
    place = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if called and is_own(file):
            place = f"{Path(file).name}, line {line}, in {frame.f_code.co_name}"
        called = called or Path(file).is_relative_to(BIONETS)
    return own_line(error.__cause__) if place is None and error.__cause__ else place


def is_own(file: str) -> bool:
    """Whether a source file belongs neither to bionets, nor to an installed package, nor to Python itself."""
    path = Path(file)
    installed = any(map(path.is_relative_to, INSTALLED)) or any(folder in path.parts for folder in PACKAGES)
    return not (file.startswith("<") or path.is_relative_to(BIONETS) or installed)
