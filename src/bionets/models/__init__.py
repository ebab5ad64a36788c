"""Model families: LightningModules that know layers, and a task only through its spec."""

from bionets.models.model import Model
from bionets.models.recurrent import RecurrentModel

__all__ = ["Model", "RecurrentModel"]
