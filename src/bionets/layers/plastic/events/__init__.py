"""The backend that follows single spikes: a network becomes tables, which one compiled function runs over all time."""

from bionets.layers.plastic.events.tables import run, unsupported_reason

__all__ = ["run", "unsupported_reason"]
