"""Checks of the arguments of layers."""


def positive_int(name: str, value: int) -> int:
    """Return `value` if it is a positive integer; otherwise raise TypeError or ValueError with its name."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    if value <= 0:
        raise ValueError(f"{name} must be greater than zero, got {value}")
    return value
