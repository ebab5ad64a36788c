"""Spiking networks with local learning rules: neurons, connections, learning rules, and networks."""

from bionets.import_path import deprecated_names
from bionets.layers.plastic.connection import Connection
from bionets.layers.plastic.convolution import Conv2d
from bionets.layers.plastic.dynamics import Dynamics, ExponentialDynamics, LinearDynamics
from bionets.layers.plastic.integrate_and_fire import IF, LIF, AdaptiveLIF, TraceLIF
from bionets.layers.plastic.lateral import LateralInhibition, OneToOne
from bionets.layers.plastic.learning_rule import LearningRule, Synapses
from bionets.layers.plastic.linear import Linear
from bionets.layers.plastic.network import Network
from bionets.layers.plastic.neuron import Input, Neuron
from bionets.layers.plastic.pair_stdp import PairSTDP
from bionets.layers.plastic.pooling import AdaptiveMaxPool2d, MaxPool2d
from bionets.layers.plastic.reward_modulated import MSTDP, MSTDPET
from bionets.layers.plastic.stable_stdp import StableSTDP
from bionets.layers.plastic.triplet_stdp import TripletSTDP
from bionets.layers.plastic.weighted import WeightedConnection

__all__ = [
    "IF",
    "LIF",
    "MSTDP",
    "MSTDPET",
    "AdaptiveLIF",
    "AdaptiveMaxPool2d",
    "Connection",
    "Conv2d",
    "Dynamics",
    "ExponentialDynamics",
    "Input",
    "LateralInhibition",
    "LearningRule",
    "Linear",
    "LinearDynamics",
    "MaxPool2d",
    "Network",
    "Neuron",
    "OneToOne",
    "PairSTDP",
    "StableSTDP",
    "Synapses",
    "TraceLIF",
    "TripletSTDP",
    "WeightedConnection",
]

__getattr__ = deprecated_names(__name__, {"AllButOne": "bionets.layers.plastic.LateralInhibition"})
