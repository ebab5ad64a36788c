"""Checks of the arguments of layers."""


def positive_int(name: str, value: int) -> int:
    """`value`, if it is an integer above zero; else TypeError or ValueError naming it."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    if value <= 0:
        raise ValueError(f"{name} must be greater than zero, got {value}")
    return value
