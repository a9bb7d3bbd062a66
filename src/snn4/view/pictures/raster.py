"""Which neuron fired at which step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from snn4.view.pictures.canvas import BLUE, VERMILLION, Array, axes_or_new, numbers, polish, whole_steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["raster"]

# beyond this many marks an SVG becomes heavy: the marks, not the axes, are then stored as pixels
_MANY = 1500


def raster(spikes: Array, *, ax: Axes | None = None, title: str = "Spikes") -> Axes:
    """Draw a mark at (step, neuron) for every spike; steps count from 1, neurons from 0.

    Negative spikes (ternary neurons) get their own colour and are drawn as flat marks.

    Args:
        spikes: what the neurons sent, zero where silent.
        ax: where to draw; a new figure by default.
        title: above the picture.

    Shape:
        spikes: (T, N).

    Raises:
        ShapeError: not (T, N).

    Example:
        >>> ax = raster([[1, 0], [0, 1], [0, 1]])
        >>> ax.collections[0].get_offsets().tolist()
        [[1.0, 0.0], [2.0, 1.0], [3.0, 1.0]]
    """
    values = numbers(spikes, "spikes", 2, what="(T, N)")
    steps, neurons = values.shape
    ax = axes_or_new(ax)
    box = ax.get_position()
    width, height = (float(side) * 72 for side in ax.get_figure(root=True).get_size_inches())  # pyright: ignore[reportOptionalMemberAccess]
    # a mark fills most of its row and, where steps are few, a good part of its column
    tall = float(np.clip(0.8 * box.height * height / neurons, 1.2, 9.0))
    wide = float(np.clip(0.35 * box.width * width / steps, 0.8, 7.0))
    for sign, colour, marker in ((1, BLUE, "|"), (-1, VERMILLION, "_")):
        t, n = np.nonzero(values * sign > 0)
        if sign == 1 or len(t):
            size, line = (tall, wide) if sign == 1 else (max(wide, 3.0), min(tall, 3.0))
            ax.scatter(t + 1, n, s=size**2, linewidths=line, c=colour, marker=marker, rasterized=len(t) > _MANY)
    polish(ax, title, "time step", "neuron", grid=None)
    whole_steps(ax, steps)
    ax.set_ylim(-0.5, neurons - 0.5)
    return ax
