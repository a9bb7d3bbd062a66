"""Labels as they must be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snn4.data.readers.packed import broken

__all__ = ["check_labels"]


def check_labels(labels: NDArray[np.integer], count: int, classes: int, path: Path) -> NDArray[np.int64]:
    """The labels of `count` samples as int64.

    Raises:
        DataFileError: another number of labels, or a label that is no class.
    """
    if labels.shape != (count,):
        raise broken(path, f"holds labels of shape {labels.shape}", f"{count} labels, one a sample")
    if count and (labels.max() >= classes or labels.min() < 0):
        worst = int(labels.argmax() if labels.max() >= classes else labels.argmin())
        raise broken(path, f"holds the label {labels[worst]} at position {worst}", f"labels from 0 to {classes - 1}")
    return labels.astype(np.int64)
