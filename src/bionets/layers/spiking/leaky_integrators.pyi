"""Written by bionets.layers.spiking.stubs from the specification in kind.py; do not edit."""

# fmt: off
from torch import Tensor

from bionets.layers.spiking.constraints import Value
from bionets.layers.spiking.firing import QuantFn, SpikeFn
from bionets.layers.spiking.leaky_integrator import LeakyIntegrator

class LI(LeakyIntegrator):
    beta: Tensor
    raw_beta: Tensor
    mem: Tensor | None
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, dim: int = -1, *, beta_rank: int = 1, learn_beta: bool = True,
        backend: str = "auto"
    ) -> None: ...

class DLI(LeakyIntegrator):
    pos_beta: Tensor
    raw_pos_beta: Tensor
    neg_beta: Tensor
    raw_neg_beta: Tensor
    pos_mem: Tensor | None
    neg_mem: Tensor | None
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, dim: int = -1, *, pos_beta_rank: int =
        1, neg_beta_rank: int = 1, learn_pos_beta: bool = True, learn_neg_beta: bool = True, backend: str = "auto"
    ) -> None: ...

class SLI(LeakyIntegrator):
    beta: Tensor
    raw_beta: Tensor
    alpha: Tensor
    raw_alpha: Tensor
    syn: Tensor | None
    mem: Tensor | None
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, alpha: Value = 0.5, dim: int = -1, *, beta_rank: int = 1,
        alpha_rank: int = 1, learn_beta: bool = True, learn_alpha: bool = True, backend: str = "auto"
    ) -> None: ...

class DSLI(LeakyIntegrator):
    pos_beta: Tensor
    raw_pos_beta: Tensor
    neg_beta: Tensor
    raw_neg_beta: Tensor
    pos_alpha: Tensor
    raw_pos_alpha: Tensor
    neg_alpha: Tensor
    raw_neg_alpha: Tensor
    pos_syn: Tensor | None
    neg_syn: Tensor | None
    pos_mem: Tensor | None
    neg_mem: Tensor | None
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, pos_alpha: Value = 0.5, neg_alpha: Value
        = 0.5, dim: int = -1, *, pos_beta_rank: int = 1, neg_beta_rank: int = 1, pos_alpha_rank: int = 1,
        neg_alpha_rank: int = 1, learn_pos_beta: bool = True, learn_neg_beta: bool = True, learn_pos_alpha: bool =
        True, learn_neg_alpha: bool = True, backend: str = "auto"
    ) -> None: ...

class LIB(LeakyIntegrator):
    beta: Tensor
    raw_beta: Tensor
    threshold: Tensor
    raw_threshold: Tensor
    bias: Tensor
    mem: Tensor | None
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, threshold: Value = 1.0, dim: int = -1, *, beta_rank: int = 1,
        threshold_rank: int = 1, learn_beta: bool = True, learn_threshold: bool = True, bias: Value | None = None,
        bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn =
        "bernoulli", backend: str = "auto"
    ) -> None: ...

class DLIB(LeakyIntegrator):
    pos_beta: Tensor
    raw_pos_beta: Tensor
    neg_beta: Tensor
    raw_neg_beta: Tensor
    threshold: Tensor
    raw_threshold: Tensor
    bias: Tensor
    pos_mem: Tensor | None
    neg_mem: Tensor | None
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, threshold: Value = 1.0, dim: int = -1,
        *, pos_beta_rank: int = 1, neg_beta_rank: int = 1, threshold_rank: int = 1, learn_pos_beta: bool = True,
        learn_neg_beta: bool = True, learn_threshold: bool = True, bias: Value | None = None, bias_rank: int = 1,
        learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn = "bernoulli",
        backend: str = "auto"
    ) -> None: ...

class SLIB(LeakyIntegrator):
    beta: Tensor
    raw_beta: Tensor
    alpha: Tensor
    raw_alpha: Tensor
    threshold: Tensor
    raw_threshold: Tensor
    bias: Tensor
    syn: Tensor | None
    mem: Tensor | None
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, alpha: Value = 0.5, threshold: Value = 1.0, dim: int = -1, *,
        beta_rank: int = 1, alpha_rank: int = 1, threshold_rank: int = 1, learn_beta: bool = True, learn_alpha: bool =
        True, learn_threshold: bool = True, bias: Value | None = None, bias_rank: int = 1, learn_bias: bool = True,
        spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class DSLIB(LeakyIntegrator):
    pos_beta: Tensor
    raw_pos_beta: Tensor
    neg_beta: Tensor
    raw_neg_beta: Tensor
    pos_alpha: Tensor
    raw_pos_alpha: Tensor
    neg_alpha: Tensor
    raw_neg_alpha: Tensor
    threshold: Tensor
    raw_threshold: Tensor
    bias: Tensor
    pos_syn: Tensor | None
    neg_syn: Tensor | None
    pos_mem: Tensor | None
    neg_mem: Tensor | None
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, pos_alpha: Value = 0.5, neg_alpha: Value
        = 0.5, threshold: Value = 1.0, dim: int = -1, *, pos_beta_rank: int = 1, neg_beta_rank: int = 1,
        pos_alpha_rank: int = 1, neg_alpha_rank: int = 1, threshold_rank: int = 1, learn_pos_beta: bool = True,
        learn_neg_beta: bool = True, learn_pos_alpha: bool = True, learn_neg_alpha: bool = True, learn_threshold: bool
        = True, bias: Value | None = None, bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn =
        "sigmoid4x", quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class RLIB(LeakyIntegrator):
    beta: Tensor
    raw_beta: Tensor
    gamma: Tensor
    raw_gamma: Tensor
    rec_weight: Tensor
    threshold: Tensor
    raw_threshold: Tensor
    bias: Tensor
    rec: Tensor | None
    mem: Tensor | None
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, gamma: Value = 0.9, rec_weight: Value = 0.0, threshold: Value =
        1.0, dim: int = -1, *, beta_rank: int = 1, gamma_rank: int = 1, rec_weight_rank: int = 1, threshold_rank: int
        = 1, learn_beta: bool = True, learn_gamma: bool = True, learn_rec_weight: bool = True, learn_threshold: bool =
        True, bias: Value | None = None, bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn =
        "sigmoid4x", quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class DRLIB(LeakyIntegrator):
    pos_beta: Tensor
    raw_pos_beta: Tensor
    neg_beta: Tensor
    raw_neg_beta: Tensor
    pos_gamma: Tensor
    raw_pos_gamma: Tensor
    neg_gamma: Tensor
    raw_neg_gamma: Tensor
    pos_rec_weight: Tensor
    neg_rec_weight: Tensor
    threshold: Tensor
    raw_threshold: Tensor
    bias: Tensor
    pos_rec: Tensor | None
    neg_rec: Tensor | None
    pos_mem: Tensor | None
    neg_mem: Tensor | None
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

class SRLIB(LeakyIntegrator):
    beta: Tensor
    raw_beta: Tensor
    alpha: Tensor
    raw_alpha: Tensor
    gamma: Tensor
    raw_gamma: Tensor
    rec_weight: Tensor
    threshold: Tensor
    raw_threshold: Tensor
    bias: Tensor
    syn: Tensor | None
    rec: Tensor | None
    mem: Tensor | None
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, alpha: Value = 0.5, gamma: Value = 0.9, rec_weight: Value = 0.0,
        threshold: Value = 1.0, dim: int = -1, *, beta_rank: int = 1, alpha_rank: int = 1, gamma_rank: int = 1,
        rec_weight_rank: int = 1, threshold_rank: int = 1, learn_beta: bool = True, learn_alpha: bool = True,
        learn_gamma: bool = True, learn_rec_weight: bool = True, learn_threshold: bool = True, bias: Value | None =
        None, bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str |
        QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class DSRLIB(LeakyIntegrator):
    pos_beta: Tensor
    raw_pos_beta: Tensor
    neg_beta: Tensor
    raw_neg_beta: Tensor
    pos_alpha: Tensor
    raw_pos_alpha: Tensor
    neg_alpha: Tensor
    raw_neg_alpha: Tensor
    pos_gamma: Tensor
    raw_pos_gamma: Tensor
    neg_gamma: Tensor
    raw_neg_gamma: Tensor
    pos_rec_weight: Tensor
    neg_rec_weight: Tensor
    threshold: Tensor
    raw_threshold: Tensor
    bias: Tensor
    pos_syn: Tensor | None
    neg_syn: Tensor | None
    pos_rec: Tensor | None
    neg_rec: Tensor | None
    pos_mem: Tensor | None
    neg_mem: Tensor | None
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

class LIT(LeakyIntegrator):
    beta: Tensor
    raw_beta: Tensor
    pos_threshold: Tensor
    raw_pos_threshold: Tensor
    neg_threshold: Tensor
    raw_neg_threshold: Tensor
    bias: Tensor
    mem: Tensor | None
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, pos_threshold: Value = 1.0, neg_threshold: Value = 1.0, dim: int =
        -1, *, beta_rank: int = 1, pos_threshold_rank: int = 1, neg_threshold_rank: int = 1, learn_beta: bool = True,
        learn_pos_threshold: bool = True, learn_neg_threshold: bool = True, bias: Value | None = None, bias_rank: int
        = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn = "bernoulli",
        backend: str = "auto"
    ) -> None: ...

class DLIT(LeakyIntegrator):
    pos_beta: Tensor
    raw_pos_beta: Tensor
    neg_beta: Tensor
    raw_neg_beta: Tensor
    pos_threshold: Tensor
    raw_pos_threshold: Tensor
    neg_threshold: Tensor
    raw_neg_threshold: Tensor
    bias: Tensor
    pos_mem: Tensor | None
    neg_mem: Tensor | None
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, pos_threshold: Value = 1.0,
        neg_threshold: Value = 1.0, dim: int = -1, *, pos_beta_rank: int = 1, neg_beta_rank: int = 1,
        pos_threshold_rank: int = 1, neg_threshold_rank: int = 1, learn_pos_beta: bool = True, learn_neg_beta: bool =
        True, learn_pos_threshold: bool = True, learn_neg_threshold: bool = True, bias: Value | None = None,
        bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn =
        "bernoulli", backend: str = "auto"
    ) -> None: ...

class SLIT(LeakyIntegrator):
    beta: Tensor
    raw_beta: Tensor
    alpha: Tensor
    raw_alpha: Tensor
    pos_threshold: Tensor
    raw_pos_threshold: Tensor
    neg_threshold: Tensor
    raw_neg_threshold: Tensor
    bias: Tensor
    syn: Tensor | None
    mem: Tensor | None
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, alpha: Value = 0.5, pos_threshold: Value = 1.0, neg_threshold:
        Value = 1.0, dim: int = -1, *, beta_rank: int = 1, alpha_rank: int = 1, pos_threshold_rank: int = 1,
        neg_threshold_rank: int = 1, learn_beta: bool = True, learn_alpha: bool = True, learn_pos_threshold: bool =
        True, learn_neg_threshold: bool = True, bias: Value | None = None, bias_rank: int = 1, learn_bias: bool =
        True, spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class DSLIT(LeakyIntegrator):
    pos_beta: Tensor
    raw_pos_beta: Tensor
    neg_beta: Tensor
    raw_neg_beta: Tensor
    pos_alpha: Tensor
    raw_pos_alpha: Tensor
    neg_alpha: Tensor
    raw_neg_alpha: Tensor
    pos_threshold: Tensor
    raw_pos_threshold: Tensor
    neg_threshold: Tensor
    raw_neg_threshold: Tensor
    bias: Tensor
    pos_syn: Tensor | None
    neg_syn: Tensor | None
    pos_mem: Tensor | None
    neg_mem: Tensor | None
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, pos_alpha: Value = 0.5, neg_alpha: Value
        = 0.5, pos_threshold: Value = 1.0, neg_threshold: Value = 1.0, dim: int = -1, *, pos_beta_rank: int = 1,
        neg_beta_rank: int = 1, pos_alpha_rank: int = 1, neg_alpha_rank: int = 1, pos_threshold_rank: int = 1,
        neg_threshold_rank: int = 1, learn_pos_beta: bool = True, learn_neg_beta: bool = True, learn_pos_alpha: bool =
        True, learn_neg_alpha: bool = True, learn_pos_threshold: bool = True, learn_neg_threshold: bool = True, bias:
        Value | None = None, bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x",
        quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class RLIT(LeakyIntegrator):
    beta: Tensor
    raw_beta: Tensor
    gamma: Tensor
    raw_gamma: Tensor
    rec_weight: Tensor
    pos_threshold: Tensor
    raw_pos_threshold: Tensor
    neg_threshold: Tensor
    raw_neg_threshold: Tensor
    bias: Tensor
    rec: Tensor | None
    mem: Tensor | None
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, gamma: Value = 0.9, rec_weight: Value = 0.0, pos_threshold: Value =
        1.0, neg_threshold: Value = 1.0, dim: int = -1, *, beta_rank: int = 1, gamma_rank: int = 1, rec_weight_rank:
        int = 1, pos_threshold_rank: int = 1, neg_threshold_rank: int = 1, learn_beta: bool = True, learn_gamma: bool
        = True, learn_rec_weight: bool = True, learn_pos_threshold: bool = True, learn_neg_threshold: bool = True,
        bias: Value | None = None, bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x",
        quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class DRLIT(LeakyIntegrator):
    pos_beta: Tensor
    raw_pos_beta: Tensor
    neg_beta: Tensor
    raw_neg_beta: Tensor
    pos_gamma: Tensor
    raw_pos_gamma: Tensor
    neg_gamma: Tensor
    raw_neg_gamma: Tensor
    pos_rec_weight: Tensor
    neg_rec_weight: Tensor
    pos_threshold: Tensor
    raw_pos_threshold: Tensor
    neg_threshold: Tensor
    raw_neg_threshold: Tensor
    bias: Tensor
    pos_rec: Tensor | None
    neg_rec: Tensor | None
    pos_mem: Tensor | None
    neg_mem: Tensor | None
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

class SRLIT(LeakyIntegrator):
    beta: Tensor
    raw_beta: Tensor
    alpha: Tensor
    raw_alpha: Tensor
    gamma: Tensor
    raw_gamma: Tensor
    rec_weight: Tensor
    pos_threshold: Tensor
    raw_pos_threshold: Tensor
    neg_threshold: Tensor
    raw_neg_threshold: Tensor
    bias: Tensor
    syn: Tensor | None
    rec: Tensor | None
    mem: Tensor | None
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, alpha: Value = 0.5, gamma: Value = 0.9, rec_weight: Value = 0.0,
        pos_threshold: Value = 1.0, neg_threshold: Value = 1.0, dim: int = -1, *, beta_rank: int = 1, alpha_rank: int
        = 1, gamma_rank: int = 1, rec_weight_rank: int = 1, pos_threshold_rank: int = 1, neg_threshold_rank: int = 1,
        learn_beta: bool = True, learn_alpha: bool = True, learn_gamma: bool = True, learn_rec_weight: bool = True,
        learn_pos_threshold: bool = True, learn_neg_threshold: bool = True, bias: Value | None = None, bias_rank: int
        = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn = "bernoulli",
        backend: str = "auto"
    ) -> None: ...

class DSRLIT(LeakyIntegrator):
    pos_beta: Tensor
    raw_pos_beta: Tensor
    neg_beta: Tensor
    raw_neg_beta: Tensor
    pos_alpha: Tensor
    raw_pos_alpha: Tensor
    neg_alpha: Tensor
    raw_neg_alpha: Tensor
    pos_gamma: Tensor
    raw_pos_gamma: Tensor
    neg_gamma: Tensor
    raw_neg_gamma: Tensor
    pos_rec_weight: Tensor
    neg_rec_weight: Tensor
    pos_threshold: Tensor
    raw_pos_threshold: Tensor
    neg_threshold: Tensor
    raw_neg_threshold: Tensor
    bias: Tensor
    pos_syn: Tensor | None
    neg_syn: Tensor | None
    pos_rec: Tensor | None
    neg_rec: Tensor | None
    pos_mem: Tensor | None
    neg_mem: Tensor | None
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

class LITS(LeakyIntegrator):
    beta: Tensor
    raw_beta: Tensor
    pos_threshold: Tensor
    raw_pos_threshold: Tensor
    neg_threshold: Tensor
    raw_neg_threshold: Tensor
    pos_scale: Tensor
    neg_scale: Tensor
    bias: Tensor
    mem: Tensor | None
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, pos_threshold: Value = 1.0, neg_threshold: Value = 1.0, pos_scale:
        Value = 1.0, neg_scale: Value = 1.0, dim: int = -1, *, beta_rank: int = 1, pos_threshold_rank: int = 1,
        neg_threshold_rank: int = 1, pos_scale_rank: int = 1, neg_scale_rank: int = 1, learn_beta: bool = True,
        learn_pos_threshold: bool = True, learn_neg_threshold: bool = True, learn_pos_scale: bool = True,
        learn_neg_scale: bool = True, bias: Value | None = None, bias_rank: int = 1, learn_bias: bool = True,
        spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class DLITS(LeakyIntegrator):
    pos_beta: Tensor
    raw_pos_beta: Tensor
    neg_beta: Tensor
    raw_neg_beta: Tensor
    pos_threshold: Tensor
    raw_pos_threshold: Tensor
    neg_threshold: Tensor
    raw_neg_threshold: Tensor
    pos_scale: Tensor
    neg_scale: Tensor
    bias: Tensor
    pos_mem: Tensor | None
    neg_mem: Tensor | None
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, pos_threshold: Value = 1.0,
        neg_threshold: Value = 1.0, pos_scale: Value = 1.0, neg_scale: Value = 1.0, dim: int = -1, *, pos_beta_rank:
        int = 1, neg_beta_rank: int = 1, pos_threshold_rank: int = 1, neg_threshold_rank: int = 1, pos_scale_rank: int
        = 1, neg_scale_rank: int = 1, learn_pos_beta: bool = True, learn_neg_beta: bool = True, learn_pos_threshold:
        bool = True, learn_neg_threshold: bool = True, learn_pos_scale: bool = True, learn_neg_scale: bool = True,
        bias: Value | None = None, bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x",
        quant_fn: str | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class SLITS(LeakyIntegrator):
    beta: Tensor
    raw_beta: Tensor
    alpha: Tensor
    raw_alpha: Tensor
    pos_threshold: Tensor
    raw_pos_threshold: Tensor
    neg_threshold: Tensor
    raw_neg_threshold: Tensor
    pos_scale: Tensor
    neg_scale: Tensor
    bias: Tensor
    syn: Tensor | None
    mem: Tensor | None
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, alpha: Value = 0.5, pos_threshold: Value = 1.0, neg_threshold:
        Value = 1.0, pos_scale: Value = 1.0, neg_scale: Value = 1.0, dim: int = -1, *, beta_rank: int = 1, alpha_rank:
        int = 1, pos_threshold_rank: int = 1, neg_threshold_rank: int = 1, pos_scale_rank: int = 1, neg_scale_rank:
        int = 1, learn_beta: bool = True, learn_alpha: bool = True, learn_pos_threshold: bool = True,
        learn_neg_threshold: bool = True, learn_pos_scale: bool = True, learn_neg_scale: bool = True, bias: Value |
        None = None, bias_rank: int = 1, learn_bias: bool = True, spike_fn: str | SpikeFn = "sigmoid4x", quant_fn: str
        | QuantFn = "bernoulli", backend: str = "auto"
    ) -> None: ...

class DSLITS(LeakyIntegrator):
    pos_beta: Tensor
    raw_pos_beta: Tensor
    neg_beta: Tensor
    raw_neg_beta: Tensor
    pos_alpha: Tensor
    raw_pos_alpha: Tensor
    neg_alpha: Tensor
    raw_neg_alpha: Tensor
    pos_threshold: Tensor
    raw_pos_threshold: Tensor
    neg_threshold: Tensor
    raw_neg_threshold: Tensor
    pos_scale: Tensor
    neg_scale: Tensor
    bias: Tensor
    pos_syn: Tensor | None
    neg_syn: Tensor | None
    pos_mem: Tensor | None
    neg_mem: Tensor | None
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

class RLITS(LeakyIntegrator):
    beta: Tensor
    raw_beta: Tensor
    gamma: Tensor
    raw_gamma: Tensor
    rec_weight: Tensor
    pos_threshold: Tensor
    raw_pos_threshold: Tensor
    neg_threshold: Tensor
    raw_neg_threshold: Tensor
    pos_scale: Tensor
    neg_scale: Tensor
    bias: Tensor
    rec: Tensor | None
    mem: Tensor | None
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

class DRLITS(LeakyIntegrator):
    pos_beta: Tensor
    raw_pos_beta: Tensor
    neg_beta: Tensor
    raw_neg_beta: Tensor
    pos_gamma: Tensor
    raw_pos_gamma: Tensor
    neg_gamma: Tensor
    raw_neg_gamma: Tensor
    pos_rec_weight: Tensor
    neg_rec_weight: Tensor
    pos_threshold: Tensor
    raw_pos_threshold: Tensor
    neg_threshold: Tensor
    raw_neg_threshold: Tensor
    pos_scale: Tensor
    neg_scale: Tensor
    bias: Tensor
    pos_rec: Tensor | None
    neg_rec: Tensor | None
    pos_mem: Tensor | None
    neg_mem: Tensor | None
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

class SRLITS(LeakyIntegrator):
    beta: Tensor
    raw_beta: Tensor
    alpha: Tensor
    raw_alpha: Tensor
    gamma: Tensor
    raw_gamma: Tensor
    rec_weight: Tensor
    pos_threshold: Tensor
    raw_pos_threshold: Tensor
    neg_threshold: Tensor
    raw_neg_threshold: Tensor
    pos_scale: Tensor
    neg_scale: Tensor
    bias: Tensor
    syn: Tensor | None
    rec: Tensor | None
    mem: Tensor | None
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

class DSRLITS(LeakyIntegrator):
    pos_beta: Tensor
    raw_pos_beta: Tensor
    neg_beta: Tensor
    raw_neg_beta: Tensor
    pos_alpha: Tensor
    raw_pos_alpha: Tensor
    neg_alpha: Tensor
    raw_neg_alpha: Tensor
    pos_gamma: Tensor
    raw_pos_gamma: Tensor
    neg_gamma: Tensor
    raw_neg_gamma: Tensor
    pos_rec_weight: Tensor
    neg_rec_weight: Tensor
    pos_threshold: Tensor
    raw_pos_threshold: Tensor
    neg_threshold: Tensor
    raw_neg_threshold: Tensor
    pos_scale: Tensor
    neg_scale: Tensor
    bias: Tensor
    pos_syn: Tensor | None
    neg_syn: Tensor | None
    pos_rec: Tensor | None
    neg_rec: Tensor | None
    pos_mem: Tensor | None
    neg_mem: Tensor | None
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

class LIEMA(LeakyIntegrator):
    beta: Tensor
    raw_beta: Tensor
    mem: Tensor | None
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, dim: int = -1, *, beta_rank: int = 1, learn_beta: bool = True,
        backend: str = "auto"
    ) -> None: ...

class DLIEMA(LeakyIntegrator):
    pos_beta: Tensor
    raw_pos_beta: Tensor
    neg_beta: Tensor
    raw_neg_beta: Tensor
    pos_mem: Tensor | None
    neg_mem: Tensor | None
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, dim: int = -1, *, pos_beta_rank: int =
        1, neg_beta_rank: int = 1, learn_pos_beta: bool = True, learn_neg_beta: bool = True, backend: str = "auto"
    ) -> None: ...

class SLIEMA(LeakyIntegrator):
    beta: Tensor
    raw_beta: Tensor
    alpha: Tensor
    raw_alpha: Tensor
    syn: Tensor | None
    mem: Tensor | None
    def __init__(
        self, num_neurons: int, beta: Value = 0.9, alpha: Value = 0.5, dim: int = -1, *, beta_rank: int = 1,
        alpha_rank: int = 1, learn_beta: bool = True, learn_alpha: bool = True, backend: str = "auto"
    ) -> None: ...

class DSLIEMA(LeakyIntegrator):
    pos_beta: Tensor
    raw_pos_beta: Tensor
    neg_beta: Tensor
    raw_neg_beta: Tensor
    pos_alpha: Tensor
    raw_pos_alpha: Tensor
    neg_alpha: Tensor
    raw_neg_alpha: Tensor
    pos_syn: Tensor | None
    neg_syn: Tensor | None
    pos_mem: Tensor | None
    neg_mem: Tensor | None
    def __init__(
        self, num_neurons: int, pos_beta: Value = 0.9, neg_beta: Value = 0.9, pos_alpha: Value = 0.5, neg_alpha: Value
        = 0.5, dim: int = -1, *, pos_beta_rank: int = 1, neg_beta_rank: int = 1, pos_alpha_rank: int = 1,
        neg_alpha_rank: int = 1, learn_pos_beta: bool = True, learn_neg_beta: bool = True, learn_pos_alpha: bool =
        True, learn_neg_alpha: bool = True, backend: str = "auto"
    ) -> None: ...
