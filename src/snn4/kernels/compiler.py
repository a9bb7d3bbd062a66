"""The C++ compiler of this machine, its CPU, and one translation unit compiled."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from snn4.core.errors import Snn4Error, StorageError
from snn4.core.files import write_text

__all__ = [
    "FLAGS",
    "BuildError",
    "Compiler",
    "compiled",
    "cpu",
    "find_compiler",
    "level_flags",
    "levels",
    "no_compiler_reason",
    "notice",
]

FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
_TIMEOUT = 300.0
_THREADS, _NO_THREADS = "-fopenmp", "-fopenmp-simd"


class BuildError(Snn4Error, RuntimeError):
    """The compiler refused a source."""


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler of this machine.

    Args:
        path: where it lies, links resolved.
        kind: `"gcc"` or `"clang"`.
        stamp: what changes when another version is installed.
    """

    path: str
    kind: str
    stamp: str

    @property
    def threads(self) -> bool:
        """Whether its kernels use several threads.

        Only gcc's OpenMP is the library that torch has already loaded; a second one would fight it for the cores.
        """
        return self.kind == "gcc"

    @property
    def flags(self) -> tuple[str, ...]:
        """For this machine."""
        arm_clang = self.kind == "clang" and platform.machine() in ("arm64", "aarch64")
        wide = ("-mprefer-vector-width=512",) if "avx512f" in cpu() else ()
        return (*self.common_flags, *wide, "-mcpu=native" if arm_clang else "-march=native")

    @property
    def common_flags(self) -> tuple[str, ...]:
        """For any machine. IEEE arithmetic, as torch itself is compiled: no contraction, no reordering."""
        return (*FLAGS, _THREADS if self.threads else _NO_THREADS)


def notice(text: str) -> None:
    """One line to the user about something that takes time or has gone another way. `SNN4_QUIET=1` silences it."""
    if not os.environ.get("SNN4_QUIET"):
        sys.stderr.write(f"snn4: {text}\n")


def find_compiler() -> Compiler | None:
    """`$CXX`, else g++, clang++ or c++ on the path; None where there is none."""
    for name in (os.environ.get("CXX", ""), "g++", "clang++", "c++"):
        found = shutil.which(name) if name else None
        if found is not None:
            with contextlib.suppress(OSError):
                real = Path(found).resolve(strict=True)
                about = real.stat()
                # called by the name it was found under: clang++ is a link to clang, g++ may be one to ccache
                return _described(str(Path(found).absolute()), f"{about.st_size}.{about.st_mtime_ns}")
    return None


@functools.cache
def _described(path: str, stamp: str) -> Compiler:
    try:
        ran = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
        first = ran.stdout.partition("\n")[0]
    except (OSError, subprocess.TimeoutExpired):
        first = ""
    # Apple's and LLVM's compilers also answer to the name g++
    kind = "clang" if "clang" in (first + path).lower() else "gcc"
    return Compiler(path, kind, f"{first} {stamp}")


def no_compiler_reason() -> str | None:
    """Why nothing can be compiled here, or None."""
    if os.name == "nt":
        return "no C++ compiler is supported on Windows yet"
    if find_compiler() is None:
        return "no C++ compiler found; install g++ or clang++, or name one in $CXX"
    return None


@functools.cache
def cpu() -> str:
    """The model and features of this CPU, as far as the system tells them."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        wanted = ("model name", "flags", "Features", "CPU implementer", "CPU part")
        found = {line.partition(":")[0].strip(): line for line in lines if line.startswith(wanted)}
        if found:
            return "\n".join(found[key] for key in sorted(found))
    return f"{platform.machine()} {platform.processor()}"


# what each level of instructions asks of a CPU, the highest first; by the names that Linux gives the features
_V3 = frozenset(("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"))
_LEVELS = {
    "x86-64-v4": _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
    "x86-64-v3": _V3,
    "armv8-a": frozenset(("asimd",)),
}


def levels() -> tuple[str, ...]:
    """The levels of instructions that this CPU has, the highest first."""
    if platform.system() != "Linux":
        return ()
    words = {word for line in cpu().splitlines() for word in line.partition(":")[2].split()}
    return tuple(level for level, asked in _LEVELS.items() if asked <= words)


def level_flags(compiler: Compiler, level: str) -> tuple[str, ...]:
    """Flags for code that runs on every CPU of a level."""
    wide = ("-mprefer-vector-width=512",) if level == "x86-64-v4" else ()
    return (*compiler.common_flags, *wide, f"-march={level}")


def compiled(source: str, label: str, compiler: Compiler, options: tuple[str, ...], place: Path) -> bytes:
    """A shared object. Where OpenMP is not whole (no header, no library), one that uses one thread.

    Args:
        source: the C++.
        label: what it is.
        compiler: who compiles.
        options: its flags.
        place: where the source is left for the reader, without suffix.
    """
    try:
        return _compile(source, label, compiler, options, place)
    except BuildError:
        if _THREADS not in options:
            raise
        alone = tuple(_NO_THREADS if flag == _THREADS else flag for flag in options)
        binary = _compile(source, label, compiler, alone, place)
        notice(f"{label} runs on one thread: {compiler.path} has no OpenMP")
        return binary


def _compile(source: str, label: str, compiler: Compiler, options: tuple[str, ...], place: Path) -> bytes:
    cpp = place.with_suffix(".cpp")
    with tempfile.TemporaryDirectory(prefix="snn4-build-") as name:
        out = Path(name) / "kernel.so"
        with contextlib.suppress(StorageError):
            write_text(cpp, source)
        if not cpp.exists():
            cpp = Path(name) / "kernel.cpp"
            cpp.write_text(source, encoding="utf-8")
        command = [compiler.path, *options, str(cpp), "-o", str(out), "-lm"]
        try:
            ran = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT, check=False
            )
            said, failed = ran.stderr.strip(), ran.returncode != 0
        except (OSError, subprocess.TimeoutExpired) as problem:
            said, failed = str(problem), True
        if failed or not out.exists():
            lines = [line for line in said.splitlines() if "error" in line] or said.splitlines() or ["it said nothing"]
            raise BuildError(
                f"{compiler.path} failed on {label} ({cpp}): {'; '.join(lines[:3])}",
                "a compiler that takes C++17 and these flags: " + " ".join(options),
                "Compile that file by hand to see all of it, or choose another compiler with $CXX.",
            )
        return out.read_bytes()
