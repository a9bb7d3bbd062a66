"""A quantity against a setting, for several models, with the spread over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from snn4.core.errors import ShapeError
from snn4.view.pictures.canvas import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    Array,
    axes_or_new,
    legend,
    numbers,
    polish,
)
from snn4.view.pictures.fonts import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["study"]

_LOOKS = (
    (BLUE, "-", "o"),
    (VERMILLION, "--", "s"),
    (GREEN, "-.", "^"),
    (PURPLE, ":", "v"),
    (ORANGE, "-", "D"),
    (SKY, "--", "P"),
    (GREY, "-.", "X"),
)


def study(
    settings: Sequence[str],
    series: Mapping[str, Array],
    *,
    across: str = "setting",
    up: str = "value",
    ax: Axes | None = None,
    title: str = "Study",
) -> Axes:
    """Draw the mean over seeds as a line, and from the lowest to the highest seed as a band.

    Args:
        settings: what was varied, as texts, evenly spaced.
        series: name of a model to its values. Shape of each: (settings, seeds).
        across: label of the horizontal axis.
        up: label of the vertical axis.
        ax: where to draw; a new figure by default.
        title: above the picture.

    Raises:
        ShapeError: a series of another length, or none.

    Example:
        >>> ax = study(["1", "2"], {"several": [[0.5, 0.7], [0.8, 0.8]]})
        >>> ax.lines[0].get_ydata().tolist()
        [0.6, 0.8]
    """
    if not series:
        raise ShapeError("study got no series", "at least one")
    ax = axes_or_new(ax)
    place = np.arange(len(settings))
    for (name, given), (colour, line, marker) in zip(series.items(), _LOOKS * len(series), strict=False):
        values = numbers(given, name, 2, what="(settings, seeds)")
        if len(values) != len(settings):
            raise ShapeError(f"study got {len(values)} values of {name!r} for {len(settings)} settings", "as many")
        ax.plot(place, values.mean(1), color=colour, linestyle=line, marker=marker, markersize=4.5, label=shorten(name))
        if values.shape[1] > 1:
            ax.fill_between(place, values.min(1), values.max(1), color=colour, alpha=0.18, linewidth=0)
    polish(ax, title, across, up)
    ax.set_xticks(place, list(settings))
    legend(ax)
    return ax
