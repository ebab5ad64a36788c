"""The shape of every config, so that a misspelt key or a wrong type fails at once with its full path.

The schemas of models, tasks, optimizers and schedules are derived from their constructors; a file in ``configs/``
inherits one (``/schema/<group>/<name>@_here_``) and states what differs from the defaults.
"""

from bionets.experiment.config.schemas.register import register

__all__ = ["register"]
