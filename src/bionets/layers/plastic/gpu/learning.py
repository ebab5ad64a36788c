"""Triton kernels that change values shared by samples at each step: weights and learnt thresholds.

Each instance owns a tile of weights or neurons and sums over the batch in order, so that the same input gives the same
bits. Instances do not wait for each other.
"""

# mypy: disable-error-code="no-untyped-def"

import triton
import triton.language as tl


@triton.jit
def _dependence(distance, EXPONENT: tl.constexpr):
    """distance^EXPONENT; 0^EXPONENT for a weight beyond the bound."""
    if EXPONENT == 0.0:
        return tl.full(distance.shape, 1.0, distance.dtype)  # without a bound, the distance is infinite
    elif EXPONENT == 1.0:  # noqa: RET505  (Triton also compiles code after a return)
        return tl.maximum(distance, 0.0, propagate_nan=tl.PropagateNan.ALL)
    else:
        safe = tl.where(distance > 0, distance, 1.0)
        return tl.where(distance > 0, tl.exp2(EXPONENT * tl.log2(safe)), 0.0)


@triton.jit(do_not_specialize=["batch"])
def learn(
    weight,
    pre_spikes,
    pre_trace,
    post_spikes,
    post_trace,
    settings,
    batch,
    rows,
    columns,
    EXPONENT: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Pair STDP at the end of a step. settings: potentiation, depression, trace_target, smallest and largest weight."""
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    j = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    is_row, is_column = i < rows, j < columns
    offset = tl.load(settings + 2)
    up = tl.full((ROWS, COLUMNS), 0.0, weight.dtype.element_ty)
    down = tl.full((ROWS, COLUMNS), 0.0, weight.dtype.element_ty)
    for sample in tl.range(0, batch, num_stages=4):
        x = tl.load(pre_trace + sample * rows + i, mask=is_row, other=0.0)
        sent = tl.load(pre_spikes + sample * rows + i, mask=is_row, other=0).to(up.dtype)
        y = tl.load(post_trace + sample * columns + j, mask=is_column, other=0.0)
        fired = tl.load(post_spikes + sample * columns + j, mask=is_column, other=0).to(up.dtype)
        up += (x - offset)[:, None] * fired[None, :]
        down += sent[:, None] * y[None, :]
    place = weight + i.to(tl.int64)[:, None] * columns + j[None, :]
    there = is_row[:, None] & is_column[None, :]
    old = tl.load(place, mask=there, other=0.0)
    low, high = tl.load(settings + 3), tl.load(settings + 4)
    potentiated = tl.load(settings) * _dependence(high - old, EXPONENT) * up
    depressed = tl.load(settings + 1) * _dependence(old - low, EXPONENT) * down
    new = old + (potentiated - depressed) / batch
    new = tl.maximum(new, low, propagate_nan=tl.PropagateNan.ALL)  # as in torch.clamp
    tl.store(place, tl.minimum(new, high, propagate_nan=tl.PropagateNan.ALL), mask=there)


@triton.jit(do_not_specialize=["batch"])
def adapt(adaptation, decay, gain, spikes, batch, size, BLOCK: tl.constexpr):
    """The homeostatic threshold of a group: a ← decay·a + gain·(mean spike of the batch)."""
    j = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = j < size
    total = tl.full((BLOCK,), 0, tl.int32)
    for sample in tl.range(0, batch):
        total += tl.load(spikes + sample * size + j, mask=inside, other=0).to(tl.int32)
    old, factor = tl.load(adaptation + j, mask=inside, other=0.0), tl.load(decay + j, mask=inside, other=0.0)
    driven = tl.load(gain + j, mask=inside, other=0.0) * (total.to(old.dtype) / batch)
    tl.store(adaptation + j, factor * old + driven, mask=inside)
