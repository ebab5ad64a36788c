"""Model families: LightningModules that use layers, and depend on a task only through its spec."""

from bionets.models.feed_forward import FeedForwardModel
from bionets.models.model import Model
from bionets.models.muon import MuonWithAdamW
from bionets.models.optimization import Schedule, cosine_schedule
from bionets.models.recurrent import RecurrentModel
from bionets.models.reward_modulated import RewardModulatedModel
from bionets.models.sequence import SequenceModel
from bionets.models.spatial import SpatialConvModel, SpatialLinearModel, SpatialModel
from bionets.models.spatial_recurrent import SpatialRecurrentModel
from bionets.models.spiking import SpikingModel
from bionets.models.spiking_conv import SpikingConvModel
from bionets.models.spiking_recurrent import SpikingRecurrentModel
from bionets.models.stack import StackModel
from bionets.models.stdp import STDPModel
from bionets.models.stigmergic import StigmergicModel
from bionets.models.stigmergic_perceptron import StigmergicPerceptronModel

__all__ = [
    "FeedForwardModel",
    "Model",
    "MuonWithAdamW",
    "RecurrentModel",
    "RewardModulatedModel",
    "STDPModel",
    "Schedule",
    "SequenceModel",
    "SpatialConvModel",
    "SpatialLinearModel",
    "SpatialModel",
    "SpatialRecurrentModel",
    "SpikingConvModel",
    "SpikingModel",
    "SpikingRecurrentModel",
    "StackModel",
    "StigmergicModel",
    "StigmergicPerceptronModel",
    "cosine_schedule",
]
