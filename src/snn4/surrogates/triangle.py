"""Triangle: a piecewise linear hat.

    psi(x) = max(0, width - |x|) / width^2
    Psi(x) = 1/2 + u - u |u| / 2,   u = x / width clipped to [-1, 1]

Paper: [esser2016truenorth]
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import POSITIVE, Value
from snn4.surrogates.surrogate import Surrogate

__all__ = ["Triangle"]


class Triangle(Surrogate):
    """A hat of area 1, zero beyond `width` on either side of the threshold.

    Args:
        width: half of the base; a float, a tensor, or learned.

    Example:
        >>> Triangle().derivative(torch.tensor([0.0, 0.5, 2.0]))
        tensor([1.0000, 0.5000, 0.0000])
    """

    width: float | Tensor

    def __init__(self, width: Value = 1.0) -> None:
        super().__init__()
        self.quantity("width", width, POSITIVE)

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """max(0, width - |x|) / width^2."""
        return torch.relu(self.width - x.abs()) / (self.width * self.width)

    def primitive(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """1/2 + u - u |u| / 2."""
        u = (x / self.width).clamp(-1, 1)
        return 0.5 + u - 0.5 * u * u.abs()

    @property
    def area(self) -> float:
        """1."""
        return 1.0
