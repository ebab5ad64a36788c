"""Numbers of a step that change from call to call become parameters of its program, so that one kernel serves all
values, for example of an annealed slope."""

import itertools

import torch

from bionets.scan.graph import Graph, Node
from bionets.scan.last_used import LastUsed

# by the text of graphs without the values of their constants: the values in the first of these graphs, and the numbers
# of the constants that have differed since
_constants: LastUsed[tuple[tuple[float, ...], frozenset[int]]] = LastUsed(1024)


def without_varying_constants(
    graphs: list[Graph], params: int, dtype: torch.dtype
) -> tuple[list[Graph], tuple[float, ...]]:
    """Replace the constants that have differed between otherwise equal graphs by parameters, numbered after the
    existing `params`, with a gradient of 0. Returns the new graphs and the values of these constants."""
    text = "\n".join([str(dtype), *(graph.text(constants=False) for graph in graphs)])
    values = tuple(node.value for graph in graphs for node in graph.nodes if node.op == "constant")
    first, varying = _constants.get(text) or (values, frozenset[int]())
    varying |= {i for i, (a, b) in enumerate(zip(first, values, strict=True)) if float(a).hex() != float(b).hex()}
    _constants[text] = (first, varying)
    if not varying:
        return graphs, ()
    names = {constant: f"params{params + i}" for i, constant in enumerate(sorted(varying))}
    result, numbers = [], itertools.count()
    for graph in graphs:
        nodes = []
        for node in graph.nodes:
            constant = next(numbers) if node.op == "constant" else None
            nodes.append(Node("input", name=names[constant]) if constant in names else node)
        zeros = dict.fromkeys((f"grad_{name}" for name in names.values()), len(nodes))
        result.append(Graph((*nodes, Node("constant", value=0.0)), {**graph.outputs, **zeros}))
    return result, tuple(values[i] for i in sorted(varying))
