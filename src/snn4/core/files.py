"""Files that are either there, whole, or not there at all.

A file is written beside its final name, flushed to the disk, and renamed: a reader, also after a kill or a power cut,
sees the old content or the new one, never a part.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from snn4.core.errors import Snn4Error, StorageError

__all__ = ["atomic", "make_folder", "read_json", "write_json", "write_text"]


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Write a binary file atomically: `with atomic("a.bin") as file: file.write(...)`.

    Raises:
        StorageError: the folder cannot be written or the disk is full; what stood at `path` before still stands there.
    """
    path = Path(path)
    partial: Path | None = None
    try:
        # in the same folder, because a rename is atomic only within one file system
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        partial = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private to the user; the result gets the permissions of any other new file
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o666 & ~mask)
        os.replace(partial, path)
        partial = None
        _sync_folder(path.parent)
    except OSError as cause:
        if isinstance(cause, Snn4Error):
            raise
        raise StorageError(
            f"writing {path} failed ({cause.strerror or cause})",
            "a folder that exists, can be written and has free space",
            "What stood there before is unchanged. Free some space or choose another folder.",
        ) from cause
    finally:
        if partial is not None:
            with contextlib.suppress(OSError):
                partial.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system allows it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic(path) as file:
        file.write(text.encode())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a JSON file atomically. NaN and infinity are refused: they are not JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def make_folder(path: str | os.PathLike[str], advice: str = "Choose another one with --out.") -> Path:
    """Create a folder and its parents, and check that it can be written.

    Args:
        path: the folder.
        advice: what to do where that fails.

    Raises:
        StorageError: it cannot be created or written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as cause:
        raise StorageError(
            f"the folder {path} cannot be used ({cause.strerror or cause})",
            "a folder that can be created and written",
            advice,
        ) from cause
    return path
