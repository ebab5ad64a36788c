"""The mode of W&B (online, offline or disabled), and whether the user is logged in."""

import netrc
import os
from pathlib import Path
from urllib.parse import urlparse

from bionets.experiment.errors import UserError

MODES = ("online", "offline", "disabled")
OLD_MODES = ("run", "dryrun", "shared")  # W&B accepts these in $WANDB_MODE, too


def wandb_mode(wanted: str) -> str:
    """The mode to use; ``auto``: $WANDB_MODE, otherwise online if logged in, otherwise offline. Raises UserError."""
    if wanted not in ("auto", *MODES):
        raise UserError(f"logger.mode={wanted} is unknown: choose auto, {', '.join(MODES)}, or logger=none")
    if wanted == "online":
        require_login("logger.mode=online", "or leave logger.mode=auto")
    if wanted != "auto":
        return wanted
    given = os.environ.get("WANDB_MODE")
    if given and given not in MODES + OLD_MODES:
        raise UserError(f"WANDB_MODE={given} is unknown: choose {', '.join(MODES)}, or unset this variable")
    return given or ("online" if logged_in() else "offline")


def require_login(what: str, way_out: str) -> None:
    if not logged_in():
        raise UserError(f"{what} needs a W&B account: run `wandb login`, {way_out}")


def logged_in() -> bool:
    """Whether there is a W&B key in the environment or in the netrc file that `wandb login` writes."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    file = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    try:
        return netrc.netrc(file).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
