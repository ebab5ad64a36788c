"""Recurrent layers and cells with the interface of `torch.nn`, and stateful layers with what walks their states."""

from bionets.layers.recurrent.brc import BRC, BRCCell
from bionets.layers.recurrent.nbrc import NBRC, NBRCCell
from bionets.layers.recurrent.peephole_lstm import PeepholeLSTM, PeepholeLSTMCell
from bionets.layers.spatial.spatial_costs import proximity_cost, spatial_cost, transport_cost
from bionets.layers.spatial.spatial_layers import SpatialConv2d, SpatialLayer, SpatialLinear, spatial_layers
from bionets.layers.stateful import (
    StatefulModule,
    detach_states,
    get_states,
    load_states,
    reset_states,
    save_states,
    set_states,
)
from bionets.layers.stigmergic.stigmergic_memory import RecurrentStigmergicMemory, StigmergicMemory
from bionets.layers.stigmergic.stigmergic_perceptron import StigmergicPerceptron
from bionets.layers.unroll import unroll

__all__ = [
    "BRC",
    "NBRC",
    "BRCCell",
    "NBRCCell",
    "PeepholeLSTM",
    "PeepholeLSTMCell",
    "RecurrentStigmergicMemory",
    "SpatialConv2d",
    "SpatialLayer",
    "SpatialLinear",
    "StatefulModule",
    "StigmergicMemory",
    "StigmergicPerceptron",
    "detach_states",
    "get_states",
    "load_states",
    "proximity_cost",
    "reset_states",
    "save_states",
    "set_states",
    "spatial_cost",
    "spatial_layers",
    "transport_cost",
    "unroll",
]
