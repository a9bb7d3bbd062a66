"""A quantity of many members at many places, as a field of shades with its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from snn4.core.errors import OptionError, ShapeError
from snn4.view.pictures.canvas import Array, axes_or_new, numbers, polish
from snn4.view.pictures.fonts import label, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["heat"]


def heat(
    values: Array,
    members: Sequence[str],
    places: Sequence[str],
    *,
    across: str = "layer",
    form: str = ".2f",
    ends: tuple[float, float] | None = None,
    texts: Sequence[Sequence[str]] | None = None,
    ax: Axes | None = None,
    title: str = "Field",
) -> Axes:
    """Draw one line a member and one column a place; a brighter shade is a larger value.

    Args:
        values: what is shown. Shape (members, places).
        members: names of the lines.
        places: names of the columns.
        across: label of the horizontal axis.
        form: of the numbers in the field.
        ends: the values of the darkest and of the brightest shade, so that two pictures can be compared; what lies
            beyond has the shade of the end. By default the lowest and the highest value.
        texts: what stands in the field, in the place of the numbers. Shape (members, places).
        ax: where to draw; a new figure by default.
        title: above the picture.

    Raises:
        ShapeError: another shape than the names say.
        OptionError: ends that are not in order.

    Example:
        >>> ax = heat([[0.1, 0.9]], ["ATan"], ["1", "2"])
        >>> [text.get_text() for text in ax.texts]
        ['0.10', '0.90']
    """
    found = numbers(values, "values", 2, what="(members, places)")
    if found.shape != (len(members), len(places)):
        raise ShapeError(
            f"heat got values of shape {found.shape}", f"({len(members)}, {len(places)}), as the names say"
        )
    written = [[format(value, form) for value in row] for row in found.tolist()] if texts is None else texts
    if [len(row) for row in written] != [len(places)] * len(members):
        raise ShapeError(
            f"heat got texts of lengths {[len(row) for row in written]}", f"{len(members)} lines of {len(places)}"
        )
    low, high = (float(found.min()), float(found.max())) if ends is None else ends
    if low > high:
        raise OptionError(f"heat got ends={ends}", "two numbers, the lower one first")
    ax = axes_or_new(ax, 1.8 + 0.45 * len(places), 1.1 + 0.22 * len(members))
    # cividis reads the same to colour-blind readers, and in grey
    ax.imshow(found, cmap="cividis", aspect="auto", interpolation="nearest", vmin=low, vmax=high)
    for line, row in enumerate(found.tolist()):
        for column, value in enumerate(row):
            bright = high > low and (value - low) / (high - low) > 0.55
            ax.text(
                column,
                line,
                label(written[line][column]),
                ha="center",
                va="center",
                fontsize=6,
                color="#000" if bright else "#fff",
            )
    polish(ax, title, across, "", grid=None)
    ax.set_xticks(range(len(places)), [shorten(place) for place in places])
    ax.set_yticks(range(len(members)), [shorten(member) for member in members])
    return ax
