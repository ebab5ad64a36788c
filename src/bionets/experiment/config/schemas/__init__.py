"""The schemas of all configs, so that a misspelt key or a wrong type raises an error with its full path at once.

The schemas of models, tasks, optimizers and schedules are derived from their constructors; a file in ``configs/``
inherits a schema (``/schema/<group>/<name>@_here_``) and contains only the values that differ from the defaults.
"""

from bionets.experiment.config.schemas.register import register

__all__ = ["register"]
