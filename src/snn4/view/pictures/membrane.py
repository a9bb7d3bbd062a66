"""What the membrane did: trace, threshold and spikes."""

from __future__ import annotations

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
    whole_steps,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["membrane"]

_COLOURS = (BLUE, GREEN, PURPLE, SKY, ORANGE, GREY)
_LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))


def membrane(
    v: Array,
    *,
    threshold: Array | None = None,
    spikes: Array | None = None,
    ax: Axes | None = None,
    title: str = "Membrane",
) -> Axes:
    """Draw the membrane before its reset, the threshold as a dashed line and a triangle at every spike.

    Args:
        v: the membrane before its reset, of one neuron or of a few.
        threshold: one for all, or one for each neuron.
        spikes: zero where silent, shaped like `v`.
        ax: where to draw; a new figure by default.
        title: above the picture.

    Shape:
        v: (T) or (T, K); threshold: () or (K); spikes: as v.

    Raises:
        ShapeError: shapes that do not belong together.

    Example:
        >>> ax = membrane([0.5, 1.2, 0.3], threshold=1.0, spikes=[0, 1, 0])
        >>> ax.lines[0].get_ydata().tolist()
        [0.5, 1.2, 0.3]
    """
    values = numbers(v, "v", 1, 2, what="(T) or (T, K)")
    values = values.reshape(len(values), -1)
    steps, neurons = values.shape
    fired = np.zeros_like(values) if spikes is None else numbers(spikes, "spikes", 1, 2, what="as v")
    fired = fired.reshape(len(fired), -1)
    if fired.shape != values.shape:
        raise ShapeError(
            f"membrane got spikes of shape {fired.shape} and v of shape {values.shape}",
            "the same shape for both",
            "Record both from the same neurons over the same steps.",
        )
    levels = None if threshold is None else np.atleast_1d(numbers(threshold, "threshold", 0, 1, what="() or (K)"))
    if levels is not None and len(levels) not in (1, neurons):
        raise ShapeError(
            f"membrane got {len(levels)} thresholds for {neurons} neurons",
            "one threshold, or one for each neuron",
            "Take the threshold of the neurons that are drawn.",
        )
    ax = axes_or_new(ax)
    time = np.arange(1, steps + 1)
    for k in range(neurons):
        name = "membrane before reset" if neurons == 1 else f"neuron {k}"
        dot = "." if steps <= 40 else ""
        ax.plot(
            time, values[:, k], color=_COLOURS[k % 6], linestyle=_LINES[k % 6], marker=dot, linewidth=1.4, label=name
        )
    for k, level in enumerate([] if levels is None else np.unique(levels)):
        name = "threshold" if k == 0 else None
        ax.axhline(float(level), color="#000000", linestyle=(0, (4, 3)), linewidth=0.9, label=name)
    t, n = np.nonzero(fired)
    if len(t):
        ax.scatter(t + 1, values[t, n], marker="^", c=VERMILLION, s=34, zorder=3, label="spike")
    polish(ax, title, "time step", "membrane (model units)")
    whole_steps(ax, steps)
    # room for the legend above the traces
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, top + 0.3 * (top - bottom))
    legend(ax, columns=4, place="upper left")
    return ax
