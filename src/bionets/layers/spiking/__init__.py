"""Spiking layers: the 32 leaky integrators and other neurons; each is one `scan` step."""

from bionets.layers.spiking.adlif import AdLIF, SEAdLIF
from bionets.layers.spiking.alif import ALIF
from bionets.layers.spiking.constraints import freeze, unfreeze
from bionets.layers.spiking.decay import (
    decay_from_half_life,
    decay_from_time_steps,
    half_life_from_decay,
    time_steps_from_decay,
)
from bionets.layers.spiking.exponential import EIF, AdEx
from bionets.layers.spiking.firing import QUANTISERS, SPIKE_FUNCTIONS
from bionets.layers.spiking.fully_recurrent import FullyRecurrent
from bionets.layers.spiking.initialisation import fluctuation_driven_, membrane_gain
from bionets.layers.spiking.izhikevich import Izhikevich
from bionets.layers.spiking.kind import Kind
from bionets.layers.spiking.leaky_integrator import LeakyIntegrator, leaky_integrator
from bionets.layers.spiking.leaky_integrators import *  # noqa: F403 - the 32 classes
from bionets.layers.spiking.leaky_integrators import KINDS
from bionets.layers.spiking.plif import PLIF
from bionets.layers.spiking.resonate_and_fire import BRF
from bionets.layers.spiking.spiking_layer import SpikingLayer
from bionets.layers.spiking.threshold_batch_norm import ThresholdBatchNorm1d, ThresholdBatchNorm2d

__all__ = [
    "ALIF",
    "BRF",
    "EIF",
    "KINDS",
    "PLIF",
    "QUANTISERS",
    "SPIKE_FUNCTIONS",
    "AdEx",
    "AdLIF",
    "FullyRecurrent",
    "Izhikevich",
    "Kind",
    "LeakyIntegrator",
    "SEAdLIF",
    "SpikingLayer",
    "ThresholdBatchNorm1d",
    "ThresholdBatchNorm2d",
    "decay_from_half_life",
    "decay_from_time_steps",
    "fluctuation_driven_",
    "freeze",
    "half_life_from_decay",
    "leaky_integrator",
    "membrane_gain",
    "time_steps_from_decay",
    "unfreeze",
]
__all__ += [kind.name for kind in KINDS]
