"""The backend that follows single spikes: a network becomes tables, which one compiled function runs over all time."""

from bionets.layers.plastic.events.tables import run, why_not

__all__ = ["run", "why_not"]
