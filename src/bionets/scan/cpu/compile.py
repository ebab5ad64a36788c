"""Compiles IR to machine code, which runs without the interpreter's lock and is stored on disk."""

import hashlib
import itertools
from collections.abc import Mapping

import llvmlite
import llvmlite.binding as llvm

import bionets
from bionets.scan.compile_time import compiling
from bionets.scan.cpu import cache
from bionets.scan.cpu.ir import Module
from bionets.scan.cpu.target import Target, host
from bionets.scan.dump import dump, is_dumping
from bionets.scan.locks import ForkSafeLock

_lock = ForkSafeLock()
_functions: dict[str, dict[str, int]] = {}
_libraries: list[llvm.ResourceTracker] = []  # they own the code, which is never unloaded
_jit: llvm.LLJIT | None = None
_numbers = itertools.count()


def function_address(module: Module, name: str, label: str = "", imports: Mapping[str, int] | None = None) -> int:
    """`function_addresses` of one function."""
    return function_addresses(module, (name,), label or name, imports or {})[name]


def function_addresses(
    module: Module, names: tuple[str, ...], label: str, imports: Mapping[str, int] | None = None
) -> dict[str, int]:
    """The addresses of compiled functions, taken from this process, loaded from the disk, or compiled.

    Args:
        module: the module that defines them.
        label: names the files in the folder $BIONETS_DUMP.
        imports: addresses of functions that the module calls, by name.
    """
    text = str(module)
    key = hashlib.sha256(f"{_environment()}\n{module.target}\n{names}\n{text}".encode()).hexdigest()[:32]
    with _lock:
        if key not in _functions:
            dump(f"{label}.ll", text)
            code = None if is_dumping() else cache.read(key)
            if code is None:
                with compiling():
                    code = _compile(text, module.target, label)
                cache.write(key, code)
            _functions[key] = _load(code, names, imports or {})
        return _functions[key]


def _environment() -> str:
    """The versions with which a kernel on the disk was compiled."""
    return f"bionets {bionets.__version__} llvmlite {llvmlite.__version__}"


def _compile(text: str, target: Target, label: str) -> bytes:
    machine = target.machine()
    optimised = optimise(text, machine)
    dump(f"{label}.s", lambda: str(machine.emit_assembly(optimised)))
    return bytes(machine.emit_object(optimised))


def optimise(text: str, machine: llvm.TargetMachine) -> llvm.ModuleRef:
    """Parse a module and run LLVM's passes. Loops are not vectorised, because they are already written in vectors."""
    module = llvm.parse_assembly(text)
    module.data_layout = str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = options.loop_interleaving = False
    options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, options)
    passes = builder.getModulePassManager()
    passes.run(module, builder)
    return module


def _load(code: bytes, names: tuple[str, ...], imports: Mapping[str, int]) -> dict[str, int]:
    global _jit
    if _jit is None:
        _jit = llvm.create_lljit_compiler(host().machine())
    library = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
    for name in names:
        library.export_symbol(name)
    for name, address in imports.items():
        library.import_symbol(name, address)
    loaded = library.link(_jit, f"bionets{next(_numbers)}")
    _libraries.append(loaded)
    return {name: int(loaded[name]) for name in names}
