"""The names that a function reads from outside, found in its bytecode."""

import dis
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from types import CodeType

Chain = tuple[str, ...]  # a global or closure variable, and the attributes read from it: torch.nn.functional.relu

ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")
FREE = ("LOAD_DEREF", "LOAD_CLOSURE", "LOAD_FROM_DICT_OR_DEREF")
WRITES = ("STORE_GLOBAL", "DELETE_GLOBAL", "STORE_DEREF", "DELETE_DEREF")
# instructions that read names in ways that are not analysed here
UNKNOWN = {"IMPORT_NAME", "IMPORT_FROM", "IMPORT_STAR", "LOAD_NAME", "STORE_NAME", "LOAD_BUILD_CLASS"}
UNKNOWN |= {"LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_GLOBALS", "LOAD_LOCALS"}
DUNDERS = {"__init__", "__name__", "__len__", "__getitem__", "__call__"}  # a step may name these attributes


@dataclass(frozen=True)
class Reads:
    """The names that the code of a function reads from outside, including its lambdas, comprehensions and generators.

    complete: whether all such names are known. write: the first line that assigns a global or a variable of an
    enclosing function, or None. reads_first: whether the first argument (`self` of a method) is read.
    """

    globals: frozenset[Chain]
    free: frozenset[Chain]
    complete: bool
    write: tuple[str, int] | None
    reads_first: bool


@functools.lru_cache(maxsize=1024)
def reads_of(code: CodeType) -> Reads:
    """The reads of a function, given its code."""
    chains: dict[str, set[Chain]] = {"global": set(), "free": set()}
    known, write, first = True, None, not code.co_argcount  # with *args only, it may be read as a part of them
    argument = code.co_varnames[0] if code.co_argcount else ""
    for part in _with_nested(code):
        instructions = [each for each in dis.get_instructions(part) if each.opname != "EXTENDED_ARG"]
        line = part.co_firstlineno
        for number, instruction in enumerate(instructions):
            name, value = instruction.opname, instruction.argval
            line = _line_of(instruction) or line
            own_cell = name in FREE + WRITES[2:] and value not in code.co_freevars
            if name == "LOAD_GLOBAL" or (name in FREE and not own_cell):
                attributes = takewhile(lambda each: each.opname in ATTRIBUTES, instructions[number + 1 :])
                chain = (value, *(each.argval for each in attributes))
                chains["global" if name == "LOAD_GLOBAL" else "free"].add(chain)
            elif name in WRITES and not own_cell:
                write = write or (str(value), line)
            elif name in UNKNOWN or (name in ATTRIBUTES and _introspects(value)):
                known = False
            elif part is code and argument in (value if isinstance(value, tuple) else (value,)):
                first = True
    first = first or argument in code.co_cellvars
    return Reads(frozenset(chains["global"]), frozenset(chains["free"]), known, write, first)


def _introspects(attribute: str) -> bool:
    """Whether an attribute may lead from an object to its module's variables, as `function.__globals__` does."""
    return attribute.startswith("__") and attribute not in DUNDERS


def _with_nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_nested(constant)


def _line_of(instruction: dis.Instruction) -> int | None:
    positions = instruction.positions
    return positions.lineno if positions else None
