"""The layout of the kernel's tables and memory, and access to it."""

from typing import Any, NamedTuple

import numba
import numpy as np
from numba.extending import intrinsic as _intrinsic
from numba.np.numpy_support import carray as _carray

intrinsic: Any = _intrinsic  # Numba's type hints do not describe these functions
carray: Any = _carray

LINEAR, ONE_TO_ONE, LATERAL_INHIBITION = range(3)
BLOCK = 64  # rows of weights that are changed together


def _record(integers: str, floats: str = "") -> np.dtype[Any]:
    return np.dtype([(name, np.int64) for name in integers.split()] + [(name, np.float64) for name in floats.split()])


GROUP = _record(
    "size offset is_input subtracts_trace first last has_trace nearest adapts shares_adaptation origin "
    "x drive out spikes trace voltage waiting adaptation "
    "trace_decay trace_gain voltage_decay voltage_gain threshold rest reset refractory "
    "adaptation_decay adaptation_gain delay countdown "
    "spikes_history trace_history voltage_history threshold_history"
)
"""One group of neurons. It has the connections from ``first`` to before ``last``, and its spikes are listed from
``offset``. From ``x`` on all are addresses, 0 for what there is not.

After the neurons stand groups that a connection carries: what has arrived of the group ``origin``."""

CONNECTION = _record("kind source target weight carries")

PLASTICITY = _record(
    "connection nearest slow_pre slow_post eligibility",
    "low high potentiation depression trace_target weight_dependence "
    "triplet_potentiation triplet_depression pre_decay post_decay rate decay scale",
)
"""One connection and its rule. ``slow_pre`` and ``slow_post`` (addresses) make it one of triplets, ``eligibility`` one
that waits for a reward; its true value is ``scale`` times what stands there."""


class Work(NamedTuple):
    """Scratch memory of the kernel."""

    current: Any  # floats [largest group]: I; later a row of weight changes
    block: Any  # floats [BLOCK · largest group]: weight changes of a block of rows
    spiking: Any  # int32 [sum of sizes · B]: the neurons that spike, for each group and sample
    counts: Any  # int32 [groups, B]: the number of neurons that spike
    heads: Any  # int32 zeros [2, (2 + B) · largest group]: see _index
    bits: Any  # uint8 [1], gives the type of bytes


@intrinsic
def _pointer(typing: Any, address: Any, like: Any) -> Any:
    """The address as a pointer to elements with the dtype of the array ``like``."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], context.get_value_type(signature.return_type))

    return numba.types.CPointer(like.dtype)(address, like), emit


@numba.njit(inline="always")
def array(address: int, size: int, like: Any) -> Any:
    return carray(_pointer(address, like), (size,))


@numba.njit
def copy(target: int, source: int, size: int, like: Any) -> None:
    to, what = array(target, size, like), array(source, size, like)
    for k in range(size):
        to[k] = what[k]
