"""The event-driven backend: a network is converted to tables, and one compiled function runs all time steps."""

from bionets.layers.plastic.events.tables import run, unsupported_reason

__all__ = ["run", "unsupported_reason"]
