"""Members of a family beside each other, the best on top, with the spread over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from snn4.core.errors import ShapeError
from snn4.view.pictures.canvas import BLUE, VERMILLION, axes_or_new, polish
from snn4.view.pictures.fonts import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ranking"]

_LONGEST = 48


def ranking(
    values: Mapping[str, Sequence[float]],
    *,
    across: str = "accuracy (%)",
    marked: str | None = None,
    order: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str = "Ranking",
) -> Axes:
    """Draw a point for each seed and a bar at the mean, a line a member.

    Args:
        values: name of a member to its values, one a seed; one without values is left out.
        across: label of the horizontal axis.
        marked: the member that the others are compared with; a vertical line goes through its mean.
        order: the names from top to bottom; by default the highest mean first.
        ax: where to draw; a new figure by default.
        title: above the picture.

    Raises:
        ShapeError: no value at all.

    Example:
        >>> ax = ranking({"LIF": [90.0], "PLIF": [91.0, 92.0]}, marked="LIF")
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['PLIF', 'LIF']
    """
    means = {name: statistics.mean(found) for name, found in values.items() if found}
    if not means:
        raise ShapeError("ranking got no values", "at least one member with a value")
    names = [name for name in order or sorted(means, key=lambda name: -means[name]) if name in means]
    ax = axes_or_new(ax, 6.4, 1.1 + 0.22 * len(names))
    for place, name in enumerate(names):
        colour = VERMILLION if name == marked else BLUE
        found = list(values[name])
        ax.plot(found, [place] * len(found), "o", color=colour, markersize=3.5, alpha=0.6)
        ax.plot([means[name]], [place], "|", color=colour, markersize=11, markeredgewidth=2)
    if marked in means:
        ax.axvline(means[marked], color=VERMILLION, linewidth=0.8, linestyle="--")
    polish(ax, title, across, "", grid="x")
    # a label is a row of the table beside it, which it should match
    ax.set_yticks(range(len(names)), [shorten(name, _LONGEST) for name in names])
    # downwards, and half a row free above the first and below the last
    ax.set_ylim(len(names) - 0.5, -0.5)
    return ax
