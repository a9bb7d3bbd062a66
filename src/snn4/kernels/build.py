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
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from snn4.core.errors import MissingLibraryError, StorageError
from snn4.core.files import atomic, write_json
from snn4.kernels.compiler import (
    FLAGS,
    BuildError,
    compiled,
    cpu,
    find_compiler,
    levels,
    no_compiler_reason,
    notice,
)

__all__ = [
    "FORMAT",
    "BuildError",
    "CacheSize",
    "cache_folder",
    "cache_size",
    "clear_cache",
    "find_compiler",
    "kept",
    "library",
    "no_compiler_reason",
    "notice",
    "prebuilt_name",
    "usable_folder",
]

FORMAT = "snn4.kernel.1"
# suffixes of machine code, and of what lies beside it; characters of a key
_CODE, _BESIDE, _KEY = (".so", ".o"), (".json", ".cpp", ".py", ".lock"), 32


def cache_folder() -> Path:
    """Where compiled kernels are kept: `$SNN4_CACHE`, or the user's cache folder. It may not exist yet."""
    named = os.environ.get("SNN4_CACHE")
    if named:
        return Path(named) / "kernels"
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "snn4" / "kernels"


@dataclass(frozen=True)
class CacheSize:
    """What a cache folder holds: compiled kernels, and bytes of all its files."""

    kernels: int
    size: int


def cache_size() -> CacheSize:
    """What is kept at the moment."""
    folder = cache_folder()
    files = [p for p in folder.iterdir() if p.is_file()] if folder.is_dir() else []
    return CacheSize(sum(p.suffix in _CODE for p in files), sum(p.stat().st_size for p in files))


def clear_cache() -> CacheSize:
    """Remove every kept kernel; the next call of a neuron in a new process compiles it again.

    Kernels that processes have loaded go on running. Files that are not snn4's stay.

    Returns:
        What was removed.

    Example:
        >>> removed = clear_cache()     # doctest: +SKIP
    """
    folder, kernels, size = cache_folder(), 0, 0
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix in (*_CODE, *_BESIDE) and len(path.stem) == _KEY and path.is_file():
            with contextlib.suppress(OSError):
                about = path.stat().st_size
                path.unlink()
                kernels, size = kernels + (path.suffix in _CODE), size + about
    return CacheSize(kernels, size)


_lock = threading.RLock()
_loaded: dict[tuple[str, str], Any] = {}
Loaded = TypeVar("Loaded")


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
    ready = prebuilt(source, flags)
    if ready is not None:
        return ready
    compiler = find_compiler()
    if compiler is None or os.name == "nt":
        raise MissingLibraryError(f"{label} cannot be compiled ({no_compiler_reason()})", "a C++ compiler")
    options = (*compiler.flags, *flags)
    return kept(
        (source, *options, compiler.path, compiler.stamp),
        suffix=".so",
        label=label,
        make=lambda place: compiled(source, label, compiler, options, place),
        load=_shared_object,
    )


def _shared_object(path: Path) -> ctypes.CDLL:
    # OpenMP of torch must be in the process before ours is looked for: it is then the same one
    import torch  # noqa: F401  # pyright: ignore[reportUnusedImport]

    return ctypes.CDLL(str(path))


def prebuilt_folder() -> Path:
    """Where an installed snn4 has kernels that were compiled when it was packed; most have none."""
    return Path(__file__).with_name("prebuilt")


def prebuilt_name(source: str, level: str, flags: Sequence[str] = ()) -> str:
    """The name of the shared object of `source` for a level of instructions."""
    about = "\0".join((FORMAT, *FLAGS, *flags, level, source))
    return f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.{level}.so"


def prebuilt(source: str, flags: Sequence[str] = ()) -> ctypes.CDLL | None:
    """The kernels of `source` that came with snn4, for the highest level of instructions that this CPU has."""
    folder = prebuilt_folder()
    sums = _sums(folder)
    for level in levels() if sums else ():
        name = prebuilt_name(source, level, flags)
        if name in sums:
            with _lock:
                known = _loaded.get((str(folder), name))
                if known is None:
                    with contextlib.suppress(OSError):
                        if hashlib.sha256((folder / name).read_bytes()).hexdigest() == sums[name]:
                            known = _loaded[str(folder), name] = _shared_object(folder / name)
                if known is not None:
                    return known
    return None


@functools.cache
def _sums(folder: Path) -> dict[str, str]:
    """The checksums of what came with snn4."""
    try:
        index: Any = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    entry = cast("dict[str, Any]", index) if isinstance(index, dict) else {}
    return entry.get("sha256", {}) if entry.get("format") == FORMAT else {}


def kept(
    parts: Sequence[str], *, suffix: str, label: str, make: Callable[[Path], bytes], load: Callable[[Path], Loaded]
) -> Loaded:
    """Machine code from memory, from the cache, or made now.

    Args:
        parts: what it is made from: source, flags, versions. The CPU is added.
        suffix: of its file.
        label: what it is, for the line that announces that it was made.
        make: makes it; gets a path, without suffix, beside which it may leave its source for the reader.
        load: makes a file ready to be called. An `OSError` says that the file is none, and it is made again.
    """
    key = hashlib.sha256("\0".join((FORMAT, *parts, cpu(), platform.machine())).encode()).hexdigest()[:_KEY]
    folder = cache_folder()
    with _lock:
        known = _loaded.get((str(folder), key))
        if known is None:
            known = _loaded[str(folder), key] = _cached(_usable(folder), key + suffix, label, make, load)
        return known


def _cached(
    folder: Path, name: str, label: str, make: Callable[[Path], bytes], load: Callable[[Path], Loaded]
) -> Loaded:
    path = folder / name
    found = _load(path, load)
    if found is not None:
        return found
    with _waiting(path.with_suffix(".lock")):
        # another process may have been faster
        found = _load(path, load)
        if found is not None:
            return found
        began = time.perf_counter()
        binary = make(path.with_suffix(""))
        notice(f"compiled {label} for this machine in {time.perf_counter() - began:.1f} s, kept in {folder}")
        try:
            _keep(binary, path, label)
        except StorageError as problem:
            notice(f"the compiled {label} cannot be kept ({problem.came}); the next process compiles it again")
            path = _temporary() / name
            _keep(binary, path, label)
        try:
            return load(path)
        except OSError as problem:
            path.unlink(missing_ok=True)
            raise BuildError(
                f"what was compiled for {label} cannot be loaded ({problem})",
                "code for this machine",
                "Does $CXX compile for another one?",
            ) from problem


def _keep(binary: bytes, path: Path, label: str) -> None:
    """Write machine code and then its checksum."""
    with atomic(path) as file:
        file.write(binary)
    write_json(
        path.with_suffix(".json"),
        {"format": FORMAT, "sha256": hashlib.sha256(binary).hexdigest(), "label": label},
    )


def _load(path: Path, load: Callable[[Path], Loaded]) -> Loaded | None:
    """What is kept, if it is whole. A truncated one would kill the process when it is loaded."""
    try:
        about: Any = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        binary = path.read_bytes()
        entry = cast("dict[str, Any]", about) if isinstance(about, dict) else {}
        if entry.get("format") == FORMAT and entry.get("sha256") == hashlib.sha256(binary).hexdigest():
            return load(path)
    except (OSError, ValueError):
        pass
    return None


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
