"""Compile printed Python with Numba to an object file, keep it as the C++ kernels are kept, and load it.

Numba and LLVM give the machine code; the file is ours, with its checksum, and loading one needs llvmlite alone. LLVM
contracts nothing and reorders nothing unless it is asked to, and it is not asked.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from snn4.core.optional import need
from snn4.kernels import build

__all__ = ["NumbaLibrary", "load_numba", "no_numba_reason"]

_FUNCTIONS = ("forward", "backward")


def no_numba_reason() -> str | None:
    """Why Numba cannot stand in, or None."""
    missing = [name for name in ("numba", "llvmlite") if importlib.util.find_spec(name) is None]
    return f"{missing[0]} is not installed; pip install 'snn4[numba]'" if missing else None


def load_numba(source: str, *, label: str) -> NumbaLibrary:
    """The kernels of printed Python, from memory, from the cache, or compiled now.

    Raises:
        MissingLibraryError: Numba is not installed.
        BuildError: it refused the source.
    """
    need("llvmlite", "to run kernels without a C++ compiler")
    versions = [f"{name} {metadata.version(name)}" for name in ("numba", "llvmlite")]
    support = Path(__file__).with_name("numba_support.py").read_text(encoding="utf-8")
    return build.kept(
        (source, support, *versions),
        suffix=".o",
        label=f"{label} (Numba)",
        make=lambda place: _compile(source, label, place),
        load=NumbaLibrary,
    )


def _compile(source: str, label: str, place: Path) -> bytes:
    """The object file of the printed functions."""
    numba: Any = need("numba", "to compile kernels without a C++ compiler")
    llvm = _llvm()
    with tempfile.TemporaryDirectory(prefix="snn4-build-") as folder:
        path = Path(folder) / "kernel.py"
        path.write_text(source, encoding="utf-8")
        place.with_suffix(".py").write_text(source, encoding="utf-8")
        spec = importlib.util.spec_from_file_location("snn4_numba_kernel", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    i64 = numba.types.int64
    whole = llvm.parse_assembly("")
    for name in _FUNCTIONS:
        compiled = numba.njit(i64(i64, i64, i64, i64), error_model="numpy", fastmath=False, no_cpython_wrapper=True)
        try:
            function = compiled(getattr(module, name))
        except Exception as problem:
            lines = str(problem).strip().splitlines() or [type(problem).__name__]
            raise build.BuildError(
                f"Numba failed on {label} ({place.with_suffix('.py')}): {lines[0]}",
                "a version of Numba that takes this code",
                "The reference loop runs in its place.",
            ) from problem
        (signature,) = function.signatures
        text = _without_wrapper(function.inspect_llvm(signature))
        part = llvm.parse_assembly(text.replace(_defined(text), f"snn4_{name}"))
        whole.link_in(part)
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, reloc="pic"
    )
    return machine.emit_object(whole)


def _without_wrapper(text: str) -> str:
    """LLVM's code without the function for callers in C, which refers to Python."""
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        inside = inside or (line.startswith("define") and "@cfunc." in line)
        if not inside:
            kept.append(line)
        elif line == "}":
            inside = False
    return "\n".join(kept)


def _defined(text: str) -> str:
    """The name of the one function in LLVM's code."""
    (line,) = (line for line in text.splitlines() if line.startswith("define"))
    return line.partition("@")[2].partition("(")[0].strip('"')


@functools.cache
def _llvm() -> Any:
    llvm = need("llvmlite.binding", "to run kernels without a C++ compiler")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


class NumbaLibrary:
    """Loaded kernels: `call("forward", slots, units, threads, room)`.

    Args:
        path: the object file.
    """

    def __init__(self, path: Path) -> None:
        llvm = _llvm()
        machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(path.read_bytes()))
        self._engine.finalize_object()
        # Numba's own way to call: result, exception, arguments
        kind = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 4)
        self._functions = {name: kind(self._engine.get_function_address(f"snn4_{name}")) for name in _FUNCTIONS}

    def call(self, name: str, slots: Sequence[int], units: int, threads: int, room: int) -> None:
        """Do all pieces of the work.

        Args:
            name: `"forward"` or `"backward"`.
            slots: what the function reads from its array.
            units: how many pieces there are.
            threads: how many share them.
            room: bytes of working memory for each thread.
        """
        array = (ctypes.c_int64 * len(slots))(*slots)
        function = self._functions[name]

        def work(part: int) -> None:
            memory = np.empty(room + 64, np.uint8)
            start = (memory.ctypes.data + 63) // 64 * 64
            result, problem = ctypes.c_int64(), ctypes.c_void_p()
            lo, hi = units * part // threads, units * (part + 1) // threads
            function(ctypes.addressof(result), ctypes.addressof(problem), ctypes.addressof(array), lo, hi, start)

        threads = max(1, min(threads, units))
        if threads == 1:
            work(0)
        else:
            list(_pool(os.getpid(), threads).map(work, range(threads)))


@functools.lru_cache(maxsize=4)
def _pool(_process: int, threads: int) -> ThreadPoolExecutor:
    # a child process inherits the object, but none of its threads
    return ThreadPoolExecutor(threads, thread_name_prefix="snn4")
