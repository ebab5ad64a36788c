"""One-line errors for the values of a task's keys."""


def require_at_least(minimum: int, **values: int) -> None:
    """Raise ``ValueError`` naming the first of the task's keys that is no whole number of at least ``minimum``."""
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"task.{key} must be a whole number, got {value!r}")
        if value < minimum:
            raise ValueError(f"task.{key} must be at least {minimum}, got {value}")
