"""Numbers of a step that change from call to call become parameters of its program, so that one kernel serves all
values, for example of an annealed slope."""

from dataclasses import dataclass

import torch

from bionets.scan.graph import Graph, Node
from bionets.scan.last_used import LastUsed


@dataclass(frozen=True)
class _Constants:
    """The constants of graphs that are otherwise equal: the values in the first graph, and the numbers of the constants
    that have differed since.
    """

    first: tuple[float, ...]
    varying: frozenset[int]


_constants: LastUsed[_Constants] = LastUsed(1024)  # by the text of the graphs without the values of their constants


def without_varying_constants(
    graphs: list[Graph], params: int, dtype: torch.dtype
) -> tuple[list[Graph], tuple[float, ...]]:
    """Replace the constants that have differed between otherwise equal graphs by parameters, numbered after the
    existing `params`. Returns the new graphs and the values of these constants."""
    text = "\n".join([str(dtype), *(graph.text(constants=False) for graph in graphs)])
    values = tuple(node.value for graph in graphs for node in graph.nodes if node.op == "constant")
    known = _constants.get(text) or _Constants(values, frozenset())
    differing = {
        i for i, (a, b) in enumerate(zip(known.first, values, strict=True)) if float(a).hex() != float(b).hex()
    }
    varying = known.varying | differing
    _constants[text] = _Constants(known.first, varying)
    numbers = {constant: params + i for i, constant in enumerate(sorted(varying))}
    constants = iter(range(len(values)))
    result = []
    for graph in graphs:
        places = [next(constants) if node.op == "constant" else None for node in graph.nodes]
        nodes = tuple(
            node if place is None or place not in numbers else Node("input", name=f"params{numbers[place]}")
            for place, node in zip(places, graph.nodes, strict=True)
        )
        result.append(_with_parameters(Graph(nodes, graph.outputs), list(numbers.values())))
    return result, tuple(values[i] for i in sorted(varying))


def _with_parameters(graph: Graph, numbers: list[int]) -> Graph:
    """The graph with a gradient of 0 for the parameters of these numbers."""
    if not numbers:
        return graph
    zero = len(graph.nodes)
    outputs = dict(graph.outputs) | {f"grad_params{number}": zero for number in numbers}
    return Graph((*graph.nodes, Node("constant", value=0.0)), outputs)
