"""The step of a spike, and the slope that stands in for its derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from snn4.core.errors import OptionError
from snn4.view.pictures.canvas import BLUE, VERMILLION, axes_or_new, legend, polish

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["surrogate"]


def surrogate(
    function: Callable[[torch.Tensor], torch.Tensor],
    *,
    low: float = -2.0,
    high: float = 2.0,
    points: int = 401,
    ax: Axes | None = None,
    title: str = "Surrogate",
) -> Axes:
    """Draw what a surrogate sends forward, and the derivative that it hands back.

    Args:
        function: elementwise, called once with membrane minus threshold; autograd gives the derivative.
        low: where the axis begins.
        high: where it ends.
        points: how finely to draw.
        ax: where to draw; a new figure by default.
        title: above the picture.

    Raises:
        OptionError: an empty interval or fewer than two points.

    Example:
        >>> ax = surrogate(torch.tanh, low=0.0, high=1.0, points=2)
        >>> [round(y, 3) for y in ax.lines[1].get_ydata().tolist()]
        [1.0, 0.42]
    """
    if not low < high or points < 2:
        raise OptionError(
            f"surrogate got low={low}, high={high}, points={points}", "low < high and two points", "Try -2, 2, 401."
        )
    u = torch.linspace(low, high, points, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        sent = function(u)
        (slope,) = torch.autograd.grad(sent.sum(), u)
    ax = axes_or_new(ax, 4.8, 3.0)
    x = u.detach().numpy()
    ax.plot(x, sent.detach().numpy(), color=BLUE, linewidth=1.8, label="sent forward")
    ax.plot(x, slope.numpy(), color=VERMILLION, linestyle="--", linewidth=1.8, label="derivative used backward")
    polish(ax, title, "membrane minus threshold", "value")
    legend(ax)
    return ax
