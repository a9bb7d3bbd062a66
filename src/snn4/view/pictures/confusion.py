"""Which class was taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from snn4.core.errors import ShapeError
from snn4.view.pictures.canvas import Array, axes_or_new, numbers, polish
from snn4.view.pictures.fonts import families, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["confusion"]

_WRITTEN = 15  # with more classes than this, counts no longer fit into the cells


def confusion(
    counts: Array, *, classes: Sequence[str] | None = None, ax: Axes | None = None, title: str = "Confusion matrix"
) -> Axes:
    """Draw the confusion matrix: rows are the true class, columns the predicted one, dark is a large share of the row.

    Args:
        counts: how many samples of class i were taken for class j.
        classes: names of the classes; their numbers by default.
        ax: where to draw; a new figure by default.
        title: above the picture.

    Shape:
        counts: (C, C).

    Raises:
        ShapeError: not square, or another number of names.

    Example:
        >>> ax = confusion([[9, 1], [0, 10]], classes=["cat", "dog"])
        >>> ax.images[0].get_array().tolist()
        [[0.9, 0.1], [0.0, 1.0]]
    """
    values = numbers(counts, "counts", 2, what="(C, C)")
    size = len(values)
    if values.shape != (size, size):
        raise ShapeError(
            f"confusion got counts of shape {values.shape}", "(C, C)", "Rows are true, columns predicted classes."
        )
    if classes is not None and len(classes) != size:
        raise ShapeError(
            f"confusion got {len(classes)} names for {size} classes",
            "one name a class",
            "Leave classes out to see numbers.",
        )
    names = [shorten(name, 12) for name in classes] if classes is not None else [str(c) for c in range(size)]
    ax = axes_or_new(ax, 4.2, 4.2)
    share = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    if size <= _WRITTEN:
        for i, j in np.argwhere(values > 0):
            # not pure black: a page may turn black ink light for dark mode, but must leave this one
            ink = "#ffffff" if share[i, j] > 0.55 else "#111111"
            ax.text(j, i, f"{values[i, j]:.0f}", ha="center", va="center", fontsize=7, color=ink)
    every = range(0, size, max(1, -(-size // 20)))
    tall = max(len(name) for name in names) > 3
    ax.set_xticks(every, [names[c] for c in every], rotation=90 if tall else 0, fontfamily=list(families()))
    ax.set_yticks(every, [names[c] for c in every], fontfamily=list(families()))
    polish(ax, title, "predicted class", "true class", grid=None)
    return ax
