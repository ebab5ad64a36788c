"""The dynamics of a trained recurrent layer: fixed points, stability, hysteresis, memory, Lyapunov exponents.

All functions use a `StateMap`, the time step of a layer as a map of its state under a constant input, in float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bionets.analysis.state_map import StateMap

state_map = StateMap


def _one_state(state: Tensor | None) -> Tensor | None:
    """A state `[N]` as `[1, N]`, in float64."""
    return None if state is None else state.double().reshape(1, -1)


def _require_steps(x: Tensor) -> None:
    if not len(x):
        raise ValueError(f"x must have at least one step, got the shape {list(x.shape)}")


def visited_states(step: StateMap, x: Tensor, start: Tensor | None = None) -> Tensor:
    """The states `[T, B, N]` after each step of the sequences x `[T, B, I]`, from `start` `[B, N]`; None for
    `StateMap.initial_state`. Raises ValueError for sequences of no steps."""
    _require_steps(x)
    states, s = [], start
    for x_t in x.unbind(0):
        _, s = step.run(x_t.unsqueeze(0), s)
        states.append(s)
    return torch.stack(states)


@dataclass(frozen=True)
class FixedPoint:
    """A state with s = f(s, x).

    Attributes:
        state: `[N]`.
        residual: the largest |f(s) − s|.
        eigenvalues: eigenvalues of ∂f/∂s, complex, `[N]`, in descending order of their absolute values.
    """

    state: Tensor
    residual: float
    eigenvalues: Tensor

    @property
    def spectral_radius(self) -> float:
        return float(self.eigenvalues.abs().max())

    @property
    def stable(self) -> bool:
        """Whether all eigenvalues are inside the unit circle."""
        return self.spectral_radius < 1


def find_fixed_points(
    step: StateMap,
    x: Tensor,
    starts: Tensor,
    *,
    tolerance: float = 1e-9,
    iterations: int = 200,
    distance: float = 1e-4,
    margin: float | None = None,
) -> list[FixedPoint]:
    """Solve s = f(s, x) by Newton's method from each of `starts` `[K, N]`, for example from `visited_states`.

    A step that does not reduce the residual is halved, up to ten times. Solutions that differ by less than `distance`
    in every element count once. Starts that do not converge to `tolerance` are dropped.

    Args:
        x: the constant input, `[I]`.
        starts: initial states, `[K, N]`.
        margin: solutions with an element outside the range of all starts by more than this share of the range are
            dropped. Far outside this range, a saturated gate keeps any value, so that states that the layer never
            reaches would count as fixed points.

    Returns:
        The fixed points, in the order in which they were found.

    Raises:
        ValueError: there is no initial state.
    """
    if not len(starts):
        raise ValueError(f"starts must have at least one state, got the shape {list(starts.shape)}")
    s = starts.detach().double().clone()
    residual = step(s, x) - s
    identity = torch.eye(s.size(1), dtype=s.dtype)
    for _ in range(iterations):
        open_ = residual.abs().amax(1) > tolerance
        if not open_.any():
            break
        here, r = s[open_], residual[open_]
        # least squares, because the matrix is singular on a line of fixed points
        update = torch.linalg.pinv(step.jacobian(here, x) - identity, rtol=1e-12) @ -r.unsqueeze(-1)
        update, best, best_r = update.squeeze(-1), here.clone(), r.clone()
        for halving in range(10):
            tried = here + update * 0.5**halving
            tried_r = step(tried, x) - tried
            better = tried_r.abs().amax(1) < best_r.abs().amax(1)
            best[better], best_r[better] = tried[better], tried_r[better]
            if bool((best_r.abs().amax(1) < r.abs().amax(1)).all()):
                break
        stuck = best_r.abs().amax(1) >= r.abs().amax(1)
        if bool(stuck.all()):
            break
        s[open_], residual[open_] = best, best_r
    lowest, highest = (float(end) for end in starts.aminmax())
    room = float("inf") if margin is None else margin * (highest - lowest)
    found: list[Tensor] = []
    for state, r in zip(s, residual, strict=True):
        inside = bool((state >= lowest - room).all() and (state <= highest + room).all())
        if inside and r.abs().max() <= tolerance and all((state - other).abs().max() > distance for other in found):
            found.append(state)
    if not found:
        return []
    states = torch.stack(found)
    eigenvalues = torch.linalg.eigvals(step.jacobian(states, x))
    residuals = (step(states, x) - states).abs().amax(1)
    return [
        FixedPoint(state, float(r), values[values.abs().argsort(descending=True)])
        for state, r, values in zip(states, residuals, eigenvalues, strict=True)
    ]


def bistable_share(a: Tensor) -> Tensor:
    """The share of units with a > 1 at each time step, `[T]`, for the gate a `[T, B, H]` of a bistable layer."""
    return (a > 1).double().mean((1, 2))


def hysteresis_loop(
    step: StateMap, direction: Tensor, low: float, high: float, steps: int, start: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Ramp the input from `low`·direction up to `high`·direction and down again, in `steps` time steps each, from the
    state `start` `[N]`; None for `StateMap.initial_state`.

    Returns:
        The factors `[steps]` in ascending order, and the states of the upward and the downward ramp, each `[steps, N]`
        in the order of the factors.

    Raises:
        ValueError: ``steps`` is below 1.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    factors = torch.linspace(low, high, steps, dtype=torch.float64)
    ramp = torch.cat((factors, factors.flip(0)))[:, None, None] * direction.double()
    way = visited_states(step, ramp, _one_state(start))[:, 0]
    return factors, way[:steps], way[steps:].flip(0)


def bifurcation_diagram(
    step: StateMap, direction: Tensor, factors: Sequence[float], unit: int, starts: int | Tensor = 21
) -> list[tuple[float, float, bool]]:
    """The fixed points of one element of the state as the input changes: (factor, value of the element, stable).

    For each factor, the input is factor·direction. If `starts` are states `[K, N]`, Newton's method starts from these
    and from the states that the map reaches from them, and solutions outside their range are dropped. If `starts` is a
    number, the element starts at this number of values between −1 and 1, and the other elements at 0.

    Raises:
        ValueError: the state has no element ``unit``, or there is no initial state.
    """
    states = step.run(direction.reshape(1, 1, -1))[1].size(1)
    if not -states <= unit < states:
        raise ValueError(f"unit must lie between 0 and {states - 1}, got {unit}")
    if isinstance(starts, Tensor):
        begin = starts.detach().double()
    else:
        begin = torch.zeros(starts, states, dtype=torch.float64)
        begin[:, unit] = torch.linspace(-1, 1, starts, dtype=torch.float64)
    found = []
    for factor in factors:
        x = factor * direction.double()
        if isinstance(starts, Tensor):
            points = find_fixed_points(step, x, torch.cat((begin, settled(step, x, begin))), iterations=50, margin=0.1)
        else:
            points = find_fixed_points(step, x, begin)
        found += [(float(factor), float(point.state[unit]), point.stable) for point in points]
    return found


def settled(step: StateMap, x: Tensor, starts: Tensor, steps: int = 300) -> Tensor:
    """The states that the map reaches from `starts` `[K, N]` under a constant input x `[I]`."""
    return step.run(x.double().expand(steps, len(starts), -1), starts)[1]


def memory_half_life(
    step: StateMap, x: Tensor, start: Tensor | None = None, *, size: float = 1e-3, horizon: int = 1000
) -> Tensor:
    """The number of steps after which a small perturbation of each element of the state has decayed to half, `[N]`.

    The state is run over x `[T, I]` from `start` `[N]`; None for `StateMap.initial_state`. Then, under the last input,
    each element in turn is perturbed by `size`, and the difference of this element to the unperturbed run is measured.
    It is infinite if the difference is not halved within `horizon` steps.

    Raises:
        ValueError: x has no steps.
    """
    _require_steps(x)
    _, s = step.run(x.unsqueeze(1), _one_state(start))
    N = s.size(1)
    disturbed = s + size * torch.eye(N, dtype=torch.float64)
    both = torch.cat((s, disturbed))
    half_life = torch.full((N,), torch.inf, dtype=torch.float64)
    for t in range(1, horizon + 1):
        both = step(both, x[-1])
        difference = (both[1:].diagonal() - both[0]).abs()
        half_life[(difference <= size / 2) & half_life.isinf()] = t
        if not half_life.isinf().any():
            break
    return half_life


def largest_lyapunov_exponent(step: StateMap, x: Tensor, start: Tensor | None = None, *, discard: int = 0) -> float:
    """The mean logarithmic growth per time step of a small perturbation along the run over x `[T, I]` from
    `start` `[N]`; None for `StateMap.initial_state`.

    λ = 1/T Σ_t log(|J_t v_t| / |v_t|) with the Jacobian J_t along the run, v_{t+1} = J_t v_t and v_0 = (1, ..., 1). If
    λ is negative, the state forgets its past; a positive λ means chaos. The first `discard` steps, in which v turns to
    the fastest growing direction, are left out of the mean.

    Raises:
        ValueError: no step is left after the first `discard` steps.
    """
    if not 0 <= discard < len(x):
        raise ValueError(f"discard must be at least 0 and below the {len(x)} steps of x, got {discard}")
    given = _one_state(start)
    first = step.initial_state(x.unsqueeze(1)) if given is None else given
    after = visited_states(step, x.unsqueeze(1), first)[:, 0]
    before = torch.cat((first, after[:-1]))
    jacobians = step.jacobian(before, x)
    v = torch.ones(before.size(1), dtype=torch.float64) / before.size(1) ** 0.5
    growth = []
    for J in jacobians:
        v = J @ v
        size = v.norm()
        if size == 0:
            return -torch.inf
        growth.append(size.log())
        v = v / size
    return float(torch.stack(growth[discard:]).mean())
