"""How training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from snn4.core.errors import OptionError, ShapeError
from snn4.core.optional import need
from snn4.view.pictures.canvas import GREY, LOOKS, Look, axes_or_new, legend, polish
from snn4.view.pictures.fonts import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["learning_curves"]


def learning_curves(
    rows: Sequence[Mapping[str, object]],
    *,
    measure: Literal["accuracy", "loss"] = "accuracy",
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw training (thin, pale) and validation (thick) curves of every model, epoch by epoch.

    Args:
        rows: the rows of `metrics.jsonl`: `{"model": "snn", "epoch": 1, "train_loss": .., "val_loss": .., ..}`; a value
            that a row lacks is left out of its curve.
        measure: which of the two to draw.
        ax: where to draw; a new figure by default.
        title: above the picture.

    Raises:
        OptionError: another measure.
        ShapeError: no row has a value to draw.

    Example:
        >>> rows = [{"model": "snn", "epoch": e, "val_loss": 1 / e} for e in (1, 2)]
        >>> learning_curves(rows, measure="loss").lines[0].get_ydata().tolist()
        [1.0, 0.5]
    """
    if measure not in ("accuracy", "loss"):
        raise OptionError(f"learning_curves got measure={measure!r}", "'accuracy' or 'loss'", "Draw one at a time.")
    ax = axes_or_new(ax)
    scale = 100 if measure == "accuracy" else 1
    for model in dict.fromkeys(str(row.get("model", "")) for row in rows):
        look = LOOKS.get(model, Look(shorten(model), GREY, ":", "."))
        for part, width, alpha, marker in (("val", 1.6, 1.0, look.marker), ("train", 1.1, 0.8, "")):
            points = _points([row for row in rows if str(row.get("model", "")) == model], f"{part}_{measure}")
            if len(points):
                ax.plot(
                    points[:, 0],
                    scale * points[:, 1],
                    color=look.colour,
                    linestyle=look.line if part == "val" else ":",
                    linewidth=width,
                    alpha=alpha,
                    marker=marker,
                    markersize=3.5,
                    label=f"{look.name}, {'validation' if part == 'val' else 'training'}",
                )
    if not ax.lines:
        raise ShapeError(
            f"learning_curves found no {measure} in {len(rows)} rows",
            f"rows with epoch and val_{measure} or train_{measure}",
            "Train for one epoch at least.",
        )
    up = "accuracy (%)" if measure == "accuracy" else "loss"
    polish(ax, title if title is not None else f"{measure.capitalize()} by epoch", "epoch", up)
    ax.xaxis.set_major_locator(need("matplotlib.ticker", "to draw pictures").MaxNLocator(integer=True))
    legend(ax)
    return ax


def _points(rows: Sequence[Mapping[str, object]], key: str) -> npt.NDArray[np.float64]:
    """(epoch, value) of the rows that have both as finite numbers."""
    pairs = [(row.get("epoch"), row.get(key)) for row in rows]
    both = [(e, y) for e, y in pairs if isinstance(e, (int, float)) and isinstance(y, (int, float))]
    points = np.array(both, dtype=np.float64).reshape(-1, 2)
    return points[np.isfinite(points).all(axis=1)]
