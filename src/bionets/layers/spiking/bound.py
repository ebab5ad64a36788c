"""Deprecated name of `bionets.layers.spiking.constraints`."""

from bionets.import_path import deprecated_names

__getattr__ = deprecated_names(
    __name__,
    {
        "BOUNDS": "bionets.layers.spiking.constraints.CONSTRAINTS",
        "Bound": "bionets.layers.spiking.constraints.Constraint",
        "BoundParameters": "bionets.layers.spiking.constraints.ConstrainedParameters",
        "Value": "bionets.layers.spiking.constraints.Value",
    },
)
