"""Learning in the kernel: weight changes of each connection by spikes and rewards, at the end of a step."""

from typing import Any, NamedTuple

import numba

from bionets.layers.plastic.events.memory import BLOCK, array

SMALLEST_SCALE, LARGEST_SCALE = 1e-10, 1e10  # of an eligibility, beyond which it is multiplied out


class Synapses(NamedTuple):
    """A connection that learns, with its source and target."""

    rows: Any
    columns: Any
    batch: Any
    weight: Any
    x: Any
    y: Any
    slow_pre: Any
    slow_post: Any


@numba.njit
def learn(rule: Any, connection: Any, groups: Any, batch: int, t: int, steps: int, rewards: Any, work: Any) -> None:
    """The change of one connection's weights at the end of a step."""
    pre, post, like = groups[connection.source], groups[connection.target], work.current
    sources, targets = work.counts[connection.source], work.counts[connection.target]
    rows, columns = pre.size, post.size
    synapses = Synapses(
        rows,
        columns,
        batch,
        array(connection.weight, rows * columns, like),
        array(pre.trace, batch * rows, like),
        array(post.trace, batch * columns, like),
        array(rule.slow_pre, batch * rows, like),
        array(rule.slow_post, batch * columns, like),
    )
    if rule.eligibility:
        if rule.decay or len(rewards) or t == steps - 1:  # without memory, only rewarded steps matter
            _remember(rule, synapses, pre, post, sources, targets, t == steps - 1, work)
        if len(rewards):
            _reinforce(rule, synapses, rewards[t], like)
        return
    if rule.slow_pre:
        _decay_trace(synapses.slow_pre, rule.pre_decay)
        _decay_trace(synapses.slow_post, rule.post_decay)
    incoming = _index(pre, batch, sources, work, work.heads[0])
    outgoing = _index(post, batch, targets, work, work.heads[1])
    if incoming or outgoing:
        _change(rule, synapses, incoming, outgoing, work)
    if t == 0:  # later changes keep each weight within its bounds
        _clamp(synapses.weight, rule, like)
    for n in range(incoming):
        work.heads[0, work.heads[0, len(like) + n]] = 0
    for n in range(outgoing):
        work.heads[1, work.heads[1, len(like) + n]] = 0
    if rule.slow_pre:
        _add_spikes(synapses.slow_pre, pre, batch, work.spiking, sources, rule.nearest)
        _add_spikes(synapses.slow_post, post, batch, work.spiking, targets, rule.nearest)


@numba.njit
def _clamp(weight: Any, rule: Any, like: Any) -> None:
    low, high = like.dtype.type(rule.low), like.dtype.type(rule.high)
    for k in range(len(weight)):
        weight[k] = min(max(weight[k], low), high)


@numba.njit
def _index(group: Any, batch: int, counts: Any, work: Any, index: Any) -> Any:
    """List the neurons that spike in any sample, and return their number.

    With L the size of the largest group, ``index[j]`` is 1 + j + size·b for the first sample b in which neuron j
    spikes, or 0 if there is none. For the next sample, ``index[2 L + e]`` with e = j + size·b is defined likewise. The
    neurons that spike are listed from ``index[L]``.
    """
    found, largest = 0, len(work.current)
    for b in range(batch - 1, -1, -1):
        begin = group.offset + group.size * b
        for k in range(begin, begin + counts[b]):
            j = work.spiking[k]
            if index[j] == 0:
                index[largest + found] = j
                found += 1
            index[2 * largest + j + group.size * b] = index[j]
            index[j] = 1 + j + group.size * b
    return found


@numba.njit
def _change(rule: Any, synapses: Any, incoming: int, outgoing: int, work: Any) -> None:
    """Add the change to the weights, in blocks of rows; if no target spikes, only in the rows of the sources."""
    down, up, heads = work.current, work.block, work.heads
    number, rows, columns, weight = down.dtype.type, synapses.rows, synapses.columns, synapses.weight
    low, high = number(rule.low), number(rule.high)
    if outgoing == 0:
        for m in range(incoming):
            i = heads[0, len(down) + m]
            _depress(rule, synapses, i, work)
            row = weight[i * columns : i * columns + columns]
            for j in range(columns):
                row[j] = min(max(row[j] + down[j], low), high)
        return
    targets = heads[1, len(down) : len(down) + outgoing]
    for begin in range(0, rows, BLOCK):
        block = min(BLOCK, rows - begin)
        _potentiate(rule, synapses, outgoing, begin, block, work)
        for i in range(begin, begin + block):
            row = weight[i * columns : i * columns + columns]
            if rule.weight_dependence:
                for n in range(outgoing):
                    up[n * BLOCK + i - begin] *= _power(max(high - row[targets[n]], number(0)), rule.weight_dependence)
            if heads[0, i]:
                _depress(rule, synapses, i, work)
                for n in range(outgoing):
                    down[targets[n]] += up[n * BLOCK + i - begin]
                for j in range(columns):
                    row[j] = min(max(row[j] + down[j], low), high)
            else:
                for n in range(outgoing):
                    j = targets[n]
                    row[j] = min(max(row[j] + up[n * BLOCK + i - begin], low), high)


@numba.njit
def _potentiate(rule: Any, synapses: Any, outgoing: int, begin: int, block: int, work: Any) -> None:
    """The potentiation of a block of rows by the spikes of the targets, without the dependence on the weight."""
    index, number, largest = work.heads[1], work.current.dtype.type, len(work.current)
    offset, share = number(rule.trace_target), number(1 / synapses.batch)
    for n in range(outgoing):
        total = work.block[n * BLOCK : n * BLOCK + block]
        for i in range(block):
            total[i] = 0
        event = index[index[largest + n]]
        while event:
            rate = number(rule.potentiation)
            if rule.slow_pre:
                rate += number(rule.triplet_potentiation) * synapses.slow_post[event - 1]
            rate *= share
            first = (event - 1) // synapses.columns * synapses.rows + begin
            seen = synapses.x[first : first + block]
            for i in range(block):
                total[i] += rate * (seen[i] - offset)
            event = index[2 * largest + event - 1]


@numba.njit
def _depress(rule: Any, synapses: Any, i: int, work: Any) -> None:
    """The depression of all weights of source ``i`` by its spikes."""
    index, down, columns = work.heads[0], work.current, synapses.columns
    number = down.dtype.type
    share = number(1 / synapses.batch)
    for j in range(columns):
        down[j] = 0
    event = index[i]
    while event:
        rate = number(rule.depression)
        if rule.slow_pre:
            rate += number(rule.triplet_depression) * synapses.slow_pre[event - 1]
        rate *= share
        first = (event - 1) // synapses.rows * columns
        seen = synapses.y[first : first + columns]
        for j in range(columns):
            down[j] -= rate * seen[j]
        event = index[2 * len(down) + event - 1]
    if rule.weight_dependence:
        low = number(rule.low)
        for j in range(columns):
            down[j] *= _power(max(synapses.weight[i * columns + j] - low, number(0)), rule.weight_dependence)


@numba.njit
def _power(base: float, exponent: float) -> Any:
    return base if exponent == 1 else base**exponent


@numba.njit
def _decay_trace(trace: Any, decay: float) -> None:
    factor = trace.dtype.type(decay)
    for k in range(len(trace)):
        trace[k] *= factor


@numba.njit
def _add_spikes(trace: Any, group: Any, batch: int, spiking: Any, counts: Any, nearest: bool) -> None:
    for b in range(batch):
        for k in range(counts[b]):
            j = group.size * b + spiking[group.offset + group.size * b + k]
            trace[j] = 1 if nearest else trace[j] + 1


@numba.njit
def _remember(rule: Any, synapses: Any, pre: Any, post: Any, sources: Any, targets: Any, last: bool, work: Any) -> None:
    """e ← decay·e + the pairs of this step. The decay is applied to ``scale``, not to every synapse."""
    rows, columns, number = synapses.rows, synapses.columns, work.current.dtype.type
    eligibility = array(rule.eligibility, synapses.batch * rows * columns, work.current)
    rule.scale *= rule.decay
    if not SMALLEST_SCALE <= rule.scale <= LARGEST_SCALE:
        _decay_trace(eligibility, rule.scale)
        rule.scale = 1.0
    up, down = number(rule.potentiation / rule.scale), number(rule.depression / rule.scale)
    for b in range(synapses.batch):
        one = eligibility[b * rows * columns : (b + 1) * rows * columns]
        if up:
            begin = post.offset + columns * b
            for i in range(rows if targets[b] else 0):
                seen = up * synapses.x[b * rows + i]
                for k in range(begin, begin + targets[b]):
                    one[i * columns + work.spiking[k]] += seen
        if down:
            seen_row = synapses.y[b * columns : (b + 1) * columns]
            for k in range(pre.offset + rows * b, pre.offset + rows * b + sources[b]):
                i = work.spiking[k]
                row = one[i * columns : (i + 1) * columns]
                for j in range(columns):
                    row[j] -= down * seen_row[j]
    if last:
        _decay_trace(eligibility, rule.scale)
        rule.scale = 1.0


@numba.njit
def _reinforce(rule: Any, synapses: Any, rewards: Any, like: Any) -> None:
    """Δw = rate · mean over the batch of reward · e."""
    size, number = synapses.rows * synapses.columns, like.dtype.type
    eligibility = array(rule.eligibility, synapses.batch * size, like)
    weight, low, high = synapses.weight, number(rule.low), number(rule.high)
    for begin in range(0, size, BLOCK):
        end = min(begin + BLOCK, size)
        for b in range(synapses.batch):
            rate = number(rule.rate * rule.scale / synapses.batch * rewards[b])
            if rate:
                one = eligibility[b * size : (b + 1) * size]
                for k in range(begin, end):
                    weight[k] += rate * one[k]
        for k in range(begin, end):
            weight[k] = min(max(weight[k], low), high)
