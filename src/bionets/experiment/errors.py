"""Errors that a user can mend: one line each, no traceback."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError


class UserError(Exception):
    """Something that the user typed, or a file that the user named, is wrong; the message is one line that says what
    to do.
    """


class JobError(UserError):
    """One job of a sweep failed; the others go on."""


class Busy(UserError):
    """Another process is at the same run just now."""


class Pruned(Exception):
    """A trial does worse than others did by then; the search goes on without it."""


MENDABLE = (UserError, HydraException, OmegaConfBaseException, YAMLError, OSError)
# By name, since importing them costs seconds.
FOREIGN = ("lightning.fabric.utilities.exceptions.MisconfigurationException", "wandb.errors.errors.Error")

# What Hydra and OmegaConf add for those who debug them.
NOISE = (
    "object_type=",
    "reference_type=",
    "Set the environment variable",
    "Config search path",
    "provider=",
    "To append to your config",
)


def mendable(error: BaseException) -> bool:
    """Whether an error is the user's to mend: one line will do, and a traceback would hide it."""
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    return isinstance(error, MENDABLE) or not names.isdisjoint(FOREIGN) or is_empty_choice(error)


def is_empty_choice(error: BaseException) -> bool:
    """Whether Hydra was told, say, ``schedule=null``."""
    return isinstance(error, ValueError) and str(error).startswith("Config group override must be")


@contextmanager
def keyboard_interrupts() -> Iterator[None]:
    """Lightning turns Ctrl-C into an exit; in here it is a KeyboardInterrupt again."""
    try:
        yield
    except SystemExit as stopped:
        if isinstance(stopped.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from stopped
        raise


def one_line(error: BaseException) -> str:
    """The message of an error on one line; a misspelt key or choice gets the nearest right ones."""
    if isinstance(error, MissingConfigException) and error.options:
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        if group == "hydra/launcher":
            return f"launcher={choice} needs a package that is not installed: pip install 'bionets[launchers]'"
        return f"there is no {group}={choice}: choose {', '.join(error.options)}{did_you_mean(choice, error.options)}"
    cause = error.__cause__ or error.__context__
    if isinstance(error, ConfigCompositionException) and isinstance(cause, OmegaConfBaseException):
        message = str(error).splitlines()[0]
        place = message.partition(":")[0] + ": " if message.startswith("In '") else ""
        return place + one_line(cause)
    if isinstance(error, ConfigKeyError | ConfigAttributeError) and error.parent_node is not None:
        known = [str(key) for key in error.parent_node]
        return f"there is no key {error.full_key}{did_you_mean(str(error.key), known)}; --help shows all keys"
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {str(error).splitlines()[0]}"
    if is_empty_choice(error):
        return "null is no choice of a group: to leave one out, put a tilde before its name, as in ~schedule"
    lines = [line.strip().replace("\t", " ") for line in str(error).splitlines()]
    return "; ".join(line for line in lines if line and not line.startswith(NOISE)) or type(error).__name__


def did_you_mean(word: str, known: Sequence[str]) -> str:
    near = get_close_matches(word, known, n=3)
    return f", did you mean {' or '.join(near)}?" if near else ""
