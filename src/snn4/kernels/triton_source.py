"""Turn generated Triton text into functions: `module(text, label="LIF").snn4_forward`.

triton.jit reads the text of a function again when it compiles it, and so does a traceback, so that the text needs a
file: `kernels/<key>.py` beside the C++ kernels, key made of the text. That file is only shown. What is executed, and
what triton reads, is the text in memory; a damaged or forged file is replaced.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import os
import threading
from pathlib import Path
from types import ModuleType

from snn4.core.errors import StorageError
from snn4.core.files import write_text
from snn4.kernels.build import notice, usable_folder

__all__ = ["interpreted", "module", "no_triton_reason"]

_lock = threading.RLock()
_loaded: dict[str, ModuleType] = {}


class _Text(importlib.abc.SourceLoader):
    """Loads a module from text in memory; without a cache of bytecode, which would come from the disk."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text = path, text

    def get_filename(self, fullname: str) -> str:
        """Where the reader finds the text."""
        return self.path

    def get_data(self, path: str | bytes) -> bytes:
        """The text itself."""
        return self.text.encode()


@functools.cache
def no_triton_reason() -> str | None:
    """Why there is no Triton here, or None."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed; pip install 'snn4[gpu]', or a CUDA build of torch, which brings its own"
    return None


def interpreted() -> bool:
    """Whether Triton's interpreter runs the kernels, on any device: TRITON_INTERPRET=1 before triton is imported."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes")


def module(text: str) -> ModuleType:
    r"""The functions of a generated text.

    Example:
        >>> module("def twice(x):\n    return 2 * x\n").twice(21)
        42
    """
    key = hashlib.sha256(text.encode()).hexdigest()[:32]
    with _lock:
        known = _loaded.get(key)
        if known is None:
            known = _loaded[key] = _load(text, key)
        return known


def _load(text: str, key: str) -> ModuleType:
    path = _shown(text, usable_folder() / f"{key}.py")
    name = f"snn4_triton_{key}"
    # no modification time: this entry is never read again from the file
    linecache.cache[str(path)] = (len(text), None, text.splitlines(keepends=True), str(path))
    loader = _Text(str(path), text)
    spec = importlib.machinery.ModuleSpec(name, loader, origin=str(path))
    spec.has_location = True
    made = importlib.util.module_from_spec(spec)
    loader.exec_module(made)
    return made


def _shown(text: str, path: Path) -> Path:
    """Write the text where it can be read, unless it stands there already."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if path.read_text(encoding="utf-8") == text:
            return path
    try:
        write_text(path, text)
    except StorageError as problem:
        notice(f"a generated kernel cannot be kept ({problem.came})")
    return path
