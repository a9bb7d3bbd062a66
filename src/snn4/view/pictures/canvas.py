"""What every picture shares: where to draw, in which colours, from which arrays.

No global state: a `Figure` with its own Agg canvas, never pyplot, never `rcParams`. The colours are Okabe and Ito's,
which colour-blind readers tell apart; beside its colour a series always has its own line style, marker or hatch, so
that a greyscale print keeps the meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from snn4.core.errors import NotFiniteError, ShapeError
from snn4.core.optional import need
from snn4.view.pictures.fonts import families, label, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "LOOKS",
    "ORANGE",
    "PURPLE",
    "SKY",
    "VERMILLION",
    "Array",
    "Look",
    "axes_or_new",
    "figure",
    "legend",
    "numbers",
    "polish",
    "whole_steps",
]

Array: TypeAlias = "npt.ArrayLike | torch.Tensor"

BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, GREY = "#56B4E9", "#CC79A7", "#7F7F7F"


@dataclass(frozen=True)
class Look:
    """How one series is drawn, in colour and without it."""

    name: str
    colour: str
    line: str
    marker: str


# the three models that stand side by side everywhere
LOOKS: dict[str, Look] = {
    "snn": Look("SNN", BLUE, "-", "o"),
    "ann": Look("ANN", VERMILLION, "--", "s"),
    "ann_quantised": Look("quantised ANN", GREEN, "-.", "^"),
}


def figure(width: float, height: float) -> Figure:
    """An empty figure of `width` x `height` inches that belongs to nobody else."""
    made: Figure = need("matplotlib.figure", "to draw pictures").Figure(figsize=(width, height), layout="constrained")
    need("matplotlib.backends.backend_agg", "to draw pictures").FigureCanvasAgg(made)
    return made


def axes_or_new(ax: Axes | None, width: float = 6.4, height: float = 3.2) -> Axes:
    """`ax` itself, or the axes of a new figure."""
    return figure(width, height).add_subplot() if ax is None else ax


def polish(ax: Axes, title: str, across: str, up: str, *, grid: Literal["x", "y", "both"] | None = "y") -> None:
    """Title, labels with units and a quiet frame."""
    ax.set_title(shorten(title, 48), loc="left", fontsize=10, fontweight="bold", fontfamily=list(families()))
    ax.set_xlabel(label(across), fontsize=9)
    ax.set_ylabel(label(up), fontsize=9)
    ax.tick_params(labelsize=8)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.set_axisbelow(True)
    if grid:
        ax.grid(True, axis=grid, color=GREY, alpha=0.3, linewidth=0.6)


def legend(ax: Axes, columns: int = 1, place: Literal["best", "upper left"] = "best") -> None:
    """A legend without a box, where there are series to name."""
    if ax.get_legend_handles_labels()[1]:
        # the names in it may be the user's
        ax.legend(frameon=False, prop={"family": list(families()), "size": 8}, ncols=columns, loc=place)


def whole_steps(ax: Axes, steps: int) -> None:
    """A time axis of whole steps 1..T."""
    ax.xaxis.set_major_locator(need("matplotlib.ticker", "to draw pictures").MaxNLocator(integer=True))
    ax.set_xlim(0.5, steps + 0.5)


def numbers(values: Array, name: str, *ranks: int, what: str) -> npt.NDArray[np.float64]:
    """An array or tensor as finite float64, of one of the given ranks.

    Args:
        values: array, nested list, or tensor on any device.
        name: how the caller calls it, for the error.
        ranks: the numbers of axes that are right.
        what: the shape that is right, for the error: `"(T, N)"`.

    Raises:
        ShapeError: another rank, or nothing in it.
        NotFiniteError: NaN or infinity.

    Example:
        >>> numbers(torch.ones(2, 3), "spikes", 2, what="(T, N)").sum().item()
        6.0
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().to("cpu", torch.float64).numpy()
    made = np.asarray(values, dtype=np.float64)
    if made.ndim not in ranks or made.size == 0:
        raise ShapeError(
            f"the picture got {name} of shape {made.shape}", what, "Choose one sample and one layer before drawing."
        )
    if not np.isfinite(made).all():
        raise NotFiniteError(
            f"the picture got {name} with NaN or infinity", "finite numbers", "Look for a training run that diverged."
        )
    return made
