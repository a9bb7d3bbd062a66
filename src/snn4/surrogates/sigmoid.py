"""Sigmoid: the derivative of the logistic function.

    psi(x) = alpha sigma(alpha x) (1 - sigma(alpha x))        Psi(x) = sigma(alpha x)

Paper: [neftci2019surrogate]
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import Value
from snn4.surrogates.surrogate import SCALE, Surrogate

__all__ = ["Sigmoid"]


class Sigmoid(Surrogate):
    """The derivative of a logistic function, area 1, peak alpha / 4.

    Args:
        alpha: steepness; a float, a tensor, or learned.

    Example:
        >>> Sigmoid().derivative(torch.zeros(1))
        tensor([1.])
    """

    alpha: float | Tensor

    def __init__(self, alpha: Value = 4.0) -> None:
        super().__init__()
        self.quantity("alpha", alpha, SCALE)

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """alpha sigma(alpha x) (1 - sigma(alpha x))."""
        y = torch.sigmoid(self.alpha * x)
        return self.alpha * (y * (1 - y))

    def primitive(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """sigma(alpha x)."""
        return torch.sigmoid(self.alpha * x)

    @property
    def area(self) -> float:
        """1."""
        return 1.0
