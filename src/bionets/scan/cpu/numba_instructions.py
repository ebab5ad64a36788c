"""Writes a graph as the instructions of a stage, for which see `numba_stage`."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping

from bionets.scan.graph import Graph


class Instructions:
    """Call it to add an instruction; that gives its number. As a string it is what the kernel's text holds."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.lines: list[str] = []

    def __call__(self, operation: str, *operands: object) -> int:
        self.lines.append(f"    ({', '.join([repr(operation), *map(str, operands)])}),")
        return len(self.lines) - 1

    def __str__(self) -> str:
        return "\n".join([f"stage({self.bits}, [", *self.lines, "])"])

    def load(self, slot: str) -> int:
        """From the block."""
        return self("load", 0, slot, 0)

    def evaluate(self, graph: Graph, fused: Mapping[int | str, int], read: Callable[[str], int]) -> dict[int, int]:
        """Add all nodes; gives the instruction of each. Products that are `fused` into a sum have none of their own.

        read: adds what reads the input of this name.
        """
        values, products = dict[int, int](), set(fused.values())
        for number, node in enumerate(graph.nodes):
            if node.op == "input":
                values[number] = read(node.name)
            elif node.op == "constant":
                values[number] = self("constant", node.value)
            elif number in fused:
                values[number] = self._multiply_add(graph, number, fused[number], values)
            elif number not in products:
                values[number] = self(node.op, *(values[i] for i in node.inputs))
        return values

    def _multiply_add(self, graph: Graph, number: int, product: int, values: Mapping[int, int]) -> int:
        """A sum or difference, one of whose terms is a product."""
        first, second = graph.nodes[number].inputs
        a, b = (values[i] for i in graph.nodes[product].inputs)
        other = values[second if first == product else first]
        if graph.nodes[number].op == "sub":
            if first == product:
                other = self("neg", other)
            else:
                a = self("neg", a)
        return self("fma", a, b, other)


def products_in_sums(graph: Graph, added: Collection[str]) -> dict[int | str, int]:
    """Products that nothing but one sum reads, by the number of the sum, or by the name of an output that is `added` to
    what is there: each pair is one instruction.

    Of the gradient alone: forward values are rounded as in eager torch, so that thresholds fall on the same side.
    """
    readers = Counter(i for node in graph.nodes for i in node.inputs) + Counter(graph.outputs.values())
    of_gradient, fused = set[int](), dict[int | str, int]()

    def product(number: int) -> bool:
        return graph.nodes[number].op == "mul" and number in of_gradient and readers[number] == 1

    for number, node in enumerate(graph.nodes):
        if node.name.startswith("grad_") or not of_gradient.isdisjoint(node.inputs):
            of_gradient.add(number)
        if node.op in ("add", "sub"):
            for i in filter(product, node.inputs):
                fused[number] = i
    return fused | {output: graph.outputs[output] for output in added if product(graph.outputs[output])}
