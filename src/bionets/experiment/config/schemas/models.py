"""What each model family can be told."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from .model import Model
from .plastic import PLASTIC_MODELS
from .spatial import SPATIAL_MODELS
from .spiking import SpikingConvModel, SpikingRecurrentModel


@dataclass
class RecurrentModel(Model):
    """Any layer with the interface of ``nn.GRU``, read out by a linear layer."""

    _target_: str = "bionets.models.RecurrentModel"
    layer: str = MISSING
    hidden_size: int = 100
    num_layers: int = 1
    dropout: float = 0.0
    bidirectional: bool = False
    layer_arguments: dict[str, Any] = field(default_factory=dict)


@dataclass
class InitialisedRecurrentModel(RecurrentModel):
    """A recurrent layer whose initialisation has a name."""

    initialisation: str = MISSING
    chrono_steps: int | None = None


@dataclass
class StigmergicModel(Model):
    """A stigmergic memory, read out by a small feed-forward network."""

    _target_: str = "bionets.models.StigmergicModel"
    memory_size: int = 15
    recurrent: bool = True
    hidden_layers: int = 1
    hidden_size: int = 20
    clamp_min: float | None = 0.0
    clamp_max: float | None = 10.0
    readout_size: int = 10
    final_prelu: bool = True


@dataclass
class StigmergicPerceptronModel(Model):
    """Two layers of stigmergic perceptrons, read out over all of time."""

    _target_: str = "bionets.models.StigmergicPerceptronModel"
    hidden_size: int = 10


@dataclass
class FeedForwardModel(Model):
    """Fully connected layers over a whole image, or over all steps of a sequence."""

    _target_: str = "bionets.models.FeedForwardModel"
    hidden_size: int = 300
    num_layers: int = 2
    dropout: float = 0.0


MODELS: dict[str, type[Model]] = {
    "brc": InitialisedRecurrentModel,
    "nbrc": InitialisedRecurrentModel,
    "peephole_lstm": InitialisedRecurrentModel,
    "gru": RecurrentModel,
    "lstm": RecurrentModel,
    "rnn": RecurrentModel,
    "recurrent": RecurrentModel,
    "stigmergic": StigmergicModel,
    "stigmergic_perceptron": StigmergicPerceptronModel,
    "feed_forward": FeedForwardModel,
    "spiking_conv": SpikingConvModel,
    "spiking_recurrent": SpikingRecurrentModel,
    **SPATIAL_MODELS,
    **PLASTIC_MODELS,
}
