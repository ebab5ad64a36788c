"""A plastic network during one presentation: spikes, traces, eligibility traces and weights at each step."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from matplotlib.axes import Axes
from torch import Tensor

from bionets.analysis.spiking_figures import draw_spikes, finish, panels_in_a_column
from bionets.analysis.style import marker_of, styled
from bionets.layers.plastic import Network, WeightedConnection

MOST_TRACES = 4  # maximum number of neurons of a group, or synapses of a connection, drawn as lines


@dataclass
class Presentation:
    """Values recorded after each step, by the name of the group or of the connection.

    Attributes:
        spikes: spikes of every group, bool ``[T, N]``.
        traces: traces of every group that has a trace, ``[T, N]``.
        eligibility: eligibility traces of the S synapses of a connection whose weights change most, ``[T, S]``, if its
            rule has them.
        weights: weights of these synapses before the first step, after each step, and after the reward, ``[T + 2, S]``.
        paths: the names of the source and the target of every connection.
    """

    spikes: dict[str, Tensor]
    traces: dict[str, Tensor] = field(default_factory=dict)
    eligibility: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    paths: dict[str, tuple[str, str]] = field(default_factory=dict)


@torch.no_grad()
def trace_presentation(
    network: Network,
    x: Tensor,
    reward: float | None = None,
    *,
    currents: Mapping[str, Tensor] | None = None,
) -> Presentation:
    """Present spikes x ``[T, 1, *shape]`` to a copy of the network that starts at rest and learns, and record every
    step. The network itself does not change.

    Args:
        network: a network with one `Input`.
        x: the spikes of one sample.
        reward: reward after the last step, for reward-modulated rules.
        currents: as for `Network`.
    """
    currents = dict(currents or {})
    whole, stepped = copied(network), copied(network)
    whole(x, currents=currents)
    if reward is not None:
        whole.reinforce(reward)
    synapses = {
        name: most_changed(matrix_of(network, name), matrix_of(whole, name))
        for name, connection in network.connections.items()
        if any(connection in rule.state for rule in network.rules)
    }
    spikes: dict[str, list[Tensor]] = {name: [] for name in network.neurons}
    traces: dict[str, list[Tensor]] = {name: [] for name, each in network.neurons.items() if each.has_trace}
    eligibility: dict[str, list[Tensor]] = {}
    weights = {name: [matrix_of(stepped, name)[places]] for name, places in synapses.items()}
    for t in range(len(x)):
        stepped(x[t : t + 1], currents={name: values[t : t + 1] for name, values in currents.items()})
        for name, neurons in stepped.neurons.items():
            spikes[name].append(neurons.spikes.flatten().clone())  # type: ignore[union-attr]
            if name in traces:
                traces[name].append(neurons.trace.flatten().clone())  # type: ignore[union-attr]
        for name, places in synapses.items():
            weights[name].append(matrix_of(stepped, name)[places])
            if (trace := eligibility_of(stepped, name)) is not None:
                eligibility.setdefault(name, []).append(trace[places])
    if reward is not None:
        stepped.reinforce(reward)
    for name, places in synapses.items():
        weights[name].append(matrix_of(stepped, name)[places])
    return Presentation(joined(spikes), joined(traces), joined(eligibility), joined(weights), dict(network.paths))


def copied(network: Network) -> Network:
    """A copy at rest, in training mode."""
    other = copy.deepcopy(network).train()
    other.reset()
    return other


def matrix_of(network: Network, name: str) -> Tensor:
    """The weights of a connection that learns, flattened."""
    connection = network.connections[name]
    assert isinstance(connection, WeightedConnection)
    return connection.matrix.flatten()


def most_changed(before: Tensor, after: Tensor) -> Tensor:
    """The indices of the few weights that differ most."""
    return (after - before).abs().topk(min(MOST_TRACES, len(before))).indices


def eligibility_of(network: Network, name: str) -> Tensor | None:
    """The eligibility traces of a connection, flattened; None if its rules have no such traces."""
    connection = network.connections[name]
    states = (state for rule in network.rules for each, state in rule.state.items() if each is connection)
    found = next((state["eligibility"] for state in states if "eligibility" in state), None)
    return None if found is None else found.flatten()


def joined(steps: Mapping[str, list[Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack(each).cpu() for name, each in steps.items()}


@styled
def draw_presentation(file: Path, presentation: Presentation, title: str) -> Path:
    """Draw panels over time, as png and svg: the spikes of each group, the traces of its neurons that spike most, and
    for each connection that learns, the eligibility traces and weights of the synapses that change most.
    """
    shown = presentation
    parts = (shown.spikes, shown.traces, shown.eligibility, shown.weights)
    figure, panels = panels_in_a_column(sum(map(len, parts)), 0.95)
    places = iter(panels)
    for name, spikes in shown.spikes.items():
        axes = next(places)
        axes.set_title(f"{name}: spikes, {draw_spikes(axes, spikes)} neurons", loc="left")
        if name in shown.traces:
            most = spikes.sum(0).topk(min(MOST_TRACES, spikes.shape[1])).indices
            draw_lines(
                next(places), f"{name}: spike traces of {len(most)} neurons", "trace", shown.traces[name][:, most]
            )
    for name, weights in shown.weights.items():
        ends = shown.paths.get(name, ())
        path = " → ".join(ends) if name == "_".join(ends) else name
        count = f"{weights.shape[1]} synapses"
        if name in shown.eligibility:
            text = f"{path}: eligibility traces of {count}"
            draw_lines(next(places), text, "eligibility", shown.eligibility[name])
        draw_lines(next(places), f"{path}: weights of the {count} that change most", "weight", weights[1:])
    figure.align_ylabels(panels)
    steps = len(next(iter(shown.spikes.values())))
    return finish(figure, panels, steps + 1, file, title)


def draw_lines(axes: Axes, title: str, label: str, values: Tensor) -> None:
    for number, line in enumerate(values.T):
        axes.plot(line, color=f"C{number}", linewidth=0.9, marker=marker_of(line))
    axes.set_title(title, loc="left")
    axes.set_ylabel(label)
