"""The shape of every config: one dataclass per choice, so that a misspelt key or a wrong type fails at once with its
full path.

Each file in ``configs/`` inherits its own schema (``/schema/<group>/<name>@_here_``); to add a model or a task of an
existing family, a YAML file on that family's schema is enough.
"""

from .models import MODELS
from .register import register
from .tasks import TASKS

__all__ = ["MODELS", "TASKS", "register"]
