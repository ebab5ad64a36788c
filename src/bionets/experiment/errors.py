"""Errors that a user can mend: one line each, no traceback."""

from hydra.errors import HydraException
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

class UserError(Exception):
    """Something that the user typed, or a file that the user named, is wrong; the message is one line that says what to do."""


MENDABLE = (UserError, HydraException, OmegaConfBaseException, YAMLError, MisconfigurationException, OSError)


def one_line(error: BaseException) -> str:
    """The message of an error on one line, without what only helps to debug Hydra."""
    lines = [line.strip() for line in str(error).splitlines()]
    noise = ("object_type=", "Set the environment variable HYDRA_FULL_ERROR", "reference_type=", "Config search path", "provider=")
    kept = [line.replace("\t", " ") for line in lines if line and not line.startswith(noise)]
    cause = error.__cause__
    if isinstance(error, HydraException) and isinstance(cause, OmegaConfBaseException) and str(cause).splitlines()[0] not in str(error):
        kept.append(one_line(cause))
    return "; ".join(kept) or type(error).__name__
