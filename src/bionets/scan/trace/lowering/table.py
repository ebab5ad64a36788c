"""The table of lowerings, which translate torch operations into operations of a graph (see `operations`).

A lowering receives the builder and the arguments of the operation, with tensors replaced by nodes (`Value`).
The builder knows the kind of the result (`b.result`) and the kind to which torch promotes the arguments (`b.common`).
An operation without a lowering is replaced by torch's decomposition of it, and refused if there is none. Operations
whose decomposition gives the bits and the gradients of eager torch need no lowering.
"""

from collections.abc import Callable
from typing import Any

from bionets.scan.builder import GraphBuilder

# operations that change neither memory nor values; a result with the address of its argument is the same node
IGNORED = {"detach", "alias", "view", "expand", "view_as", "lift_fresh", "_unsafe_view", "squeeze", "unsqueeze"}
IGNORED |= {"_assert_tensor_metadata"}
# operations that use the shape of their argument, not its values
SHAPE_ONLY = {"zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty"}

Lowering = Callable[..., Any]
LOWERINGS: dict[str, Lowering] = {}


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    """Enter a function into the table under the names of torch operations."""

    def register(lowering: Lowering) -> Lowering:
        LOWERINGS.update(dict.fromkeys(names, lowering))
        return lowering

    return register


def is_int(kind: str) -> bool:
    return "int" in kind


def floats_only(b: GraphBuilder) -> None:
    """Raise TypeError if the result is not a float."""
    if is_int(b.result) or b.result == "bool":
        raise TypeError("only for floats")
