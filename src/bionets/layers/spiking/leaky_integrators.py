"""The 32 leaky integrators. The letters of a name give the kind, see `Kind`."""

from bionets.layers.spiking.kind import Kind
from bionets.layers.spiking.leaky_integrator import LeakyIntegrator

__all__ = [  # noqa: RUF022 - in the order of KINDS
    "LI",
    "DLI",
    "SLI",
    "DSLI",
    "LIB",
    "DLIB",
    "SLIB",
    "DSLIB",
    "RLIB",
    "DRLIB",
    "SRLIB",
    "DSRLIB",
    "LIT",
    "DLIT",
    "SLIT",
    "DSLIT",
    "RLIT",
    "DRLIT",
    "SRLIT",
    "DSRLIT",
    "LITS",
    "DLITS",
    "SLITS",
    "DSLITS",
    "RLITS",
    "DRLITS",
    "SRLITS",
    "DSRLITS",
    "LIEMA",
    "DLIEMA",
    "SLIEMA",
    "DSLIEMA",
]


class LI(LeakyIntegrator, kind=Kind()): ...


class DLI(LeakyIntegrator, kind=Kind(dual=True)): ...


class SLI(LeakyIntegrator, kind=Kind(synaptic=True)): ...


class DSLI(LeakyIntegrator, kind=Kind(dual=True, synaptic=True)): ...


class LIB(LeakyIntegrator, kind=Kind(output="B")): ...


class DLIB(LeakyIntegrator, kind=Kind(dual=True, output="B")): ...


class SLIB(LeakyIntegrator, kind=Kind(synaptic=True, output="B")): ...


class DSLIB(LeakyIntegrator, kind=Kind(dual=True, synaptic=True, output="B")): ...


class RLIB(LeakyIntegrator, kind=Kind(recurrent=True, output="B")): ...


class DRLIB(LeakyIntegrator, kind=Kind(dual=True, recurrent=True, output="B")): ...


class SRLIB(LeakyIntegrator, kind=Kind(synaptic=True, recurrent=True, output="B")): ...


class DSRLIB(LeakyIntegrator, kind=Kind(dual=True, synaptic=True, recurrent=True, output="B")): ...


class LIT(LeakyIntegrator, kind=Kind(output="T")): ...


class DLIT(LeakyIntegrator, kind=Kind(dual=True, output="T")): ...


class SLIT(LeakyIntegrator, kind=Kind(synaptic=True, output="T")): ...


class DSLIT(LeakyIntegrator, kind=Kind(dual=True, synaptic=True, output="T")): ...


class RLIT(LeakyIntegrator, kind=Kind(recurrent=True, output="T")): ...


class DRLIT(LeakyIntegrator, kind=Kind(dual=True, recurrent=True, output="T")): ...


class SRLIT(LeakyIntegrator, kind=Kind(synaptic=True, recurrent=True, output="T")): ...


class DSRLIT(LeakyIntegrator, kind=Kind(dual=True, synaptic=True, recurrent=True, output="T")): ...


class LITS(LeakyIntegrator, kind=Kind(output="TS")): ...


class DLITS(LeakyIntegrator, kind=Kind(dual=True, output="TS")): ...


class SLITS(LeakyIntegrator, kind=Kind(synaptic=True, output="TS")): ...


class DSLITS(LeakyIntegrator, kind=Kind(dual=True, synaptic=True, output="TS")): ...


class RLITS(LeakyIntegrator, kind=Kind(recurrent=True, output="TS")): ...


class DRLITS(LeakyIntegrator, kind=Kind(dual=True, recurrent=True, output="TS")): ...


class SRLITS(LeakyIntegrator, kind=Kind(synaptic=True, recurrent=True, output="TS")): ...


class DSRLITS(LeakyIntegrator, kind=Kind(dual=True, synaptic=True, recurrent=True, output="TS")): ...


class LIEMA(LeakyIntegrator, kind=Kind(average=True)): ...


class DLIEMA(LeakyIntegrator, kind=Kind(dual=True, average=True)): ...


class SLIEMA(LeakyIntegrator, kind=Kind(synaptic=True, average=True)): ...


class DSLIEMA(LeakyIntegrator, kind=Kind(dual=True, synaptic=True, average=True)): ...
