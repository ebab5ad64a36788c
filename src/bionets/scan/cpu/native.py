"""Machine code: what the host's CPU can do, and object files made callable. Needs llvmlite, but not Numba."""

import ctypes
import ctypes.util
import functools

import llvmlite.binding as llvm

VECTOR_BYTES = 64 if llvm.get_host_cpu_features().get("avx512f") else 32
TILE_ROWS = 6 if VECTOR_BYTES == 64 else 4  # rows of a tile of a matrix product, so that its sums fit the registers
LANES = 16  # a block's element count is rounded up to whole vectors of any element
PLACES = 31  # tensors that a printed stage tells apart; further ones count as one
DEPTH = 128  # terms summed at a time in a weight gradient, so that its second factor stays in the cache

_engines: list[llvm.ExecutionEngine] = []  # they own the code, which is never unloaded


def padded(columns: int, size: int) -> int:
    """The number of columns rounded up to whole vectors of elements of `size` bytes."""
    lanes = VECTOR_BYTES // size
    return -(-columns // lanes) * lanes


def host() -> str:
    """The CPU that compiled code is for."""
    return f"{llvm.get_process_triple()} {llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


def load_object(code: bytes, symbol: str) -> int:
    """Load an object file and return the address of one of its functions. Not for two threads at once."""
    _prepare()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(symbol)
    if not address:
        raise ValueError(f"the object file has no function {symbol}")
    _engines.append(engine)
    return int(address)


@functools.cache
def _prepare() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # One symbol that cannot be resolved leaves all of them unresolved, without a word. So libm, which float64 kernels
    # call, must be there, and what Numba's wrappers refer to for errors, which our kernels cannot raise.
    llvm.load_library_permanently(ctypes.util.find_library("m") or "libm.so.6")
    never_called = ctypes.pythonapi.PyErr_Clear
    for name, function in (
        ("numba_gil_ensure", ctypes.pythonapi.PyGILState_Ensure),
        ("numba_gil_release", ctypes.pythonapi.PyGILState_Release),
        ("numba_unpickle", never_called),
        ("numba_do_raise", never_called),
        ("numba_runtime_build_excinfo_struct", never_called),
        ("NRT_Free", never_called),
    ):
        if llvm.address_of_symbol(name) is None:
            llvm.add_symbol(name, ctypes.cast(function, ctypes.c_void_p).value)


def _target_machine() -> llvm.TargetMachine:
    return llvm.Target.from_default_triple().create_target_machine(jit=True)
