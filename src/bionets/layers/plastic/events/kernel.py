"""A whole presentation as one compiled, event-driven function.

All neurons are updated at every step, in loops that vectorise. Synapses are updated only for spikes: a presynaptic
spike updates the row of its source, a postsynaptic spike the column of its target.
"""

import hashlib
from pathlib import Path
from typing import Any

import numba

from bionets.layers.plastic.events import learning, memory
from bionets.layers.plastic.events.learning import learn
from bionets.layers.plastic.events.memory import LATERAL_INHIBITION, LINEAR, ONE_TO_ONE, array, copy


@numba.njit
def _list_spikes(group: Any, batch: int, counts: Any, work: Any) -> None:
    """List the neurons that spike, for each sample."""
    size = group.size
    for b in range(batch):
        spikes = array(group.spikes + b * size, size, work.bits)
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
                        work.spiking[begin + n] = j
                        n += 1
            low = high
        counts[b] = n


@numba.njit
def _carry(groups: Any, number: int, batch: int, work: Any) -> None:
    """The activity of another group that arrives in this step: delayed, or before the update of that group."""
    group, origin = groups[number], groups[groups[number].origin]
    size = group.size
    if group.delay == 0:
        copy(group.spikes, origin.spikes, batch * size, work.bits)
        if group.has_trace:
            copy(group.trace, origin.trace, batch * size, work.current)
    else:
        delay = array(group.delay, size, work.spiking)
        for b in range(batch):
            sent = array(origin.spikes + b * size, size, work.bits)
            spikes = array(group.spikes + b * size, size, work.bits)
            countdown = array(group.countdown + b * size * 4, size, work.spiking)
            for j in range(size):
                spikes[j] = (countdown[j] == 1) | ((sent[j] != 0) & (delay[j] == 0))
            for j in range(size):
                countdown[j] = delay[j] if sent[j] else max(countdown[j] - 1, 0)
    _list_spikes(group, batch, work.counts[number], work)
    if group.delay:
        _move_trace(group, batch, work.counts[number], work)


@numba.njit
def _sum_currents(groups: Any, connections: Any, group: Any, b: int, place: int, work: Any) -> None:
    """The current I of all neurons of a group for one sample; ``place`` is the index of its external current."""
    size, current, spiking = group.size, work.current, work.spiking
    if group.drive:
        drive = array(group.drive + place * size * current.itemsize, size, current)
        for j in range(size):
            current[j] = drive[j]
    else:
        for j in range(size):
            current[j] = 0
    for c in range(group.first, group.last):
        connection = connections[c]
        source = groups[connection.source]
        begin, n = source.offset + source.size * b, work.counts[connection.source, b]
        if connection.kind == LINEAR:
            for k in range(n):
                row = array(connection.weight + spiking[begin + k] * size * current.itemsize, size, current)
                for j in range(size):
                    current[j] += row[j]
        elif n:
            weight = array(connection.weight, size, current)
            spikes = array(source.spikes + b * size, size, work.bits)
            if connection.kind == ONE_TO_ONE:
                for j in range(size):
                    current[j] += weight[j] * spikes[j]
            else:
                for j in range(size):
                    current[j] += weight[j] * current.dtype.type(n - spikes[j])  # times an integer: float64
        if group.subtracts_trace:
            _subtract_traces(connection.kind, source, b, size, current)


@numba.njit
def _subtract_traces(kind: int, source: Any, b: int, size: int, current: Any) -> None:
    trace = array(source.trace + b * source.size * current.itemsize, source.size, current)
    if kind == ONE_TO_ONE:
        for j in range(size):
            current[j] -= trace[j]
    else:
        total = current.dtype.type(0)
        for i in range(source.size):
            total += trace[i]
        for j in range(size):
            current[j] -= total
        if kind == LATERAL_INHIBITION:
            for j in range(size):
                current[j] += trace[j]


@numba.njit
def _integrate(group: Any, b: int, work: Any) -> None:
    """Update voltages and spikes of one sample. Each loop writes only one array, so that it vectorises."""
    current = work.current
    size, width = group.size, current.itemsize
    voltage = array(group.voltage + b * size * width, size, current)
    waiting = array(group.waiting + b * size * 4, size, work.spiking)
    spikes = array(group.spikes + b * size, size, work.bits)
    decay, gain = array(group.voltage_decay, size, current), array(group.voltage_gain, size, current)
    threshold, rest = array(group.threshold, size, current), array(group.rest, size, current)
    for j in range(size):
        moved = rest[j] + decay[j] * (voltage[j] - rest[j]) + gain[j] * current[j]
        voltage[j] = moved if waiting[j] == 0 else voltage[j]
    if group.adaptation:
        adaptation = array(_adaptation(group, b, width), size, current)
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
def _adaptation(group: Any, b: int, width: int) -> Any:
    return group.adaptation + (0 if group.shares_adaptation else b * group.size * width)


@numba.njit
def _move_trace(group: Any, batch: int, counts: Any, work: Any) -> None:
    if group.has_trace:
        size, like = group.size, work.current
        decay, gain = array(group.trace_decay, size, like), array(group.trace_gain, size, like)
        for b in range(batch):
            trace = array(group.trace + b * size * like.itemsize, size, like)
            for j in range(size):
                trace[j] *= decay[j]
            for k in range(counts[b]):
                j = work.spiking[group.offset + size * b + k]
                trace[j] = gain[j] if group.nearest else trace[j] + gain[j]


@numba.njit
def _reset(group: Any, batch: int, counts: Any, work: Any) -> None:
    """Reset the neurons that have just spiked."""
    size, like, spiking = group.size, work.current, work.spiking
    reset, refractory = array(group.reset, size, like), array(group.refractory, size, spiking)
    for b in range(batch):
        voltage = array(group.voltage + b * size * like.itemsize, size, like)
        waiting = array(group.waiting + b * size * 4, size, spiking)
        for k in range(counts[b]):
            j = spiking[group.offset + size * b + k]
            voltage[j] = reset[j]
            waiting[j] = refractory[j]


@numba.njit
def _adapt(group: Any, batch: int, counts: Any, work: Any) -> None:
    size, like = group.size, work.current
    decay, gain = array(group.adaptation_decay, size, like), array(group.adaptation_gain, size, like)
    rows = 1 if group.shares_adaptation else batch
    for r in range(rows):
        adaptation = array(_adaptation(group, r, like.itemsize), size, like)
        for j in range(size):
            adaptation[j] *= decay[j]
    for b in range(batch):
        adaptation = array(_adaptation(group, b, like.itemsize), size, like)
        for k in range(counts[b]):
            j = work.spiking[group.offset + size * b + k]
            adaptation[j] += gain[j] / (batch // rows)


@numba.njit
def _record_step(group: Any, t: int, batch: int, work: Any) -> None:
    size, like = batch * group.size, work.current
    if group.out:
        copy(group.out + t * size, group.spikes, size, work.bits)
    if group.spikes_history:
        copy(group.spikes_history + t * size, group.spikes, size, work.bits)
    if group.trace_history:
        copy(group.trace_history + t * size * like.itemsize, group.trace, size, like)
    if group.voltage_history:
        copy(group.voltage_history + t * size * like.itemsize, group.voltage, size, like)
    if group.threshold_history:
        for b in range(batch):
            place = group.threshold_history + (t * batch + b) * group.size * like.itemsize
            copy(place, group.threshold, group.size, like)
            if group.adaptation:
                history = array(place, group.size, like)
                adaptation = array(_adaptation(group, b, like.itemsize), group.size, like)
                for j in range(group.size):
                    history[j] += adaptation[j]


def _compiled(digest: str) -> Any:
    """Numba's cache identifies a function by its file and its closure; hence the digest of the other files."""

    @numba.njit(cache=True, nogil=True, error_model="numpy")
    def run_steps(
        steps: int,
        batch: int,
        neurons: int,
        groups: Any,
        connections: Any,
        plasticities: Any,
        rewards: Any,
        work: Any,
    ) -> None:
        """Run all steps, in place on the memory at the given addresses.

        neurons: number of groups that are neurons. rewards: floats ``[T, B]``, or ``[0, B]`` for none.
        """
        _ = digest
        for g in range(neurons):
            _list_spikes(groups[g], batch, work.counts[g], work)
        for t in range(steps):
            for g in range(neurons):
                group = groups[g]
                if group.is_input:
                    copy(group.spikes, group.x + t * batch * group.size, batch * group.size, work.bits)
                else:
                    for c in range(group.first, group.last):
                        if connections[c].carries:
                            _carry(groups, connections[c].source, batch, work)
                    for b in range(batch):
                        _sum_currents(groups, connections, group, b, t * batch + b, work)
                        _integrate(group, b, work)
                _list_spikes(group, batch, work.counts[g], work)
                _move_trace(group, batch, work.counts[g], work)
                if not group.is_input:
                    _reset(group, batch, work.counts[g], work)
                if group.adapts:
                    _adapt(group, batch, work.counts[g], work)
                _record_step(group, t, batch, work)
            for p in range(len(plasticities)):
                connection = connections[plasticities[p].connection]
                learn(plasticities[p], connection, groups, batch, t, steps, rewards, work)

    return run_steps


_sources = [Path(str(module.__file__)).read_bytes() for module in (learning, memory)]
run_steps = _compiled(hashlib.sha256(b"".join(_sources)).hexdigest())
