"""Triangle: a piecewise linear hat.

    psi(x) = gamma max(0, width - |x|) / width^2
    Psi(x) = gamma (1/2 + u - u |u| / 2),   u = x / width clipped to [-1, 1]

Paper: [esser2016truenorth]
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.core.quantity import Value
from snn4.surrogates.surrogate import SCALE, Surrogate

__all__ = ["Triangle"]


class Triangle(Surrogate):
    """A hat of area gamma, zero beyond `width` on either side of the threshold.

    Args:
        width: half of the base; a float, a tensor, or learned.
        gamma: overall factor; below 1 it dampens the gradient through many steps of time.

    Example:
        >>> Triangle().derivative(torch.tensor([0.0, 0.5, 2.0]))
        tensor([1.0000, 0.5000, 0.0000])
    """

    width: float | Tensor

    def __init__(self, width: Value = 1.0, gamma: float = 1.0) -> None:
        super().__init__()
        if not 0 < gamma < math.inf:
            raise OptionError(f"Triangle got gamma={gamma}", "a finite number > 0")
        self.gamma = gamma
        self.quantity("width", width, SCALE)

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """gamma max(0, width - |x|) / width^2."""
        hat = torch.relu(self.width - x.abs()) / (self.width * self.width)
        return hat if self.gamma == 1 else self.gamma * hat

    def primitive(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """gamma (1/2 + u - u |u| / 2)."""
        u = (x / self.width).clamp(-1, 1)
        rise = 0.5 + u - 0.5 * u * u.abs()
        return rise if self.gamma == 1 else self.gamma * rise

    @property
    def area(self) -> float:
        """gamma."""
        return self.gamma

    def extra_repr(self) -> str:
        """The width, and the factor where there is one."""
        return super().extra_repr() + ("" if self.gamma == 1 else f", gamma={self.gamma:g}")
