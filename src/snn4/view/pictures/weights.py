"""How the weights of a layer are spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snn4.core.errors import ShapeError
from snn4.view.pictures.canvas import BLUE, Array, axes_or_new, numbers, polish

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["weights"]


def weights(counts: Array, edges: Array, *, ax: Axes | None = None, title: str = "Weights") -> Axes:
    """Draw a histogram that was counted before (`torch.histogram`, `numpy.histogram`).

    Args:
        counts: how many weights fall into each bin.
        edges: the borders of the bins.
        ax: where to draw; a new figure by default.
        title: above the picture.

    Shape:
        counts: (bins); edges: (bins + 1).

    Raises:
        ShapeError: not one edge more than counts.

    Example:
        >>> ax = weights([3, 1], [-1.0, 0.0, 1.0])
        >>> ax.patches[0].get_data().values.tolist()
        [3.0, 1.0]
    """
    heights = numbers(counts, "counts", 1, what="(bins)")
    borders = numbers(edges, "edges", 1, what="(bins + 1)")
    if len(borders) != len(heights) + 1:
        raise ShapeError(
            f"weights got {len(heights)} counts and {len(borders)} edges",
            "one edge more than counts",
            "Take both from one torch.histogram.",
        )
    ax = axes_or_new(ax, 3.2, 2.2)
    ax.stairs(heights, borders, fill=True, color=BLUE)
    polish(ax, title, "weight (no unit)", "count")
    ax.margins(y=0.05)
    return ax
