"""The scan compiler: runs one time step, written in plain PyTorch, over all time steps."""

from bionets.scan import surrogate
from bionets.scan.interface import dense_scan, scan
from bionets.scan.online import OnlineGradients
from bionets.scan.projection import project, split_gates

__all__ = ["OnlineGradients", "dense_scan", "project", "scan", "split_gates", "surrogate"]
