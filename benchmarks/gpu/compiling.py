"""Kernels compiled for a GPU as they would be launched; the GPU need not be present."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from bionets.scan import interface
from bionets.scan.gpu import kernels

TYPES = {torch.float32: "*fp32", torch.float64: "*fp64", torch.bfloat16: "*bf16", torch.float16: "*fp16"}
TYPES |= {torch.int64: "*i64", torch.int32: "*i32", torch.bool: "*i1", torch.uint8: "*u8"}


@dataclass(frozen=True)
class Launch:
    """A kernel, its arguments by name, and the sizes of its launch."""

    kernel: kernels.Kernel
    values: dict[str, Any]
    warps: int
    wide: bool
    block: int
    stages: int


@contextmanager
def recorded_launches() -> Iterator[list[Launch]]:
    """A context in which scans of CPU tensors use the Triton backend. Their launches are recorded instead of executed,
    and their results are undefined.
    """
    found: list[Launch] = []

    def record(kernel: kernels.Kernel, values: dict[str, Any], instances: int, *sizes: Any) -> None:
        found.append(Launch(kernel, {name: values[name] for name in kernel.source.arguments}, *sizes))

    with (
        patch.object(kernels, "_launch", record),
        patch.object(interface, "_choose", lambda arguments, backend: "triton"),
    ):
        yield found


def compile_ahead(launch: Launch, architecture: int) -> Any:
    """Compile the kernel of this launch with Triton, for a GPU of this compute capability (times ten)."""
    import triton.language as tl

    constants = {
        "BLOCK": launch.block,
        "OFFSET": tl.int64 if launch.wide else tl.int32,
        "STAGES": launch.stages,
    }
    kernel = launch.kernel
    options = {"num_warps": launch.warps, "enable_fp_fusion": kernel.fuses}
    return compile_function(kernel.function, launch.values, constants, kernel.source.plain, options, architecture)


def compile_function(
    function: Any,
    values: Mapping[str, Any],
    constants: Mapping[str, Any],
    plain: Collection[str],
    options: dict[str, Any],
    architecture: int,
) -> Any:
    """Compile a function of `triton.jit` for these arguments. plain: the integers for which it is not specialised."""
    import triton
    from triton.backends.compiler import GPUTarget

    signature, constexprs, attributes = {}, {}, {}
    for number, name in enumerate(function.arg_names):
        value = constants.get(name, values.get(name))
        if name in constants or (not isinstance(value, Tensor) and value == 1 and name not in plain):
            signature[name], constexprs[number,] = "constexpr", value
            continue
        signature[name] = TYPES[value.dtype] if isinstance(value, Tensor) else "i32"
        aligned = value.data_ptr() % 16 == 0 if isinstance(value, Tensor) else value % 16 == 0 and name not in plain
        if aligned:
            attributes[number,] = [["tt.divisibility", 16]]
    source = triton.compiler.ASTSource(function, signature, constexprs, attributes)
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)
