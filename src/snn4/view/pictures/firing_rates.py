"""How busy each layer is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from snn4.view.pictures.canvas import BLUE, axes_or_new, numbers, polish
from snn4.view.pictures.fonts import families, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["firing_rates"]


def firing_rates(
    rates: Mapping[str, float],
    *,
    silent: Mapping[str, float] | None = None,
    saturated: Mapping[str, float] | None = None,
    ax: Axes | None = None,
    title: str = "Firing rate of each layer",
) -> Axes:
    """Draw a bar for each layer: spikes per neuron and step, first layer on top.

    Args:
        rates: layer name to mean spikes per neuron and step.
        silent: layer name to the share of neurons that never fired, written beside the bar.
        saturated: layer name to the share of neurons that always fired, written beside the bar.
        ax: where to draw; a new figure by default.
        title: above the picture.

    Raises:
        ShapeError: no layer at all.
        NotFiniteError: a rate that is NaN or infinite.

    Example:
        >>> ax = firing_rates({"1": 0.25, "3": 0.1}, silent={"3": 0.5})
        >>> [float(bar.get_width()) for bar in ax.patches]
        [0.25, 0.1]
    """
    values = numbers(list(rates.values()), "rates", 1, what="one rate or more")
    ax = axes_or_new(ax, 6.4, 1.3 + 0.34 * len(values))
    ax.barh(range(len(values)), values.tolist(), color=BLUE, height=0.62)
    for row, (name, rate) in enumerate(rates.items()):
        notes = [f"{rate:.3g}"]
        notes += [f"silent {silent[name]:.0%}"] if silent and name in silent else []
        notes += [f"saturated {saturated[name]:.0%}"] if saturated and name in saturated else []
        ax.annotate(",  ".join(notes), (rate, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    ax.set_yticks(range(len(values)), [shorten(name) for name in rates], fontfamily=list(families()))
    polish(ax, title, "spikes per neuron and time step", "layer", grid="x")
    ax.invert_yaxis()
    # room for what is written beside the longest bar
    ax.set_xlim(0, max(float(values.max()) * 1.45, 1e-3))
    return ax
