"""The scan compiler: one time step in plain PyTorch, run over all of time."""

from bionets.scan import surrogate
from bionets.scan.interface import dense_scan, scan
from bionets.scan.online import OnlineGradients
from bionets.scan.projection import project, split_gates

__all__ = ["OnlineGradients", "dense_scan", "project", "scan", "split_gates", "surrogate"]
