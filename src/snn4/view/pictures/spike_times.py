"""Exact spike times: events as marks, and potentials as curves in continuous time."""

from __future__ import annotations

from collections.abc import Sequence
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

__all__ = ["events", "potential", "potentials"]

_COLOURS = (BLUE, GREEN, PURPLE, SKY, ORANGE, GREY)
_LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
_MANY = 1500


def events(
    times: Array, neurons: Array, *, window: float = 1.0, ax: Axes | None = None, title: str = "Spike times"
) -> Axes:
    """Draw a mark at (time, neuron) for every spike.

    Args:
        times: when.
        neurons: who, as numbers.
        window: the end of time.
        ax: where to draw; a new figure by default.
        title: above the picture.

    Shape:
        times: (E); neurons: (E).

    Raises:
        ShapeError: the two differ in length, or there is no spike.

    Example:
        >>> ax = events([0.1, 0.25], [3, 0])
        >>> ax.collections[0].get_offsets().tolist()
        [[0.1, 3.0], [0.25, 0.0]]
    """
    when, who = numbers(times, "times", 1, what="(E)"), numbers(neurons, "neurons", 1, what="(E)")
    if when.shape != who.shape:
        raise ShapeError(
            f"events got {len(when)} times and {len(who)} neurons", "one neuron a time", "Flatten both in one way."
        )
    ax = axes_or_new(ax)
    ax.scatter(
        when,
        who,
        s=float(np.clip(3000 / len(when), 7, 120)),
        linewidths=0.9,
        c=BLUE,
        marker="|",
        rasterized=len(when) > _MANY,
    )
    polish(ax, title, "time (windows)", "neuron", grid=None)
    ax.set_xlim(0, window)
    ax.set_ylim(-0.5, float(who.max()) + 0.5)
    return ax


def potential(
    time: Array,
    v: Array,
    *,
    current: Array | None = None,
    threshold: float | None = None,
    spikes: Array | None = None,
    ax: Axes | None = None,
    title: str = "Potential and current of one neuron",
) -> Axes:
    """Draw the potential of one neuron, its synaptic current on an axis of its own, the threshold and its spikes.

    Args:
        time: when potential and current are given.
        v: the potential.
        current: the synaptic current, which a spike does not reset.
        threshold: as a dashed line.
        spikes: their times, as triangles at the threshold.
        ax: where to draw; a new figure by default.
        title: above the picture.

    Shape:
        time, v, current: (G); spikes: (K).

    Raises:
        ShapeError: lengths that do not belong together.

    Example:
        >>> ax = potential([0.0, 0.5, 1.0], [0.0, 0.6, 0.1], threshold=1.0)
        >>> ax.lines[0].get_ydata().tolist()
        [0.0, 0.6, 0.1]
    """
    when, values = numbers(time, "time", 1, what="(G)"), numbers(v, "v", 1, what="(G)")
    if when.shape != values.shape:
        raise ShapeError(f"potential got {len(when)} times and {len(values)} potentials", "as many of both")
    ax = axes_or_new(ax)
    ax.plot(when, values, color=BLUE, linewidth=1.4, label="potential")
    if threshold is not None:
        ax.axhline(float(threshold), color="#000000", linestyle=(0, (4, 3)), linewidth=0.9, label="threshold")
        if spikes is not None and np.size(spikes):
            at = numbers(spikes, "spikes", 1, what="(K)")
            ax.scatter(at, np.full(len(at), float(threshold)), marker="^", c=VERMILLION, s=34, zorder=3, label="spike")
    polish(ax, title, "time (windows)", "potential (thresholds)")
    if current is not None:
        flow = numbers(current, "current", 1, what="(G)")
        if flow.shape != when.shape:
            raise ShapeError(f"potential got {len(when)} times and {len(flow)} currents", "as many of both")
        beside = ax.twinx()
        beside.plot(when, flow, color=ORANGE, linestyle="-.", linewidth=1.1)
        beside.set_ylabel("current (dash-dotted)", fontsize=9)
        beside.tick_params(labelsize=8)
        beside.spines["top"].set_visible(False)
    ax.set_xlim(float(when[0]), float(when[-1]))
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, top + 0.3 * (top - bottom))
    legend(ax, columns=3, place="upper left")
    return ax


def potentials(
    time: Array,
    v: Array,
    *,
    names: Sequence[str] | None = None,
    chosen: int | None = None,
    threshold: float | None = None,
    ax: Axes | None = None,
    title: str = "Potentials",
) -> Axes:
    """Draw the potentials of several neurons; with `chosen`, one in blue and the others in grey.

    Args:
        time: when they are given.
        v: the potentials.
        names: of the neurons, for the legend; without names there is none.
        chosen: the one that stands out.
        threshold: as a dashed line.
        ax: where to draw; a new figure by default.
        title: above the picture.

    Shape:
        time: (G); v: (G, N).

    Raises:
        ShapeError: sizes that do not belong together.

    Example:
        >>> ax = potentials([0.0, 1.0], [[0.0, 0.0], [0.5, -0.2]], names=["cat", "dog"], chosen=0)
        >>> [line.get_label() for line in ax.lines if not line.get_label().startswith("_")]
        ['cat']
    """
    when, values = numbers(time, "time", 1, what="(G)"), numbers(v, "v", 2, what="(G, N)")
    if len(when) != len(values) or (names is not None and len(names) != values.shape[1]):
        raise ShapeError(
            f"potentials got {len(when)} times, v of shape {values.shape} and {len(names or [])} names",
            "(G), (G, N) and N names",
        )
    ax = axes_or_new(ax)
    for n in range(values.shape[1]):
        stands_out = chosen is None or n == chosen
        ax.plot(
            when,
            values[:, n],
            color=(_COLOURS[n % 6] if chosen is None else BLUE) if stands_out else GREY,
            linestyle=_LINES[n % 6] if chosen is None else "-",
            linewidth=1.3 if stands_out else 0.8,
            zorder=3 if stands_out else 2,
            label=shorten(names[n], 16) if names is not None and stands_out else None,
        )
    if threshold is not None:
        ax.axhline(float(threshold), color="#000000", linestyle=(0, (4, 3)), linewidth=0.9)
    polish(ax, title, "time (windows)", "potential")
    ax.set_xlim(float(when[0]), float(when[-1]))
    legend(ax)
    return ax
