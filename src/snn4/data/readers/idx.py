"""IDX, the format of MNIST: arrays of bytes behind a short big-endian header.

    0x00 0x00 | 0x08 (bytes) | number of axes D | D lengths, uint32 each | the bytes, last axis fastest

So three axes (images) begin with 2051, one axis (labels) with 2049.
"""

from __future__ import annotations

import hashlib
import os
import struct
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snn4.data.readers.packed import broken, unpack

__all__ = ["read_idx"]


def read_idx(path: str | os.PathLike[str], axes: int, *, md5: str | None = None) -> NDArray[np.uint8]:
    """Read an IDX file of bytes, raw or packed with gzip or xz.

    Args:
        path: the file.
        axes: how many axes it must have: 3 for images, 1 for labels.
        md5: checksum of the unpacked file; `None` takes any content.

    Shape:
        as the header says, `axes` axes, uint8; writable.

    Raises:
        DataFileError: missing, damaged, truncated, of another type or length, or not of this checksum.
    """
    path = Path(path)
    content = unpack(path)
    magic, start = struct.pack(">HBB", 0, 8, axes), 4 + 4 * axes
    if len(content) < start or content[:4] != magic:
        came = f"begins with the bytes {content[:4].hex(' ')} and has {len(content)} bytes unpacked"
        raise broken(path, came, f"an IDX file of bytes with {axes} axes: {magic.hex(' ')}, then {axes} lengths")
    lengths = struct.unpack_from(f">{axes}I", content, 4)
    size = start + prod(lengths)
    if len(content) != size:
        raise broken(path, f"has {len(content)} bytes unpacked", f"{size}, as its header says {lengths}")
    if md5 is not None:
        came = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if came != md5:
            advice = "Delete it and get it again, or read it as it is with verify=False."
            raise broken(path, f"has other content than the published file: md5 {came} unpacked", f"md5 {md5}", advice)
    return np.frombuffer(content, np.uint8, offset=start).reshape(lengths).copy()
