"""Prints a program as the source of one Triton kernel, forward or backward, over all of time.

Each instance of the kernel owns a tile of the elements of [B, N] and carries its state through time in registers:

    forward                                     backward
    for each time step                          for each time step, last to first
        load x                                      load x, the state before the step, the gradient of y
        for each stage                              for each stage but the last: as forward
            recurrent = state @ weight.T            for each stage, last to first
            stage                                       recurrent = state @ weight.T
        store y and history                             vector-Jacobian product
                                                        state gradient += recurrent gradient @ weight
                                                    store the gradient of x

A tile is BLOCK elements of the flattened [B, N], whatever their row, or, with a weight, ROWS whole rows. The weight stays
on chip. All tensors are handed in as they lie at the step that is walked first, so that the kernel knows no direction:
it adds `x0_time` to go on in time, and subtracts it to go back.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bionets.scan.graph import Graph
from bionets.scan.program import Program
from bionets.scan.trace import UnsupportedStepError

OPERATIONS = {
    "neg": "-{0}",
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "divide({0}, {1})",
    "pow": "power({0}, {1})",
    "lt": "{0} < {1}",
    "le": "{0} <= {1}",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "eq": "{0} == {1}",
    "ne": "{0} != {1}",
    "and": "{0} & {1}",
    "or": "{0} | {1}",
    "xor": "{0} ^ {1}",
    "not": "{0} == 0",
    "where": "tl.where({0}, {1}, {2})",
    "float": "{0}.to(DTYPE)",
    "round": "round_even({0})",
    "sqrt": "square_root({0})",
    **{op: f"tl.{op}({{0}})" for op in ("abs", "log", "sin", "cos", "erf", "floor", "ceil")},
    **{op: f"{op}({{0}})" for op in ("exp", "expm1", "log1p", "tanh", "sigmoid", "atan", "trunc", "sign")},
    **{op: f"{op}({{0}}, {{1}})" for op in ("maximum", "minimum")},
}
"""For each operation of a graph its expression in Triton."""
