"""The content of a file, unpacked, whatever it is packed with."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import BinaryIO, Protocol

from snn4.core.errors import DataFileError

__all__ = ["broken", "unpack"]

_CHUNK = 1 << 20
_GZIP, _XZ = b"\x1f\x8b", b"\xfd7zXZ\x00"
# far above any data set of this package, far below what would bring a machine down
_LIMIT = 1 << 31


def unpack(path: str | os.PathLike[str], *, limit: int = _LIMIT) -> bytearray:
    """Read a file, unpacking gzip and xz. The first bytes decide, not the name.

    Args:
        path: the file.
        limit: the most bytes that the content may have: a few packed bytes can unpack to gigabytes.

    Raises:
        DataFileError: missing, unreadable, empty, truncated, damaged, or larger than `limit`.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(6)
            file.seek(0)
            if head.startswith(_GZIP):
                import gzip

                with gzip.GzipFile(fileobj=file) as stream:
                    content = _read(stream, limit, path)
            elif head == _XZ:
                content = _unxz(file, limit, path)
            else:
                content = _read(file, limit, path)
    except FileNotFoundError as cause:
        raise broken(path, "is not there", "a file", "Put it there, or choose another folder.") from cause
    except (EOFError, zlib.error) as cause:
        raise broken(path, f"is truncated or damaged ({cause})", "a whole file") from cause
    except OSError as cause:
        if isinstance(cause, DataFileError):
            raise
        raise broken(path, f"cannot be read ({cause.strerror or cause})", "a readable, whole file") from cause
    if not content:
        raise broken(path, "is empty", "a file with content")
    return content


def broken(path: Path, came: str, expected: str, advice: str = "") -> DataFileError:
    """The error for a file that is not what it should be; not raised, so that the caller can chain its cause."""
    return DataFileError(f"{path} {came}", expected, advice or "Delete it and get it again.")


class _Bytes(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _unxz(file: BinaryIO, limit: int, path: Path) -> bytearray:
    # here, because some builds of Python come without it
    import lzma

    try:
        with lzma.LZMAFile(file) as stream:
            return _read(stream, limit, path)
    except lzma.LZMAError as cause:
        raise broken(path, f"is truncated or damaged ({cause})", "a whole xz file") from cause


def _read(stream: _Bytes, limit: int, path: Path) -> bytearray:
    content = bytearray()
    while chunk := stream.read(_CHUNK):
        content += chunk
        if len(content) > limit:
            raise broken(path, f"unpacks to more than {limit} bytes", f"{limit} bytes at the most")
    return content
