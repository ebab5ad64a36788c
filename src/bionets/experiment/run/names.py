"""Checks of names of folders."""

from bionets.experiment.errors import UserError

MAX_BYTES = 200  # bytes; file systems allow 255, and a hash follows


def require_component(key: str, name: object) -> str:
    """Return a name that is a single component of a path, and so cannot lead elsewhere; otherwise raise UserError."""
    if fault := fault_of_component(name):
        shown = ascii(name) if not str(name).isprintable() or str(name) == "" else name
        raise UserError(f"{key}={str(shown)[:60]} {fault}: choose one word, as in {key}=first_try")
    return str(name)


def fault_of_component(name: object) -> str | None:
    """The reason why a name cannot be a single component of a path; None if it can."""
    if not isinstance(name, str) or not name.strip():
        return "must not be empty"
    if not name.isprintable():
        return "must not hold control characters"
    if "/" in name or "\\" in name:
        return "must be one folder's name, without a slash"
    if name.startswith("."):
        return "must not begin with a dot"
    if len(name.encode(errors="surrogatepass")) > MAX_BYTES:
        return f"must not be longer than {MAX_BYTES} bytes"
    return None
