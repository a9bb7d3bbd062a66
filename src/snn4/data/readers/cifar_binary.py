"""CIFAR-10, the binary version (`data_batch_1.bin`): records of a label byte and 3072 pixel bytes, plane by plane."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snn4.data.readers.labels import check_labels
from snn4.data.readers.packed import broken, unpack

__all__ = ["read_cifar_binary"]

_RECORD = 1 + 3 * 32 * 32


def read_cifar_binary(path: str | os.PathLike[str], count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read one batch of the binary version.

    Args:
        path: the file.
        count: how many images it must hold.

    Returns:
        Images (count, 3, 32, 32) and labels (count,).

    Raises:
        DataFileError: missing, of another length, or with a label above 9.
    """
    path = Path(path)
    content = unpack(path, limit=count * _RECORD)
    if len(content) != count * _RECORD:
        raise broken(path, f"has {len(content)} bytes", f"{count * _RECORD}: {count} records of {_RECORD}")
    records = np.frombuffer(content, np.uint8).reshape(count, _RECORD)
    return records[:, 1:].reshape(count, 3, 32, 32).copy(), check_labels(records[:, 0], count, 10, path)
