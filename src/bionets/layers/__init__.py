"""Recurrent layers and cells with the interface of `torch.nn`, stateful layers, and functions on their states."""

from bionets.layers.delay_layers import Delay, DelayedLinear
from bionets.layers.delays import Delays, anneal_delays, round_delays
from bionets.layers.recurrent.brc import BRC, BRCCell
from bionets.layers.recurrent.gru import GRU, GRUCell
from bionets.layers.recurrent.lem import LEM, LEMCell
from bionets.layers.recurrent.lmu import LMU, LMUCell
from bionets.layers.recurrent.lru import LRU, LRUCell
from bionets.layers.recurrent.lstm import LSTM, LSTMCell
from bionets.layers.recurrent.minimal_gated import MinGRU, MinGRUCell, MinLSTM, MinLSTMCell
from bionets.layers.recurrent.nbrc import NBRC, NBRCCell
from bionets.layers.recurrent.oscillators import CoRNN, CoRNNCell, UnICORNN, UnICORNNCell
from bionets.layers.recurrent.peephole_lstm import PeepholeLSTM, PeepholeLSTMCell
from bionets.layers.recurrent.spiking_recurrent_cell import SRC, SRCCell
from bionets.layers.recurrent.stateful_recurrent import StatefulRecurrent
from bionets.layers.recurrent.warm_up import variability_amongst_attractors, warm_up
from bionets.layers.sequence_dropout import SequenceDropout
from bionets.layers.spatial.distance_delays import DistanceDelays
from bionets.layers.spatial.spatial_costs import proximity_cost, spatial_cost, transport_cost, wiring_cost
from bionets.layers.spatial.spatial_layers import (
    SpatialConv1d,
    SpatialConv2d,
    SpatialConv3d,
    SpatialLayer,
    SpatialLinear,
    spatial_layers,
)
from bionets.layers.spatial.spatial_recurrent import SpatialRecurrent
from bionets.layers.stateful import (
    StatefulModule,
    detach_states,
    get_states,
    load_states,
    reset_states,
    save_states,
    set_states,
)
from bionets.layers.stigmergic.recurrent_stigmergic_memory import RecurrentStigmergicMemory
from bionets.layers.stigmergic.stigmergic_memory import StigmergicMemory
from bionets.layers.stigmergic.stigmergic_perceptron import StigmergicPerceptron
from bionets.layers.unroll import unroll

__all__ = [
    "BRC",
    "GRU",
    "LEM",
    "LMU",
    "LRU",
    "LSTM",
    "NBRC",
    "SRC",
    "BRCCell",
    "CoRNN",
    "CoRNNCell",
    "Delay",
    "DelayedLinear",
    "Delays",
    "DistanceDelays",
    "GRUCell",
    "LEMCell",
    "LMUCell",
    "LRUCell",
    "LSTMCell",
    "MinGRU",
    "MinGRUCell",
    "MinLSTM",
    "MinLSTMCell",
    "NBRCCell",
    "PeepholeLSTM",
    "PeepholeLSTMCell",
    "RecurrentStigmergicMemory",
    "SRCCell",
    "SequenceDropout",
    "SpatialConv1d",
    "SpatialConv2d",
    "SpatialConv3d",
    "SpatialLayer",
    "SpatialLinear",
    "SpatialRecurrent",
    "StatefulModule",
    "StatefulRecurrent",
    "StigmergicMemory",
    "StigmergicPerceptron",
    "UnICORNN",
    "UnICORNNCell",
    "anneal_delays",
    "detach_states",
    "get_states",
    "load_states",
    "proximity_cost",
    "reset_states",
    "round_delays",
    "save_states",
    "set_states",
    "spatial_cost",
    "spatial_layers",
    "transport_cost",
    "unroll",
    "variability_amongst_attractors",
    "warm_up",
    "wiring_cost",
]
