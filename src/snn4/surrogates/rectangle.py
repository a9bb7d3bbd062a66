"""Rectangle: a constant gradient in a window around the threshold.

    psi(x) = 1 / width if |x| < width / 2 else 0        Psi(x) = x / width + 1/2, clipped to [0, 1]

Paper: [wu2018stbp]
Differs from the paper: `width` is the whole window here; the authors' code writes half of it.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import Value
from snn4.surrogates.surrogate import SCALE, Surrogate

__all__ = ["Rectangle", "ramp", "window"]


def window(x: Tensor, width: float | Tensor) -> Tensor:
    """1 / width where |x| < width / 2, else 0."""
    return (x.abs() < width / 2).to(x.dtype) / width


def ramp(x: Tensor, width: float | Tensor) -> Tensor:
    """The integral of `window` from minus infinity to x."""
    return (x / width + 0.5).clamp(0, 1)


class Rectangle(Surrogate):
    """A window of area 1.

    Args:
        width: the whole window; a float, a tensor, or learned.

    Example:
        >>> import torch
        >>> Rectangle(width=0.5).derivative(torch.tensor([0.0, 0.2, 0.3]))
        tensor([2., 2., 0.])
    """

    width: float | Tensor

    def __init__(self, width: Value = 1.0) -> None:
        super().__init__()
        self.quantity("width", width, SCALE)

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """1 / width inside the window."""
        return window(x, self.width)

    def primitive(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """x / width + 1/2, clipped."""
        return ramp(x, self.width)

    @property
    def area(self) -> float:
        """1."""
        return 1.0
