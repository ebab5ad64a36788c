"""What the models that learn by plasticity can be told."""

from dataclasses import dataclass

from .model import Model


@dataclass
class STDPModel(Model):
    """The network of Diehl and Cook, which learns without labels."""

    _target_: str = "bionets.models.STDPModel"
    hidden_size: int = 400
    steps: int = 350
    max_rate: float = 63.75
    min_spikes: int = 5
    inhibition: float = 250.0
    mean_weight: float = 0.1
    potentiation: float = 1e-2
    depression: float = 1e-4
    threshold_increase: float = 0.05
    vote: str = "proportion"
    label_size: int = 10_000


@dataclass
class RewardModulatedModel(Model):
    """Competing neurons that learn from reward alone."""

    _target_: str = "bionets.models.RewardModulatedModel"
    hidden_size: int = 100
    hidden_rate: float = 1e-2
    output_rate: float = 0.1
    trace_steps: float = 10.0
    eligibility_decay: float = 0.95
    place_cells: list[int] | None = None
    place_width: float = 0.6
    steps_per_action: int = 5
    activity: float = 6.4
    discount: float = 0.98
    critic_rate: float = 1.0
    critic_decay: float = 0.8
    initial_value: float = 1.0


PLASTIC_MODELS: dict[str, type[Model]] = {"stdp": STDPModel, "reward_modulated": RewardModulatedModel}
