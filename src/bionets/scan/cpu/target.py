"""The processor for which kernels are compiled."""

import functools
import os
from dataclasses import dataclass

import llvmlite.binding as llvm

LEVELS = {"x86-64-v2": 16, "x86-64-v3": 32, "x86-64-v4": 64}  # bytes of a vector


@dataclass(frozen=True)
class Target:
    """`masked_loads`, `masked_stores`: whether a vector with masked last elements is as fast as a whole vector."""

    triple: str
    cpu: str
    features: str
    vector_bytes: int
    fused: bool  # fused multiply-add instructions
    masked_loads: bool
    masked_stores: bool

    @property
    def architecture(self) -> str:
        name = self.triple.partition("-")[0]
        return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)

    @property
    def tile_rows(self) -> int:
        """Rows of a tile of a matrix product, so that its sums fit the registers."""
        return 4 if self.vector_bytes == 32 else 6

    @property
    def tile_vectors(self) -> int:
        return 3 if self.vector_bytes == 32 else 4

    def lanes(self, size: int) -> int:
        """Elements of `size` bytes in a vector."""
        return self.vector_bytes // size

    def padded(self, columns: int, size: int) -> int:
        """The number of columns rounded up to whole vectors."""
        lanes = self.lanes(size)
        return -(-columns // lanes) * lanes

    def machine(self) -> llvm.TargetMachine:
        initialize()
        target = llvm.Target.from_triple(self.triple)
        return target.create_target_machine(cpu=self.cpu, features=self.features, opt=2, reloc="pic", jit=True)


@functools.cache
def host() -> Target:
    """This machine, or the level given by BIONETS_CPU: x86-64-v2, x86-64-v3 (AVX2) or x86-64-v4 (AVX-512).

    Raises:
        ValueError: the level is unknown, or needs wider vectors than this machine has.
    """
    initialize()
    triple, level = llvm.get_process_triple(), os.environ.get("BIONETS_CPU", "")
    features = llvm.get_host_cpu_features()
    x86 = triple.startswith(("x86_64", "amd64"))
    width = (64 if features.get("avx512f") else 32 if features.get("avx2") else 16) if x86 else 16
    if not level:
        return _target(triple, llvm.get_host_cpu_name(), features.flatten(), width)
    chosen = named(triple, level)
    if chosen.vector_bytes > width:
        raise ValueError(
            f"BIONETS_CPU={level} needs vectors of {8 * chosen.vector_bytes} bits, and this processor has {8 * width}"
        )
    return chosen


def named(triple: str, cpu: str) -> Target:
    """A target by the name of its CPU, which may differ from this machine's."""
    x86 = triple.startswith(("x86_64", "amd64"))
    if x86 and cpu not in LEVELS:
        raise ValueError(f"unknown BIONETS_CPU {cpu!r}; choose one of {', '.join(LEVELS)}")
    return _target(triple, cpu, "", LEVELS[cpu] if x86 else 16)


def _target(triple: str, cpu: str, features: str, width: int) -> Target:
    x86 = triple.startswith(("x86_64", "amd64"))
    return Target(triple, cpu, features, width, not x86 or width > 16, width >= 32, width == 64)


@functools.cache
def initialize() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
