"""One sample: what went in, and what came out over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from snn4.core.errors import ShapeError
from snn4.view.pictures.canvas import (
    BLUE,
    GREY,
    VERMILLION,
    Array,
    axes_or_new,
    legend,
    numbers,
    polish,
    whole_steps,
)
from snn4.view.pictures.fonts import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["outputs", "sample_input"]


def sample_input(image: Array, *, ax: Axes | None = None, title: str = "Input") -> Axes:
    """Draw the input of one sample, values 0 to 1.

    One channel is drawn in grey, three in colour, two as the two polarities of an event camera (first vermillion,
    second blue, on white), other numbers as their mean. One axis only is drawn as a line.

    Args:
        image: the sample.
        ax: where to draw; a new figure by default.
        title: above the picture.

    Shape:
        image: (C, H, W), (H, W) or (F).

    Raises:
        ShapeError: another rank.

    Example:
        >>> sample_input([[0.0, 1.0]]).images[0].get_array().tolist()
        [[0.0, 1.0]]
    """
    values = numbers(image, "image", 1, 2, 3, what="(C, H, W), (H, W) or (F)")
    ax = axes_or_new(ax, 2.6, 2.6)
    if values.ndim == 1:
        ax.plot(np.arange(len(values)), values, color=BLUE, marker=".", linewidth=1.2)
        polish(ax, title, "feature", "value (0 to 1)")
        return ax
    if values.ndim == 2:
        values = values[None]
    if len(values) == 3:
        ax.imshow(np.clip(values.transpose(1, 2, 0), 0, 1), interpolation="nearest")
    elif len(values) == 2:
        first, second = np.clip(values, 0, 1)[..., None]
        paint = [np.array([int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)]) for c in (VERMILLION, BLUE)]
        # each polarity takes its complement away from white, as ink does
        ax.imshow(np.clip(1 - first * (1 - paint[0]) - second * (1 - paint[1]), 0, 1), interpolation="nearest")
    else:
        ax.imshow(values.mean(axis=0), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    polish(ax, title, "column (pixel)", "row (pixel)", grid=None)
    return ax


def outputs(
    values: Array,
    *,
    classes: Sequence[str] | None = None,
    label: int | None = None,
    prediction: int | None = None,
    ax: Axes | None = None,
    title: str = "Output of each class over time",
) -> Axes:
    """Draw the output of every class at every step: the predicted and the true class stand out, the others are grey.

    Args:
        values: the per-step outputs of one sample.
        classes: names of the classes; their numbers by default.
        label: the true class.
        prediction: the class that was chosen.
        ax: where to draw; a new figure by default.
        title: above the picture.

    Shape:
        values: (T, C).

    Raises:
        ShapeError: not (T, C), or a class that does not exist.

    Example:
        >>> ax = outputs([[0.1, 0.0], [0.2, 0.9]], label=1, prediction=1)
        >>> [line.get_label() for line in ax.lines if not line.get_label().startswith("_")]
        ['predicted and true: 1']
    """
    series = numbers(values, "values", 2, what="(T, C)")
    steps, count = series.shape
    for chosen in (label, prediction):
        if chosen is not None and not 0 <= chosen < count:
            raise ShapeError(f"outputs got class {chosen} of {count}", f"0 to {count - 1}", "Count classes from 0.")
    if classes is not None and len(classes) != count:
        raise ShapeError(
            f"outputs got {len(classes)} names for {count} classes",
            "one name a class",
            "Leave classes out to see numbers.",
        )
    names = [shorten(name, 16) for name in classes] if classes is not None else [str(c) for c in range(count)]
    ax = axes_or_new(ax)
    time = np.arange(1, steps + 1)
    dot = "." if steps <= 40 else ""
    for c in range(count):
        if c == prediction:
            role = "predicted and true" if c == label else "predicted"
            ax.plot(time, series[:, c], color=BLUE, marker=dot, linewidth=2, zorder=3, label=f"{role}: {names[c]}")
        elif c == label:
            ax.plot(
                time, series[:, c], color=VERMILLION, linestyle="--", linewidth=2, zorder=3, label=f"true: {names[c]}"
            )
        else:
            ax.plot(time, series[:, c], color=GREY, linewidth=0.8, alpha=0.8)
    polish(ax, title, "time step", "output (no unit)")
    whole_steps(ax, steps)
    legend(ax)
    return ax
