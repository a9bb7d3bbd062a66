"""ATan: heavy tails, the field's usual default.

    psi(x) = (alpha / 2) / (1 + (pi alpha x / 2)^2)        Psi(x) = atan(pi alpha x / 2) / pi + 1/2

Paper: [fang2021plif]
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import Value
from snn4.surrogates.surrogate import SCALE, Surrogate

__all__ = ["ATan"]


class ATan(Surrogate):
    """The derivative of an arctangent, area 1, peak alpha / 2.

    Args:
        alpha: steepness; a float, a tensor, or learned.

    Example:
        >>> ATan().derivative(torch.zeros(1))
        tensor([1.])
    """

    alpha: float | Tensor

    def __init__(self, alpha: Value = 2.0) -> None:
        super().__init__()
        self.quantity("alpha", alpha, SCALE)

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """(alpha / 2) / (1 + (pi alpha x / 2)^2)."""
        z = (math.pi / 2 * self.alpha) * x
        return (self.alpha / 2) / (1 + z * z)

    def primitive(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """atan(pi alpha x / 2) / pi + 1/2."""
        return torch.atan((math.pi / 2 * self.alpha) * x) / math.pi + 0.5

    @property
    def area(self) -> float:
        """1."""
        return 1.0
