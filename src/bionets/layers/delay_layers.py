"""Delays between layers: one for each feature, or one for each connection of a linear layer."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from bionets.layers.checks import positive_int, require_dtype
from bionets.layers.delays import Delays
from bionets.layers.lengths import zero_past_end
from bionets.layers.stateful import StatefulModule, States
from bionets.scan.arguments import check_lengths, check_reset


def last_steps(steps: Tensor, count: int, lengths: Tensor | None) -> Tensor:
    """The last ``count`` of the steps ``[count + T, B, ...]``, where the first ``count`` steps precede the sequences.
    With lengths, the last ``count`` steps before the end of each sequence."""
    if lengths is None:
        return steps[len(steps) - count :].clone()  # a view would keep the memory of all steps
    places = torch.arange(count, device=steps.device).unsqueeze(1) + lengths
    return steps.gather(0, places.view(*places.shape, *(1,) * (steps.dim() - 2)).expand(count, *steps.shape[1:]))


class _Delayed(StatefulModule):
    """y[t] = Σ_d w_d x[t − d]; the state ``past`` holds the last ``max_delay`` inputs, ``[B, max_delay, ...]``."""

    state_names = ("past",)
    past: Tensor | None
    max_delay: int
    delays: Delays

    def state_shapes(self, input_shape: torch.Size) -> tuple[tuple[int, ...], ...]:
        """``[B, max_delay, ...]``."""
        return ((input_shape[0], self.max_delay, *input_shape[1:]),)

    def convolve(self, x: Tensor) -> Tensor:
        """The outputs ``[T, B, ...]`` for the inputs ``[max_delay + T, B, ...]``."""
        raise NotImplementedError

    def over_time(
        self,
        x: Tensor,
        states: States | None = None,
        *,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
        backend: str = "auto",
    ) -> tuple[Tensor, States]:
        """x and the outputs ``[T, B, ...]``. Pure; see `StatefulModule`."""
        if lengths is not None:
            lengths = check_lengths(lengths, x.shape, x.device)
            x = zero_past_end(x, lengths)  # otherwise 0·NaN would reach the gradients of the weights
        if reset is not None:
            reset = check_reset(reset, x.shape, x.device)
            if len(x):
                return self._in_pieces(x, states, lengths, reset)
        features, got = self.delays.delays.shape[-1], tuple(x.shape[1:])
        if x.dim() < 3 or got[-1] != features:
            raise ValueError(f"{self._get_name()}: expected [B, ..., {features}], got an input of shape {got}")
        if x.is_complex():
            raise TypeError(f"{self._get_name()}: complex inputs are not supported, got {x.dtype}")
        (past,) = self.checked_states(x, states)
        # Spikes may be integers, but weights are floating-point.
        x = x if x.is_floating_point() else x.to(self.delays.delays.dtype)
        steps = torch.cat((past.movedim(1, 0).to(x.dtype), x))
        y = self.convolve(steps if len(x) else torch.cat((steps, steps[:1])))[: len(x)]
        kept = last_steps(steps, self.max_delay, lengths).movedim(0, 1)
        return (y if lengths is None else zero_past_end(y, lengths)), (kept,)

    def _in_pieces(
        self, x: Tensor, states: States | None, lengths: Tensor | None, reset: Tensor
    ) -> tuple[Tensor, States]:
        """Split at every step at which a sequence is reset; the other sequences continue from their past."""
        (past,) = self.checked_states(x, states)
        starts = reset.any(1).nonzero().flatten().tolist()
        outputs = []
        for begin, end in pairwise(sorted({0, *starts, len(x)})):
            fresh = reset[begin].view(-1, *(1,) * (past.dim() - 1))
            past = torch.where(fresh if lengths is None else fresh & (lengths > begin).view_as(fresh), 0, past)
            now = None if lengths is None else (lengths - begin).clamp(0, end - begin)
            y, (past,) = self.over_time(x[begin:end], (past,), lengths=now)
            outputs.append(y)
        return torch.cat(outputs), (past,)


class Delay(_Delayed):
    """One delay for each feature, between two layers: y_i[t] = Σ_d w_d x_i[t − d] with the weights of `Delays`.

    The input is one step ``[B, ..., num_features]``; `bionets.layers.unroll` runs whole sequences.

    Args:
        num_features: size of the last axis.
        max_delay: the longest delay, in steps; the shortest is 0.
        delays, learn, sigma, interpolation: as in `Delays`.
    """

    def __init__(
        self,
        num_features: int,
        max_delay: int,
        *,
        delays: float | Tensor | None = None,
        learn: bool = True,
        sigma: float = 0.0,
        interpolation: str = "linear",
    ) -> None:
        super().__init__()
        self.num_features = positive_int("num_features", num_features)
        self.delays = Delays(
            (num_features,), 0, max_delay, delays=delays, learn=learn, sigma=sigma, interpolation=interpolation
        )
        self.max_delay = max_delay

    def convolve(self, x: Tensor) -> Tensor:
        kernel = self.delays().flip(0).T.unsqueeze(1).to(x.dtype)  # [features, 1, lags], the longest first
        rows = x.flatten(1, -2).permute(1, 2, 0)
        y = functional.conv1d(rows, kernel, groups=self.num_features)
        return y.permute(2, 0, 1).reshape(y.shape[2], *x.shape[1:])


class DelayedLinear(_Delayed):
    """A linear layer with one delay for each connection: y_j[t] = Σ_i W_ji Σ_d w_jid x_i[t − d] + b_j.

    It replaces `torch.nn.Linear` (``Dcls1d`` in DCLS), and costs ``max_delay`` + 1 times as much.

    Args:
        in_features, out_features, bias: as in `torch.nn.Linear`.
        max_delay: the longest delay, in steps; the shortest is 0.
        delays, learn, sigma, interpolation: as in `Delays`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        max_delay: int,
        bias: bool = True,
        *,
        delays: float | Tensor | None = None,
        learn: bool = True,
        sigma: float = 0.0,
        interpolation: str = "linear",
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = positive_int("in_features", in_features), out_features
        linear = nn.Linear(in_features, positive_int("out_features", out_features), bias)
        self.weight, self.bias = linear.weight, linear.bias
        self.delays = Delays(
            (out_features, in_features),
            0,
            max_delay,
            delays=delays,
            learn=learn,
            sigma=sigma,
            interpolation=interpolation,
        )
        self.max_delay = max_delay

    def convolve(self, x: Tensor) -> Tensor:
        require_dtype(self._get_name(), x, self.weight)
        kernel = (self.weight * self.delays()).flip(0).permute(1, 2, 0)  # [out, in, lags], the longest first
        y = functional.conv1d(x.flatten(1, -2).permute(1, 2, 0), kernel, self.bias)
        return y.permute(2, 0, 1).reshape(y.shape[2], *x.shape[1:-1], self.out_features)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"
