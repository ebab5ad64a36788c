"""Muon for matrices, AdamW for all other parameters."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer


class MuonWithAdamW(Optimizer):
    """Two-dimensional parameters are updated by `torch.optim.Muon`, all others by `torch.optim.AdamW`.

    Args:
        params: parameters, or groups of parameters with their own options.
        lr: learning rate of both. Muon's update is scaled to the root mean square of AdamW's, so one rate fits both.
        weight_decay: decoupled weight decay of both.
        momentum: momentum of Muon.
        nesterov: whether Muon uses Nesterov momentum.
        ns_steps: number of Newton-Schulz iterations that orthogonalise an update.
        betas: decay constants of AdamW's averages of the gradient and its square.
        eps: added to the denominator of AdamW.

    Sources: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; Liu et al., "Muon is
    scalable for LLM training", arXiv 2502.16982, 2025.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 0.001,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        self._muon_options = {"momentum": momentum, "nesterov": nesterov, "ns_steps": ns_steps}
        self._adamw_options = {"betas": betas, "eps": eps}
        self._parts: list[Optimizer] = []
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, as one group of its matrices and one of its other parameters."""
        given = param_group["params"]
        parameters = [given] if isinstance(given, Tensor) else list(given)
        for matrices in (True, False):
            chosen = [each for each in parameters if (each.ndim == 2) == matrices]
            if chosen:
                super().add_param_group({**param_group, "params": chosen, "matrices": matrices})
        self._link()

    def _link(self) -> None:
        """Create the optimizer of each kind of parameter, which shares the groups and the state of this optimizer."""
        self._parts = []
        for matrices in (True, False):
            groups = [group for group in self.param_groups if group["matrices"] == matrices]
            if groups:
                common = {"lr": self.defaults["lr"], "weight_decay": self.defaults["weight_decay"]}
                part: Optimizer
                if matrices:
                    part = Muon(groups, adjust_lr_fn="match_rms_adamw", **common, **self._muon_options)  # type: ignore[arg-type]
                else:
                    part = AdamW(groups, **common, **self._adamw_options)  # type: ignore[arg-type]
                part.state = self.state
                self._parts.append(part)

    def __getstate__(self) -> dict[str, Any]:
        own = {"_muon_options": self._muon_options, "_adamw_options": self._adamw_options}
        return {**super().__getstate__(), **own}

    def __setstate__(self, state: dict[str, Any]) -> None:  # also called when a checkpoint is loaded
        super().__setstate__(state)
        self._link()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Perform one step of both; the closure, if given, computes the loss and its gradients first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss
