"""Compile C++ to a shared object once, keep it on disk, load it: `library(source, label="LIF")`.

    $SNN4_CACHE  or  $XDG_CACHE_HOME/snn4  or  ~/.cache/snn4
      kernels/<key>.so  .json (its checksum)  .cpp (for the reader)

The key is made of the source, the flags, the compiler and the features of the CPU, so that a cache that comes from
another machine is not touched. A file is written beside its name and renamed; processes that want the same key wait for
the first. What does not match its checksum is built again.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from snn4.core.errors import MissingLibraryError, Snn4Error, StorageError
from snn4.core.files import atomic, write_json, write_text

__all__ = [
    "BuildError",
    "Compiler",
    "cache_folder",
    "find_compiler",
    "library",
    "no_compiler_reason",
    "notice",
    "usable_folder",
]

_FORMAT = "snn4.kernel.1"
_TIMEOUT = 300.0


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
        """IEEE arithmetic, as torch itself is compiled: no contraction, no reordering."""
        flags = ["-std=c++17", "-O3", "-fPIC", "-shared", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
        flags += ["-fopenmp" if self.threads else "-fopenmp-simd"]
        if "avx512f" in _cpu():
            flags += ["-mprefer-vector-width=512"]
        arm_clang = self.kind == "clang" and platform.machine() in ("arm64", "aarch64")
        return (*flags, "-mcpu=native" if arm_clang else "-march=native")


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
                # a wrapper such as ccache is called by the name it was found under
                path = found if "ccache" in real.name else str(real)
                return _described(path, f"{about.st_size}.{about.st_mtime_ns}")
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
def _cpu() -> str:
    """The model and features of this CPU, as far as the system tells them."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        wanted = ("model name", "flags", "Features", "CPU implementer", "CPU part")
        found = {line.partition(":")[0].strip(): line for line in lines if line.startswith(wanted)}
        if found:
            return "\n".join(found[key] for key in sorted(found))
    return f"{platform.machine()} {platform.processor()}"


def cache_folder() -> Path:
    """Where compiled kernels are kept: `$SNN4_CACHE`, or the user's cache folder. It may not exist yet."""
    named = os.environ.get("SNN4_CACHE")
    if named:
        return Path(named) / "kernels"
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "snn4" / "kernels"


_lock = threading.RLock()
_loaded: dict[tuple[str, str], ctypes.CDLL] = {}


def library(source: str, *, label: str, flags: Sequence[str] = ()) -> ctypes.CDLL:
    """A shared object made of C++ `source`, from memory, from the cache, or compiled now.

    Args:
        source: one C++17 translation unit; its `extern "C"` functions are what can be called.
        label: what it is, for the line that announces a compilation.
        flags: more flags for the compiler.

    Raises:
        MissingLibraryError: there is no compiler; `no_compiler_reason()` tells beforehand.
        BuildError: the compiler refused the source.

    Example:
        >>> twice = 'extern "C" int twice(int x) { return 2 * x; }'
        >>> no_compiler_reason() or library(twice, label="twice").twice(21)
        42
    """
    compiler = find_compiler()
    if compiler is None or os.name == "nt":
        raise MissingLibraryError(f"{label} cannot be compiled ({no_compiler_reason()})", "a C++ compiler")
    options = (*compiler.flags, *flags)
    parts = (_FORMAT, source, *options, compiler.path, compiler.stamp, _cpu(), platform.machine())
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    folder = cache_folder()
    with _lock:
        known = _loaded.get((str(folder), key))
        if known is None:
            # OpenMP of torch must be in the process before ours is looked for: it is then the same one
            import torch  # noqa: F401  # pyright: ignore[reportUnusedImport]

            known = _loaded[str(folder), key] = _cached(source, label, compiler, options, key, folder)
        return known


def _cached(
    source: str, label: str, compiler: Compiler, options: tuple[str, ...], key: str, folder: Path
) -> ctypes.CDLL:
    folder = _usable(folder)
    found = _load(folder, key)
    if found is not None:
        return found
    with _waiting(folder / f"{key}.lock"):
        # another process may have been faster
        found = _load(folder, key)
        if found is not None:
            return found
        began = time.perf_counter()
        binary = _compile(source, label, compiler, options, folder / f"{key}.cpp")
        notice(f"compiled {label} for this machine in {time.perf_counter() - began:.1f} s, kept in {folder}")
        try:
            return _keep(binary, folder, key, label, options)
        except StorageError as problem:
            notice(f"the compiled {label} cannot be kept ({problem.came}); the next process compiles it again")
            return _keep(binary, _temporary(), key, label, options)


def _keep(binary: bytes, folder: Path, key: str, label: str, options: tuple[str, ...]) -> ctypes.CDLL:
    """Write a shared object and then its checksum, and load it."""
    with atomic(folder / f"{key}.so") as file:
        file.write(binary)
    about = {"format": _FORMAT, "sha256": hashlib.sha256(binary).hexdigest(), "label": label, "flags": list(options)}
    write_json(folder / f"{key}.json", about)
    return ctypes.CDLL(str(folder / f"{key}.so"))


def _load(folder: Path, key: str) -> ctypes.CDLL | None:
    """The kept shared object, if it is whole. A truncated one would kill the process when it is loaded."""
    path = folder / f"{key}.so"
    try:
        about: Any = json.loads((folder / f"{key}.json").read_text(encoding="utf-8"))
        binary = path.read_bytes()
        entry = cast("dict[str, Any]", about) if isinstance(about, dict) else {}
        if entry.get("format") == _FORMAT and entry.get("sha256") == hashlib.sha256(binary).hexdigest():
            return ctypes.CDLL(str(path))
    except (OSError, ValueError):
        pass
    return None


def _compile(source: str, label: str, compiler: Compiler, options: tuple[str, ...], cpp: Path) -> bytes:
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


@contextlib.contextmanager
def _waiting(path: Path) -> Iterator[None]:
    """Hold a lock between processes, where the file system has locks; without one, several compile the same."""
    try:
        import fcntl

        file = path.open("wb")
    except (ImportError, OSError):
        yield
        return
    with file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


_own_folder: Path | None = None


def _temporary() -> Path:
    """A folder of this process alone."""
    global _own_folder
    if _own_folder is None or not _own_folder.is_dir():
        keeper = tempfile.TemporaryDirectory(prefix="snn4-kernels-", ignore_cleanup_errors=True)
        _keepers.append(keeper)
        _own_folder = Path(keeper.name)
    return _own_folder


# lives as long as the process, then removes its folder
_keepers: list[tempfile.TemporaryDirectory[str]] = []


def _usable(folder: Path) -> Path:
    """The cache folder if code from it may be run, else one of our own."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        about = folder.stat()
        reason = ""
        if about.st_uid != os.getuid():
            reason = "it belongs to another user"
        elif about.st_mode & stat.S_IWOTH:
            reason = "everybody may write to it"
        else:
            with tempfile.TemporaryFile(dir=folder):
                pass
    except OSError as problem:
        reason = problem.strerror or str(problem)
    if not reason:
        return folder
    if str(folder) not in _refused_folders:
        _refused_folders.add(str(folder))
        notice(
            f"the kernel cache {folder} is not used ({reason}); this process keeps its kernels in a temporary folder"
        )
    return _temporary()


_refused_folders: set[str] = set()


def usable_folder() -> Path:
    """The cache folder, made and checked; where code from it may not be run, a folder of this process alone."""
    return _usable(cache_folder())
