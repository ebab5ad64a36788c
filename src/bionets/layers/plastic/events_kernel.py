"""A whole presentation as one compiled function that follows single spikes.

Neurons are updated one and all, with loops that vectorise; synapses only where a spike is: one coming in touches the
row of its source, one going out the column of its target. All numba code stands in this file, since numba's cache
looks at no other.
"""

from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic as _intrinsic
from numba.np.numpy_support import carray as _carray

from bionets.scan.numba_memory import flush_denormals, restore_mode

intrinsic: Any = _intrinsic  # their type hints do not say what they do
carray: Any = _carray

LINEAR, ONE_TO_ONE, ALL_BUT_ONE = range(3)
BLOCK = 64  # rows of weights that are changed together


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
    return carray(_pointer(address, like), (size,))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def present(
    steps: int,
    batch: int,
    learning: bool,
    groups: Any,
    connections: Any,
    plasticities: Any,
    current: Any,
    block: Any,
    spiking: Any,
    counts: Any,
    heads: Any,
    bits: Any,
) -> None:
    """Run all steps, in place on what the addresses point to.

    The rest is work: current, floats ``[largest group]``; block, floats ``[BLOCK · largest group]``; spiking ``[groups'
    sizes · B]`` and counts ``[G, B]``, int32, who spikes, by sample; heads, int32 zeros ``[2 · (2 + B) · largest
    group]``; bits, a uint8.
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
                _learn(plasticity, c, groups, batch, block, current, spiking, counts, heads)
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
                total = current.dtype.type(n)
                for j in range(size):
                    current[j] += weight[j] * total
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

    It touches the rows of sources that spike and the columns of targets that spike. Work: ``up`` for what a spike of a
    target adds to a block of rows, ``down`` for what a spike of a source takes off its row, ``heads`` for `_index`.
    """
    pre, post = groups[connection.source], groups[connection.target]
    rows, columns, widest = pre.size, post.size, len(down)
    heads = heads.reshape((2, -1))
    incoming = _index(pre, batch, widest, spiking, counts[connection.source], heads[0])
    outgoing = _index(post, batch, widest, spiking, counts[connection.target], heads[1])
    slow_pre, slow_post = _array(rule.slow_pre, batch * rows, up), _array(rule.slow_post, batch * columns, up)
    if rule.slow_pre:
        _fade(slow_pre, rule.pre_decay)
        _fade(slow_post, rule.post_decay)
    if incoming or outgoing:
        weight = _array(connection.weight, rows * columns, up)
        x, y = _array(pre.trace, batch * rows, up), _array(post.trace, batch * columns, up)
        _change(rule, rows, columns, batch, weight, x, y, slow_pre, slow_post, heads, incoming, outgoing, up, down)
    for n in range(incoming):
        heads[0, heads[0, widest + n]] = 0
    for n in range(outgoing):
        heads[1, heads[1, widest + n]] = 0
    if rule.slow_pre:
        _bump(slow_pre, pre, batch, spiking, counts[connection.source], rule.nearest)
        _bump(slow_post, post, batch, spiking, counts[connection.target], rule.nearest)


@numba.njit
def _index(group: Any, batch: int, widest: int, spiking: Any, counts: Any, index: Any) -> Any:
    """Who spikes in any sample; returns how many.

    ``index[j]`` is 1 + j + size·b for the first sample b in which neuron j spikes, or 0; ``index[2·widest + e]``
    likewise leads from j + size·b = e to the next sample. From ``index[widest]`` on stand the neurons that spike.
    """
    found = 0
    for b in range(batch - 1, -1, -1):
        begin = group.offset + group.size * b
        for k in range(begin, begin + counts[b]):
            j = spiking[k]
            if index[j] == 0:
                index[widest + found] = j
                found += 1
            index[2 * widest + j + group.size * b] = index[j]
            index[j] = 1 + j + group.size * b
    return found


@numba.njit
def _change(
    rule: Any,
    rows: int,
    columns: int,
    batch: int,
    weight: Any,
    x: Any,
    y: Any,
    slow_pre: Any,
    slow_post: Any,
    heads: Any,
    incoming: int,
    outgoing: int,
    up: Any,
    down: Any,
) -> None:
    """Add to the weights, a block of rows after the other; where no target spikes, to the rows of the sources alone."""
    number, widest = up.dtype.type, len(down)
    low, high = number(rule.low), number(rule.high)
    if outgoing == 0:
        for m in range(incoming):
            i = heads[0, widest + m]
            _punish(rule, rows, columns, batch, weight, y, slow_pre, heads[0], i, down)
            for j in range(columns):
                weight[i * columns + j] = min(max(weight[i * columns + j] + down[j], low), high)
        return
    targets = heads[1, widest : widest + outgoing]
    for begin in range(0, rows, BLOCK):
        block = min(BLOCK, rows - begin)
        _reward(rule, rows, columns, batch, x, slow_post, heads[1], outgoing, begin, block, up)
        for i in range(begin, begin + block):
            row = weight[i * columns : i * columns + columns]
            if rule.weight_dependence:
                for n in range(outgoing):
                    up[n * BLOCK + i - begin] *= _power(high - row[targets[n]], rule.weight_dependence)
            if heads[0, i]:
                _punish(rule, rows, columns, batch, weight, y, slow_pre, heads[0], i, down)
                for n in range(outgoing):
                    down[targets[n]] += up[n * BLOCK + i - begin]
                for j in range(columns):
                    row[j] = min(max(row[j] + down[j], low), high)
            else:
                for n in range(outgoing):
                    j = targets[n]
                    row[j] = min(max(row[j] + up[n * BLOCK + i - begin], low), high)


@numba.njit
def _reward(
    rule: Any,
    rows: int,
    columns: int,
    batch: int,
    x: Any,
    slow_post: Any,
    index: Any,
    outgoing: int,
    begin: int,
    block: int,
    up: Any,
) -> None:
    """What the spike of each target adds to a block of rows, without the dependence on the weight."""
    number, widest = up.dtype.type, len(index) // (2 + batch)
    offset, share = number(rule.trace_target), number(1 / batch)
    for n in range(outgoing):
        total = up[n * BLOCK : n * BLOCK + block]
        for i in range(block):
            total[i] = 0
        event = index[index[widest + n]]
        while event:
            rate = number(rule.potentiation)
            if rule.slow_pre:
                rate += number(rule.triplet_potentiation) * slow_post[event - 1]
            rate *= share
            first = (event - 1) // columns * rows + begin
            seen = x[first : first + block]
            for i in range(block):
                total[i] += rate * (seen[i] - offset)
            event = index[2 * widest + event - 1]


@numba.njit
def _punish(
    rule: Any,
    rows: int,
    columns: int,
    batch: int,
    weight: Any,
    y: Any,
    slow_pre: Any,
    index: Any,
    i: int,
    down: Any,
) -> None:
    """What the spikes of source ``i`` add, below zero, to all its weights."""
    number, widest = down.dtype.type, len(down)
    share = number(1 / batch)
    for j in range(columns):
        down[j] = 0
    event = index[i]
    while event:
        rate = number(rule.depression)
        if rule.slow_pre:
            rate += number(rule.triplet_depression) * slow_pre[event - 1]
        rate *= share
        first = (event - 1) // rows * columns
        seen = y[first : first + columns]
        for j in range(columns):
            down[j] -= rate * seen[j]
        event = index[2 * widest + event - 1]
    if rule.weight_dependence:
        low = number(rule.low)
        for j in range(columns):
            down[j] *= _power(weight[i * columns + j] - low, rule.weight_dependence)


@numba.njit
def _power(base: float, exponent: float) -> Any:
    if exponent == 0:
        return 1.0
    return base if exponent == 1 else base**exponent


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
