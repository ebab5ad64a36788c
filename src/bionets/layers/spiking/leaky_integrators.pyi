"""Written by bionets.layers.spiking.stubs from the specification in kind.py; do not edit."""

# fmt: off
from torch import Tensor

from bionets.layers.spiking.constraints import Value
from bionets.layers.spiking.firing import QuantFn, SpikeFn
from bionets.layers.spiking.leaky_integrator import LeakyIntegrator

__all__ = [  # noqa: RUF022
    "LI", "DLI", "SLI", "DSLI", "LIB", "DLIB", "SLIB", "DSLIB", "RLIB", "DRLIB", "SRLIB", "DSRLIB", "LIT", "DLIT",
    "SLIT", "DSLIT", "RLIT", "DRLIT", "SRLIT", "DSRLIT", "LITS", "DLITS", "SLITS", "DSLITS", "RLITS", "DRLITS",
    "SRLITS", "DSRLITS", "LIEMA", "DLIEMA", "SLIEMA", "DSLIEMA"
]

class _Membrane(LeakyIntegrator):
    beta: Tensor
    raw_beta: Tensor
    mem: Tensor | None

class _DualMembrane(LeakyIntegrator):
    pos_beta: Tensor
    raw_pos_beta: Tensor
    neg_beta: Tensor
    raw_neg_beta: Tensor
    pos_mem: Tensor | None
    neg_mem: Tensor | None

class _Synapse(LeakyIntegrator):
    alpha: Tensor
    raw_alpha: Tensor
    syn: Tensor | None

class _DualSynapse(LeakyIntegrator):
    pos_alpha: Tensor
    raw_pos_alpha: Tensor
    neg_alpha: Tensor
    raw_neg_alpha: Tensor
    pos_syn: Tensor | None
    neg_syn: Tensor | None

class _Recurrence(LeakyIntegrator):
    gamma: Tensor
    raw_gamma: Tensor
    rec_weight: Tensor
    rec: Tensor | None

class _DualRecurrence(LeakyIntegrator):
    pos_gamma: Tensor
    raw_pos_gamma: Tensor
    neg_gamma: Tensor
    raw_neg_gamma: Tensor
    pos_rec_weight: Tensor
    neg_rec_weight: Tensor
    pos_rec: Tensor | None
    neg_rec: Tensor | None

class _Binary(LeakyIntegrator):
    threshold: Tensor
    raw_threshold: Tensor
    bias: Tensor

class _Ternary(LeakyIntegrator):
    pos_threshold: Tensor
    raw_pos_threshold: Tensor
    neg_threshold: Tensor
    raw_neg_threshold: Tensor
    bias: Tensor

class _Scaled(LeakyIntegrator):
    pos_scale: Tensor
    neg_scale: Tensor

class LI(_Membrane):
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, dim: int = -1, *, beta_rank: int = 1, learn_beta: bool = True,
        backend: str = "auto"
    ) -> None: ...

class DLI(_DualMembrane):
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, dim: int = -1, *, pos_beta_rank: int =
        1, neg_beta_rank: int = 1, learn_pos_beta: bool = True, learn_neg_beta: bool = True, backend: str = "auto"
    ) -> None: ...

class SLI(_Membrane, _Synapse):
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, alpha: Value = 0.5, dim: int = -1, *, beta_rank: int = 1,
        alpha_rank: int = 1, learn_beta: bool = True, learn_alpha: bool = True, backend: str = "auto"
    ) -> None: ...

class DSLI(_DualMembrane, _DualSynapse):
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, pos_alpha: Value = 0.5, neg_alpha: Value
        = 0.5, dim: int = -1, *, pos_beta_rank: int = 1, neg_beta_rank: int = 1, pos_alpha_rank: int = 1,
        neg_alpha_rank: int = 1, learn_pos_beta: bool = True, learn_neg_beta: bool = True, learn_pos_alpha: bool =
        True, learn_neg_alpha: bool = True, backend: str = "auto"
    ) -> None: ...

class LIB(_Membrane, _Binary):
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, threshold: Value = 1.0, dim: int = -1, *, beta_rank: int = 1,
        threshold_rank: int = 1, learn_beta: bool = True, learn_threshold: bool = True, bias: Value | None = None,
        bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn =
        "bernoulli", backend: str = "auto"
    ) -> None: ...

class DLIB(_DualMembrane, _Binary):
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, threshold: Value = 1.0, dim: int = -1,
        *, pos_beta_rank: int = 1, neg_beta_rank: int = 1, threshold_rank: int = 1, learn_pos_beta: bool = True,
        learn_neg_beta: bool = True, learn_threshold: bool = True, bias: Value | None = None, bias_rank: int = 1,
        learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn = "bernoulli",
        backend: str = "auto"
    ) -> None: ...

class SLIB(_Membrane, _Synapse, _Binary):
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, alpha: Value = 0.5, threshold: Value = 1.0, dim: int = -1, *,
        beta_rank: int = 1, alpha_rank: int = 1, threshold_rank: int = 1, learn_beta: bool = True, learn_alpha: bool =
        True, learn_threshold: bool = True, bias: Value | None = None, bias_rank: int = 1, learn_bias: bool = True,
        spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class DSLIB(_DualMembrane, _DualSynapse, _Binary):
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, pos_alpha: Value = 0.5, neg_alpha: Value
        = 0.5, threshold: Value = 1.0, dim: int = -1, *, pos_beta_rank: int = 1, neg_beta_rank: int = 1,
        pos_alpha_rank: int = 1, neg_alpha_rank: int = 1, threshold_rank: int = 1, learn_pos_beta: bool = True,
        learn_neg_beta: bool = True, learn_pos_alpha: bool = True, learn_neg_alpha: bool = True, learn_threshold: bool
        = True, bias: Value | None = None, bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn =
        "sigmoid4x", quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class RLIB(_Membrane, _Recurrence, _Binary):
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, gamma: Value = 0.9, rec_weight: Value = 0.0, threshold: Value =
        1.0, dim: int = -1, *, beta_rank: int = 1, gamma_rank: int = 1, rec_weight_rank: int = 1, threshold_rank: int
        = 1, learn_beta: bool = True, learn_gamma: bool = True, learn_rec_weight: bool = True, learn_threshold: bool =
        True, bias: Value | None = None, bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn =
        "sigmoid4x", quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class DRLIB(_DualMembrane, _DualRecurrence, _Binary):
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, pos_gamma: Value = 0.9, neg_gamma: Value
        = 0.9, pos_rec_weight: Value = 0.0, neg_rec_weight: Value = 0.0, threshold: Value = 1.0, dim: int = -1, *,
        pos_beta_rank: int = 1, neg_beta_rank: int = 1, pos_gamma_rank: int = 1, neg_gamma_rank: int = 1,
        pos_rec_weight_rank: int = 1, neg_rec_weight_rank: int = 1, threshold_rank: int = 1, learn_pos_beta: bool =
        True, learn_neg_beta: bool = True, learn_pos_gamma: bool = True, learn_neg_gamma: bool = True,
        learn_pos_rec_weight: bool = True, learn_neg_rec_weight: bool = True, learn_threshold: bool = True, bias:
        Value | None = None, bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x",
        quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class SRLIB(_Membrane, _Synapse, _Recurrence, _Binary):
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, alpha: Value = 0.5, gamma: Value = 0.9, rec_weight: Value = 0.0,
        threshold: Value = 1.0, dim: int = -1, *, beta_rank: int = 1, alpha_rank: int = 1, gamma_rank: int = 1,
        rec_weight_rank: int = 1, threshold_rank: int = 1, learn_beta: bool = True, learn_alpha: bool = True,
        learn_gamma: bool = True, learn_rec_weight: bool = True, learn_threshold: bool = True, bias: Value | None =
        None, bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str |
        QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class DSRLIB(_DualMembrane, _DualSynapse, _DualRecurrence, _Binary):
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, pos_alpha: Value = 0.5, neg_alpha: Value
        = 0.5, pos_gamma: Value = 0.9, neg_gamma: Value = 0.9, pos_rec_weight: Value = 0.0, neg_rec_weight: Value =
        0.0, threshold: Value = 1.0, dim: int = -1, *, pos_beta_rank: int = 1, neg_beta_rank: int = 1, pos_alpha_rank:
        int = 1, neg_alpha_rank: int = 1, pos_gamma_rank: int = 1, neg_gamma_rank: int = 1, pos_rec_weight_rank: int =
        1, neg_rec_weight_rank: int = 1, threshold_rank: int = 1, learn_pos_beta: bool = True, learn_neg_beta: bool =
        True, learn_pos_alpha: bool = True, learn_neg_alpha: bool = True, learn_pos_gamma: bool = True,
        learn_neg_gamma: bool = True, learn_pos_rec_weight: bool = True, learn_neg_rec_weight: bool = True,
        learn_threshold: bool = True, bias: Value | None = None, bias_rank: int = 1, learn_bias: bool = True,
        spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class LIT(_Membrane, _Ternary):
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, pos_threshold: Value = 1.0, neg_threshold: Value = 1.0, dim: int =
        -1, *, beta_rank: int = 1, pos_threshold_rank: int = 1, neg_threshold_rank: int = 1, learn_beta: bool = True,
        learn_pos_threshold: bool = True, learn_neg_threshold: bool = True, bias: Value | None = None, bias_rank: int
        = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn = "bernoulli",
        backend: str = "auto"
    ) -> None: ...

class DLIT(_DualMembrane, _Ternary):
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, pos_threshold: Value = 1.0,
        neg_threshold: Value = 1.0, dim: int = -1, *, pos_beta_rank: int = 1, neg_beta_rank: int = 1,
        pos_threshold_rank: int = 1, neg_threshold_rank: int = 1, learn_pos_beta: bool = True, learn_neg_beta: bool =
        True, learn_pos_threshold: bool = True, learn_neg_threshold: bool = True, bias: Value | None = None,
        bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn =
        "bernoulli", backend: str = "auto"
    ) -> None: ...

class SLIT(_Membrane, _Synapse, _Ternary):
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, alpha: Value = 0.5, pos_threshold: Value = 1.0, neg_threshold:
        Value = 1.0, dim: int = -1, *, beta_rank: int = 1, alpha_rank: int = 1, pos_threshold_rank: int = 1,
        neg_threshold_rank: int = 1, learn_beta: bool = True, learn_alpha: bool = True, learn_pos_threshold: bool =
        True, learn_neg_threshold: bool = True, bias: Value | None = None, bias_rank: int = 1, learn_bias: bool =
        True, spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class DSLIT(_DualMembrane, _DualSynapse, _Ternary):
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, pos_alpha: Value = 0.5, neg_alpha: Value
        = 0.5, pos_threshold: Value = 1.0, neg_threshold: Value = 1.0, dim: int = -1, *, pos_beta_rank: int = 1,
        neg_beta_rank: int = 1, pos_alpha_rank: int = 1, neg_alpha_rank: int = 1, pos_threshold_rank: int = 1,
        neg_threshold_rank: int = 1, learn_pos_beta: bool = True, learn_neg_beta: bool = True, learn_pos_alpha: bool =
        True, learn_neg_alpha: bool = True, learn_pos_threshold: bool = True, learn_neg_threshold: bool = True, bias:
        Value | None = None, bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x",
        quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class RLIT(_Membrane, _Recurrence, _Ternary):
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, gamma: Value = 0.9, rec_weight: Value = 0.0, pos_threshold: Value =
        1.0, neg_threshold: Value = 1.0, dim: int = -1, *, beta_rank: int = 1, gamma_rank: int = 1, rec_weight_rank:
        int = 1, pos_threshold_rank: int = 1, neg_threshold_rank: int = 1, learn_beta: bool = True, learn_gamma: bool
        = True, learn_rec_weight: bool = True, learn_pos_threshold: bool = True, learn_neg_threshold: bool = True,
        bias: Value | None = None, bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x",
        quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class DRLIT(_DualMembrane, _DualRecurrence, _Ternary):
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, pos_gamma: Value = 0.9, neg_gamma: Value
        = 0.9, pos_rec_weight: Value = 0.0, neg_rec_weight: Value = 0.0, pos_threshold: Value = 1.0, neg_threshold:
        Value = 1.0, dim: int = -1, *, pos_beta_rank: int = 1, neg_beta_rank: int = 1, pos_gamma_rank: int = 1,
        neg_gamma_rank: int = 1, pos_rec_weight_rank: int = 1, neg_rec_weight_rank: int = 1, pos_threshold_rank: int =
        1, neg_threshold_rank: int = 1, learn_pos_beta: bool = True, learn_neg_beta: bool = True, learn_pos_gamma:
        bool = True, learn_neg_gamma: bool = True, learn_pos_rec_weight: bool = True, learn_neg_rec_weight: bool =
        True, learn_pos_threshold: bool = True, learn_neg_threshold: bool = True, bias: Value | None = None,
        bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn =
        "bernoulli", backend: str = "auto"
    ) -> None: ...

class SRLIT(_Membrane, _Synapse, _Recurrence, _Ternary):
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, alpha: Value = 0.5, gamma: Value = 0.9, rec_weight: Value = 0.0,
        pos_threshold: Value = 1.0, neg_threshold: Value = 1.0, dim: int = -1, *, beta_rank: int = 1, alpha_rank: int
        = 1, gamma_rank: int = 1, rec_weight_rank: int = 1, pos_threshold_rank: int = 1, neg_threshold_rank: int = 1,
        learn_beta: bool = True, learn_alpha: bool = True, learn_gamma: bool = True, learn_rec_weight: bool = True,
        learn_pos_threshold: bool = True, learn_neg_threshold: bool = True, bias: Value | None = None, bias_rank: int
        = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn = "bernoulli",
        backend: str = "auto"
    ) -> None: ...

class DSRLIT(_DualMembrane, _DualSynapse, _DualRecurrence, _Ternary):
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, pos_alpha: Value = 0.5, neg_alpha: Value
        = 0.5, pos_gamma: Value = 0.9, neg_gamma: Value = 0.9, pos_rec_weight: Value = 0.0, neg_rec_weight: Value =
        0.0, pos_threshold: Value = 1.0, neg_threshold: Value = 1.0, dim: int = -1, *, pos_beta_rank: int = 1,
        neg_beta_rank: int = 1, pos_alpha_rank: int = 1, neg_alpha_rank: int = 1, pos_gamma_rank: int = 1,
        neg_gamma_rank: int = 1, pos_rec_weight_rank: int = 1, neg_rec_weight_rank: int = 1, pos_threshold_rank: int =
        1, neg_threshold_rank: int = 1, learn_pos_beta: bool = True, learn_neg_beta: bool = True, learn_pos_alpha:
        bool = True, learn_neg_alpha: bool = True, learn_pos_gamma: bool = True, learn_neg_gamma: bool = True,
        learn_pos_rec_weight: bool = True, learn_neg_rec_weight: bool = True, learn_pos_threshold: bool = True,
        learn_neg_threshold: bool = True, bias: Value | None = None, bias_rank: int = 1, learn_bias: bool = True,
        spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class LITS(_Membrane, _Ternary, _Scaled):
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, pos_threshold: Value = 1.0, neg_threshold: Value = 1.0, pos_scale:
        Value = 1.0, neg_scale: Value = 1.0, dim: int = -1, *, beta_rank: int = 1, pos_threshold_rank: int = 1,
        neg_threshold_rank: int = 1, pos_scale_rank: int = 1, neg_scale_rank: int = 1, learn_beta: bool = True,
        learn_pos_threshold: bool = True, learn_neg_threshold: bool = True, learn_pos_scale: bool = True,
        learn_neg_scale: bool = True, bias: Value | None = None, bias_rank: int = 1, learn_bias: bool = True,
        spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class DLITS(_DualMembrane, _Ternary, _Scaled):
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, pos_threshold: Value = 1.0,
        neg_threshold: Value = 1.0, pos_scale: Value = 1.0, neg_scale: Value = 1.0, dim: int = -1, *, pos_beta_rank:
        int = 1, neg_beta_rank: int = 1, pos_threshold_rank: int = 1, neg_threshold_rank: int = 1, pos_scale_rank: int
        = 1, neg_scale_rank: int = 1, learn_pos_beta: bool = True, learn_neg_beta: bool = True, learn_pos_threshold:
        bool = True, learn_neg_threshold: bool = True, learn_pos_scale: bool = True, learn_neg_scale: bool = True,
        bias: Value | None = None, bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x",
        quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class SLITS(_Membrane, _Synapse, _Ternary, _Scaled):
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, alpha: Value = 0.5, pos_threshold: Value = 1.0, neg_threshold:
        Value = 1.0, pos_scale: Value = 1.0, neg_scale: Value = 1.0, dim: int = -1, *, beta_rank: int = 1, alpha_rank:
        int = 1, pos_threshold_rank: int = 1, neg_threshold_rank: int = 1, pos_scale_rank: int = 1, neg_scale_rank:
        int = 1, learn_beta: bool = True, learn_alpha: bool = True, learn_pos_threshold: bool = True,
        learn_neg_threshold: bool = True, learn_pos_scale: bool = True, learn_neg_scale: bool = True, bias: Value |
        None = None, bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str
        | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class DSLITS(_DualMembrane, _DualSynapse, _Ternary, _Scaled):
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, pos_alpha: Value = 0.5, neg_alpha: Value
        = 0.5, pos_threshold: Value = 1.0, neg_threshold: Value = 1.0, pos_scale: Value = 1.0, neg_scale: Value = 1.0,
        dim: int = -1, *, pos_beta_rank: int = 1, neg_beta_rank: int = 1, pos_alpha_rank: int = 1, neg_alpha_rank: int
        = 1, pos_threshold_rank: int = 1, neg_threshold_rank: int = 1, pos_scale_rank: int = 1, neg_scale_rank: int =
        1, learn_pos_beta: bool = True, learn_neg_beta: bool = True, learn_pos_alpha: bool = True, learn_neg_alpha:
        bool = True, learn_pos_threshold: bool = True, learn_neg_threshold: bool = True, learn_pos_scale: bool = True,
        learn_neg_scale: bool = True, bias: Value | None = None, bias_rank: int = 1, learn_bias: bool = True,
        spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class RLITS(_Membrane, _Recurrence, _Ternary, _Scaled):
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, gamma: Value = 0.9, rec_weight: Value = 0.0, pos_threshold: Value =
        1.0, neg_threshold: Value = 1.0, pos_scale: Value = 1.0, neg_scale: Value = 1.0, dim: int = -1, *, beta_rank:
        int = 1, gamma_rank: int = 1, rec_weight_rank: int = 1, pos_threshold_rank: int = 1, neg_threshold_rank: int =
        1, pos_scale_rank: int = 1, neg_scale_rank: int = 1, learn_beta: bool = True, learn_gamma: bool = True,
        learn_rec_weight: bool = True, learn_pos_threshold: bool = True, learn_neg_threshold: bool = True,
        learn_pos_scale: bool = True, learn_neg_scale: bool = True, bias: Value | None = None, bias_rank: int = 1,
        learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn = "bernoulli",
        backend: str = "auto"
    ) -> None: ...

class DRLITS(_DualMembrane, _DualRecurrence, _Ternary, _Scaled):
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, pos_gamma: Value = 0.9, neg_gamma: Value
        = 0.9, pos_rec_weight: Value = 0.0, neg_rec_weight: Value = 0.0, pos_threshold: Value = 1.0, neg_threshold:
        Value = 1.0, pos_scale: Value = 1.0, neg_scale: Value = 1.0, dim: int = -1, *, pos_beta_rank: int = 1,
        neg_beta_rank: int = 1, pos_gamma_rank: int = 1, neg_gamma_rank: int = 1, pos_rec_weight_rank: int = 1,
        neg_rec_weight_rank: int = 1, pos_threshold_rank: int = 1, neg_threshold_rank: int = 1, pos_scale_rank: int =
        1, neg_scale_rank: int = 1, learn_pos_beta: bool = True, learn_neg_beta: bool = True, learn_pos_gamma: bool =
        True, learn_neg_gamma: bool = True, learn_pos_rec_weight: bool = True, learn_neg_rec_weight: bool = True,
        learn_pos_threshold: bool = True, learn_neg_threshold: bool = True, learn_pos_scale: bool = True,
        learn_neg_scale: bool = True, bias: Value | None = None, bias_rank: int = 1, learn_bias: bool = True,
        spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class SRLITS(_Membrane, _Synapse, _Recurrence, _Ternary, _Scaled):
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, alpha: Value = 0.5, gamma: Value = 0.9, rec_weight: Value = 0.0,
        pos_threshold: Value = 1.0, neg_threshold: Value = 1.0, pos_scale: Value = 1.0, neg_scale: Value = 1.0, dim:
        int = -1, *, beta_rank: int = 1, alpha_rank: int = 1, gamma_rank: int = 1, rec_weight_rank: int = 1,
        pos_threshold_rank: int = 1, neg_threshold_rank: int = 1, pos_scale_rank: int = 1, neg_scale_rank: int = 1,
        learn_beta: bool = True, learn_alpha: bool = True, learn_gamma: bool = True, learn_rec_weight: bool = True,
        learn_pos_threshold: bool = True, learn_neg_threshold: bool = True, learn_pos_scale: bool = True,
        learn_neg_scale: bool = True, bias: Value | None = None, bias_rank: int = 1, learn_bias: bool = True,
        spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class DSRLITS(_DualMembrane, _DualSynapse, _DualRecurrence, _Ternary, _Scaled):
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, pos_alpha: Value = 0.5, neg_alpha: Value
        = 0.5, pos_gamma: Value = 0.9, neg_gamma: Value = 0.9, pos_rec_weight: Value = 0.0, neg_rec_weight: Value =
        0.0, pos_threshold: Value = 1.0, neg_threshold: Value = 1.0, pos_scale: Value = 1.0, neg_scale: Value = 1.0,
        dim: int = -1, *, pos_beta_rank: int = 1, neg_beta_rank: int = 1, pos_alpha_rank: int = 1, neg_alpha_rank: int
        = 1, pos_gamma_rank: int = 1, neg_gamma_rank: int = 1, pos_rec_weight_rank: int = 1, neg_rec_weight_rank: int
        = 1, pos_threshold_rank: int = 1, neg_threshold_rank: int = 1, pos_scale_rank: int = 1, neg_scale_rank: int =
        1, learn_pos_beta: bool = True, learn_neg_beta: bool = True, learn_pos_alpha: bool = True, learn_neg_alpha:
        bool = True, learn_pos_gamma: bool = True, learn_neg_gamma: bool = True, learn_pos_rec_weight: bool = True,
        learn_neg_rec_weight: bool = True, learn_pos_threshold: bool = True, learn_neg_threshold: bool = True,
        learn_pos_scale: bool = True, learn_neg_scale: bool = True, bias: Value | None = None, bias_rank: int = 1,
        learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn = "bernoulli",
        backend: str = "auto"
    ) -> None: ...

class LIEMA(_Membrane):
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, dim: int = -1, *, beta_rank: int = 1, learn_beta: bool = True,
        backend: str = "auto"
    ) -> None: ...

class DLIEMA(_DualMembrane):
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, dim: int = -1, *, pos_beta_rank: int =
        1, neg_beta_rank: int = 1, learn_pos_beta: bool = True, learn_neg_beta: bool = True, backend: str = "auto"
    ) -> None: ...

class SLIEMA(_Membrane, _Synapse):
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, alpha: Value = 0.5, dim: int = -1, *, beta_rank: int = 1,
        alpha_rank: int = 1, learn_beta: bool = True, learn_alpha: bool = True, backend: str = "auto"
    ) -> None: ...

class DSLIEMA(_DualMembrane, _DualSynapse):
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, pos_alpha: Value = 0.5, neg_alpha: Value
        = 0.5, dim: int = -1, *, pos_beta_rank: int = 1, neg_beta_rank: int = 1, pos_alpha_rank: int = 1,
        neg_alpha_rank: int = 1, learn_pos_beta: bool = True, learn_neg_beta: bool = True, learn_pos_alpha: bool =
        True, learn_neg_alpha: bool = True, backend: str = "auto"
    ) -> None: ...
