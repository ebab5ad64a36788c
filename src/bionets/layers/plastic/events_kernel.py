"""A whole presentation as one compiled function that follows single spikes.

Neurons are updated one and all, with loops that vectorise; synapses only where a spike is: one coming in touches the
row of its source, one going out the column of its target. All numba code stands in this file, since numba's cache
looks at no other.
"""

from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic as _intrinsic

from bionets.scan.numba_memory import flush_denormals, restore_mode

intrinsic: Any = _intrinsic  # its type hints do not know what it does to a signature

LINEAR, ONE_TO_ONE, ALL_BUT_ONE = range(3)


def _record(integers: str, floats: str = "") -> np.dtype[Any]:
    return np.dtype([(name, np.int64) for name in integers.split()] + [(name, np.float64) for name in floats.split()])


GROUP = _record(
    "size offset is_input subtracts_trace first last has_trace nearest adapts shares_adaptation "
    "x out spikes trace voltage waiting adaptation "
    "trace_decay trace_gain voltage_decay voltage_gain threshold rest reset refractory "
    "adaptation_decay adaptation_gain "
    "spikes_history trace_history voltage_history threshold_history"
)
"""One group of neurons. It has the connections from ``first`` to before ``last``, and its spikes are listed from
``offset``. From ``x`` on all are addresses, 0 for what there is not."""

CONNECTION = _record("kind source target weight")

PLASTICITY = _record(
    "connection nearest slow_pre slow_post",
    "low high potentiation depression trace_target weight_dependence "
    "triplet_potentiation triplet_depression pre_decay post_decay",
)
"""One connection and its rule; without the addresses ``slow_pre`` and ``slow_post`` the rule knows pairs only."""


@intrinsic
def _pointer(typing: Any, address: Any, like: Any) -> Any:
    """The address as a pointer to elements like those of an array."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], context.get_value_type(signature.return_type))

    return numba.types.CPointer(like.dtype)(address, like), emit


@numba.njit(inline="always")
def _array(address: int, size: int, like: Any) -> Any:
    return numba.carray(_pointer(address, like), (size,))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def present(
    steps: int,
    batch: int,
    learning: bool,
    groups: Any,
    connections: Any,
    plasticities: Any,
    current: Any,
    delta: Any,
    spiking: Any,
    counts: Any,
    heads: Any,
    bits: Any,
) -> None:
    """Run all steps, in place on what the addresses point to.

    current: work, floats ``[largest group]``; delta: likewise. spiking ``[groups' sizes · B]`` and counts ``[G, B]``,
    int32: who spikes, by sample. heads: work, int32 ``[2 · largest group + 2 · B · largest group]``. bits: a uint8.
    """
    mode = flush_denormals()
    for g in range(len(groups)):
        _list_spikes(groups[g], batch, spiking, counts[g], bits)
    for t in range(steps):
        for g in range(len(groups)):
            group = groups[g]
            if group.is_input:
                source = _array(group.x + t * batch * group.size, batch * group.size, bits)
                target = _array(group.spikes, batch * group.size, bits)
                for k in range(batch * group.size):
                    target[k] = source[k]
            else:
                for b in range(batch):
                    _sum_currents(groups, connections, group, b, batch, current, spiking, counts)
                    _integrate(group, b, current, spiking, bits)
            _list_spikes(group, batch, spiking, counts[g], bits)
            _after_spikes(group, t, batch, current, spiking, counts[g], bits)
        if learning:
            for p in range(len(plasticities)):
                plasticity = plasticities[p]
                c = connections[plasticity.connection]
                _learn(plasticity, c, groups, batch, current, delta, spiking, counts, heads)
    restore_mode(mode)


@numba.njit
def _list_spikes(group: Any, batch: int, spiking: Any, counts: Any, bits: Any) -> None:
    """Write down who spikes, sample by sample."""
    size = group.size
    for b in range(batch):
        spikes = _array(group.spikes + b * size, size, bits)
        begin = group.offset + size * b
        n = 0
        low = 0
        while low < size:
            high = min(low + 32, size)
            found = 0
            for j in range(low, high):
                found += spikes[j]
            if found:
                for j in range(low, high):
                    if spikes[j]:
                        spiking[begin + n] = j
                        n += 1
            low = high
        counts[b] = n


@numba.njit
def _sum_currents(
    groups: Any, connections: Any, group: Any, b: int, batch: int, current: Any, spiking: Any, counts: Any
) -> None:
    """I of all neurons of a group, for one sample."""
    size = group.size
    for j in range(size):
        current[j] = 0
    for c in range(group.first, group.last):
        connection = connections[c]
        source = groups[connection.source]
        begin, n = source.offset + source.size * b, counts[connection.source, b]
        if connection.kind == LINEAR:
            for k in range(n):
                row = _array(connection.weight + spiking[begin + k] * size * current.itemsize, size, current)
                for j in range(size):
                    current[j] += row[j]
        elif n:
            weight = _array(connection.weight, size, current)
            if connection.kind == ALL_BUT_ONE:
                for j in range(size):
                    current[j] += weight[j] * n
            sign = 1 if connection.kind == ONE_TO_ONE else -1
            for k in range(n):
                j = spiking[begin + k]
                current[j] += sign * weight[j]
        if group.subtracts_trace:
            _subtract_traces(connection.kind, source, b, size, current)


@numba.njit
def _subtract_traces(kind: int, source: Any, b: int, size: int, current: Any) -> None:
    trace = _array(source.trace + b * source.size * current.itemsize, source.size, current)
    if kind == ONE_TO_ONE:
        for j in range(size):
            current[j] -= trace[j]
    else:
        total = current.dtype.type(0)
        for i in range(source.size):
            total += trace[i]
        for j in range(size):
            current[j] -= total
        if kind == ALL_BUT_ONE:
            for j in range(size):
                current[j] += trace[j]


@numba.njit
def _integrate(group: Any, b: int, current: Any, whole: Any, bits: Any) -> None:
    """Voltages and spikes of one sample. Each loop writes one array, so that it vectorises."""
    size, width = group.size, current.itemsize
    voltage = _array(group.voltage + b * size * width, size, current)
    waiting = _array(group.waiting + b * size * 4, size, whole)
    spikes = _array(group.spikes + b * size, size, bits)
    decay, gain = _array(group.voltage_decay, size, current), _array(group.voltage_gain, size, current)
    threshold, rest = _array(group.threshold, size, current), _array(group.rest, size, current)
    for j in range(size):
        moved = rest[j] + decay[j] * (voltage[j] - rest[j]) + gain[j] * current[j]
        voltage[j] = moved if waiting[j] == 0 else voltage[j]
    if group.adaptation:
        row = 0 if group.shares_adaptation else b * size * width
        adaptation = _array(group.adaptation + row, size, current)
        for j in range(size):
            current[j] = threshold[j] + adaptation[j]
        for j in range(size):
            spikes[j] = (voltage[j] >= current[j]) & (waiting[j] == 0)
    else:
        for j in range(size):
            spikes[j] = (voltage[j] >= threshold[j]) & (waiting[j] == 0)
    for j in range(size):
        waiting[j] = max(waiting[j] - 1, 0)


@numba.njit
def _after_spikes(group: Any, t: int, batch: int, current: Any, spiking: Any, counts: Any, bits: Any) -> None:
    """Resets, refractory periods, traces, thresholds, histories."""
    size, width = group.size, current.itemsize
    if group.has_trace:
        decay, gain = _array(group.trace_decay, size, current), _array(group.trace_gain, size, current)
        for b in range(batch):
            trace = _array(group.trace + b * size * width, size, current)
            for j in range(size):
                trace[j] *= decay[j]
            for k in range(counts[b]):
                j = spiking[group.offset + size * b + k]
                trace[j] = gain[j] if group.nearest else trace[j] + gain[j]
    if not group.is_input:
        reset, refractory = _array(group.reset, size, current), _array(group.refractory, size, spiking)
        for b in range(batch):
            voltage = _array(group.voltage + b * size * width, size, current)
            waiting = _array(group.waiting + b * size * 4, size, spiking)
            for k in range(counts[b]):
                j = spiking[group.offset + size * b + k]
                voltage[j] = reset[j]
                waiting[j] = refractory[j]
    if group.adapts:
        _adapt(group, batch, current, spiking, counts)
    if group.out:
        _keep(group.out, group.spikes, t, batch * size, bits)
    if group.spikes_history:
        _keep(group.spikes_history, group.spikes, t, batch * size, bits)
    if group.trace_history:
        _keep(group.trace_history, group.trace, t, batch * size, current)
    if group.voltage_history:
        _keep(group.voltage_history, group.voltage, t, batch * size, current)
    if group.threshold_history:
        threshold = _array(group.threshold, size, current)
        for b in range(batch):
            history = _array(group.threshold_history + (t * batch + b) * size * width, size, current)
            for j in range(size):
                history[j] = threshold[j]
            if group.adaptation:
                row = 0 if group.shares_adaptation else b * size * width
                adaptation = _array(group.adaptation + row, size, current)
                for j in range(size):
                    history[j] += adaptation[j]


@numba.njit
def _adapt(group: Any, batch: int, current: Any, spiking: Any, counts: Any) -> None:
    size = group.size
    decay, gain = _array(group.adaptation_decay, size, current), _array(group.adaptation_gain, size, current)
    rows = 1 if group.shares_adaptation else batch
    adaptation = _array(group.adaptation, rows * size, current)
    for r in range(rows):
        for j in range(size):
            adaptation[r * size + j] *= decay[j]
    for b in range(batch):
        row = 0 if group.shares_adaptation else b * size
        for k in range(counts[b]):
            j = spiking[group.offset + size * b + k]
            adaptation[row + j] += gain[j] / (batch // rows if group.shares_adaptation else 1)


@numba.njit
def _keep(history: int, state: int, t: int, size: int, like: Any) -> None:
    """Copy a state to its place in the history."""
    target, source = _array(history + t * size * like.itemsize, size, like), _array(state, size, like)
    for k in range(size):
        target[k] = source[k]


@numba.njit
def _learn(
    rule: Any, connection: Any, groups: Any, batch: int, up: Any, down: Any, spiking: Any, counts: Any, heads: Any
) -> None:
    """The change of one connection's weights at the end of a step.

    It walks over rows: those with a presynaptic spike as a whole, the others only at the targets that spike; none at
    all where nobody spikes. Work: ``up`` and ``down``, the sums over the batch for one row.
    """
    pre, post = groups[connection.source], groups[connection.target]
    width = up.itemsize
    rows, columns = pre.size, post.size
    sources, targets, widest = counts[connection.source], counts[connection.target], len(up)
    head, following = heads[:widest], heads[2 * widest : 2 * widest + widest * batch]
    unique, mark = heads[widest : 2 * widest], heads[2 * widest + widest * batch :]
    x, y = _array(pre.trace, batch * rows, up), _array(post.trace, batch * columns, up)
    slow_pre, slow_post = _array(rule.slow_pre, batch * rows, up), _array(rule.slow_post, batch * columns, up)
    if rule.slow_pre:
        _fade(slow_pre, rule.pre_decay)
        _fade(slow_post, rule.post_decay)
    # The samples in which each row spikes, as lists: head[i], then following[...], each entry i + rows * sample.
    for i in range(rows):
        head[i] = -1
    incoming = 0
    for b in range(batch - 1, -1, -1):
        for k in range(sources[b]):
            i = spiking[pre.offset + rows * b + k]
            following[i + rows * b] = head[i]
            head[i] = i + rows * b
            incoming += 1
    outgoing = 0  # how many different targets spike
    for b in range(batch):
        for k in range(targets[b]):
            j = spiking[post.offset + columns * b + k]
            if mark[j] == 0:
                mark[j] = 1
                unique[outgoing] = j
                outgoing += 1
    for n in range(outgoing):
        mark[unique[n]] = 0
    if incoming or outgoing:
        for i in range(rows):
            if head[i] >= 0 or outgoing:
                weight = _array(connection.weight + i * columns * width, columns, up)
                _row(
                    rule,
                    i,
                    weight,
                    rows,
                    batch,
                    post,
                    x,
                    y,
                    slow_pre,
                    slow_post,
                    targets,
                    spiking,
                    head,
                    following,
                    unique[:outgoing],
                    up,
                    down,
                )
    if rule.slow_pre:
        _bump(slow_pre, pre, batch, spiking, sources, rule.nearest)
        _bump(slow_post, post, batch, spiking, targets, rule.nearest)


@numba.njit
def _row(
    rule: Any,
    i: int,
    weight: Any,
    rows: int,
    batch: int,
    post: Any,
    x: Any,
    y: Any,
    slow_pre: Any,
    slow_post: Any,
    targets: Any,
    spiking: Any,
    head: Any,
    following: Any,
    unique: Any,
    up: Any,
    down: Any,
) -> None:
    """Change the weights of source ``i``."""
    columns = post.size
    number = up.dtype.type
    low, high, share = number(rule.low), number(rule.high), number(1 / batch)
    exponent = rule.weight_dependence
    for n in range(len(unique)):
        up[unique[n]] = 0
    if len(unique):
        for b in range(batch):
            seen = x[rows * b + i] - number(rule.trace_target)
            for k in range(targets[b]):
                j = spiking[post.offset + columns * b + k]
                rate = number(rule.potentiation)
                if rule.slow_pre:
                    rate += number(rule.triplet_potentiation) * slow_post[columns * b + j]
                up[j] += rate * seen
        for n in range(len(unique)):
            j = unique[n]
            up[j] *= share * (number(1) if exponent == 0 else number((high - weight[j]) ** exponent))
    event = head[i]
    if event >= 0:
        for j in range(columns):
            down[j] = 0
        while event >= 0:
            b = event // rows
            rate = number(rule.depression)
            if rule.slow_pre:
                rate += number(rule.triplet_depression) * slow_pre[event]
            rate *= share
            trace = y[columns * b : columns * b + columns]
            for j in range(columns):
                down[j] += rate * trace[j]
            event = following[event]
        if exponent == 0:
            for j in range(columns):
                weight[j] -= down[j]
        elif exponent == 1:
            for j in range(columns):
                weight[j] -= down[j] * (weight[j] - low)
        else:
            for j in range(columns):
                weight[j] -= down[j] * number((weight[j] - low) ** exponent)
        for n in range(len(unique)):
            weight[unique[n]] += up[unique[n]]
        for j in range(columns):
            weight[j] = min(max(weight[j], low), high)
    else:
        for n in range(len(unique)):
            j = unique[n]
            weight[j] = min(max(weight[j] + up[j], low), high)


@numba.njit
def _fade(trace: Any, decay: float) -> None:
    factor = trace.dtype.type(decay)
    for k in range(len(trace)):
        trace[k] *= factor


@numba.njit
def _bump(trace: Any, group: Any, batch: int, spiking: Any, counts: Any, nearest: bool) -> None:
    for b in range(batch):
        for k in range(counts[b]):
            j = group.size * b + spiking[group.offset + group.size * b + k]
            trace[j] = 1 if nearest else trace[j] + 1
