"""Online gradients of scans."""

from bionets.scan.online.gradients import OnlineGradients, active

__all__ = ["OnlineGradients", "active"]
