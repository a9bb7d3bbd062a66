"""How many steps a decision needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from snn4.view.pictures.canvas import GREY, LOOKS, Array, Look, axes_or_new, legend, numbers, polish, whole_steps
from snn4.view.pictures.fonts import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["accuracy_by_step"]


def accuracy_by_step(
    accuracy: Array,
    *,
    references: Mapping[str, float] | None = None,
    ax: Axes | None = None,
    title: str = "Accuracy after each time step",
) -> Axes:
    """Draw the accuracy of the SNN when it is read after t = 1..T steps; other models as horizontal lines.

    Args:
        accuracy: shares of right answers, 0 to 1, after 1, 2, .. T steps.
        references: the accuracy of models without time: `{"ann": 0.98, "ann_quantised": 0.97}` or any name.
        ax: where to draw; a new figure by default.
        title: above the picture.

    Shape:
        accuracy: (T).

    Raises:
        ShapeError: not (T).

    Example:
        >>> ax = accuracy_by_step([0.5, 0.9], references={"ann": 0.95})
        >>> ax.lines[0].get_ydata().tolist(), ax.lines[1].get_label()
        ([50.0, 90.0], 'ANN')
    """
    values = 100 * numbers(accuracy, "accuracy", 1, what="(T)")
    ax = axes_or_new(ax)
    snn = LOOKS["snn"]
    ax.plot(np.arange(1, len(values) + 1), values, color=snn.colour, marker=snn.marker, markersize=4, label=snn.name)
    for name, reference in (references or {}).items():
        look = LOOKS.get(name, Look(shorten(name), GREY, ":", ""))
        ax.axhline(100 * reference, color=look.colour, linestyle=look.line, linewidth=1.4, label=look.name)
    polish(ax, title, "time steps used (T)", "test accuracy (%)")
    whole_steps(ax, len(values))
    legend(ax)
    return ax
