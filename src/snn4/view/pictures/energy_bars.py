"""Modelled energy as ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from snn4.core.errors import ShapeError
from snn4.core.optional import need
from snn4.view.pictures.canvas import GREY, LOOKS, Look, axes_or_new, numbers, polish
from snn4.view.pictures.fonts import families, shorten
from snn4.view.units import energy_range, energy_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["energy_bars"]

_KINDS = (("compute", "compute only", ""), ("with_memory", "with memory", "////"))


def energy_bars(
    energies: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    ax: Axes | None = None,
    title: str = "Modelled energy per sample",
) -> Axes:
    """Draw the range from the lowest to the highest energy model, for each network and each way of counting.

    Plain bars count the arithmetic alone, hatched ones below them the memory traffic too. Bars of one kind that overlap
    on the axis are ranges that these models cannot tell apart.

    Args:
        energies: network to `{"compute": (low, high), "with_memory": (low, high)}` in pJ per sample; a kind may lack.
        ax: where to draw; a new figure by default.
        title: above the picture.

    Raises:
        ShapeError: no range at all, or one that is not (low, high) with 0 <= low <= high.

    Example:
        >>> ax = energy_bars({"snn": {"compute": (2e3, 8e3)}})
        >>> float(ax.patches[0].get_x()), float(ax.patches[0].get_width()), ax.get_xlabel()
        (2.0, 6.0, 'energy per sample (nJ, logarithmic)')
    """
    rows = [
        (name, kind, hatch, _checked(name, ranges[key]))
        for key, kind, hatch in _KINDS
        for name, ranges in energies.items()
        if key in ranges
    ]
    top = max((high for *_, (_, high) in rows), default=0.0)
    if top <= 0:
        raise ShapeError("energy_bars got no energy above zero", "one range or more, in pJ", "Profile the model first.")
    least = min((low for *_, (low, _) in rows if low > 0), default=top)
    scale, unit = energy_unit((least * top) ** 0.5)
    ax = axes_or_new(ax, 6.4, 1.2 + 0.38 * len(rows))
    # a gap between the two kinds, which are not to be compared with each other
    places = [number + 0.5 * (kind != rows[0][1]) for number, (_, kind, _, _) in enumerate(rows)]
    for row, (name, _, hatch, (low, high)) in zip(places, rows, strict=True):
        look = LOOKS.get(name, Look(name, GREY, "-", "o"))
        # a logarithmic axis has no zero: what starts there starts a decade below everything else
        start, end = (max(value, least / 10) / scale for value in (low, high))
        ax.barh(row, end - start, left=start, height=0.6, color=look.colour, hatch=hatch, edgecolor="#ffffff", lw=0)
        if low == high:  # a bar without width would not be seen
            ax.plot([start], [row], color=look.colour, marker="|", markersize=14, markeredgewidth=3)
        ax.annotate(
            energy_range(low, high),
            (end, row),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    names = [f"{shorten(LOOKS[name].name if name in LOOKS else name)}, {kind}" for name, kind, _, _ in rows]
    ax.set_yticks(places, names, fontfamily=list(families()))
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(need("matplotlib.ticker", "to draw pictures").FuncFormatter(_plain))
    polish(ax, title, f"energy per sample ({unit}, logarithmic)", "", grid="x")
    ax.invert_yaxis()
    left, right = least / scale / 1.6, top / scale * 1.6
    # room for what is written beside the longest bar
    ax.set_xlim(left, right * (right / left) ** 0.35)
    return ax


def _plain(value: float, _: int) -> str:
    """0.1, 1, 10 instead of powers of ten."""
    return f"{value:g}"


def _checked(name: str, pair: Sequence[float]) -> tuple[float, float]:
    """(low, high), in order and not negative."""
    values = numbers(pair, f"energy of {name}", 1, what="(low, high)").tolist()
    if len(values) != 2 or not 0 <= values[0] <= values[1]:
        raise ShapeError(
            f"energy_bars got the range {values} for {name}", "(low, high) with 0 <= low <= high", "Give it in pJ."
        )
    return values[0], values[1]
