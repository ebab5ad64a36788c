"""Recurrent layers and cells with the interface of `torch.nn`."""

from bionets.layers.brc import BRC, BRCCell
from bionets.layers.nbrc import NBRC, NBRCCell
from bionets.layers.peephole_lstm import PeepholeLSTM, PeepholeLSTMCell

__all__ = ["BRC", "NBRC", "BRCCell", "NBRCCell", "PeepholeLSTM", "PeepholeLSTMCell"]
