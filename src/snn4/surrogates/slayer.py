"""SLAYER's surrogate: an exponential on either side of the threshold.

    psi(x) = (c alpha / 2) e^(-alpha |x|)        Psi(x) = (c / 2) (1 + e^(alpha min(x, 0)) - e^(-alpha max(x, 0)))

Paper: [shrestha2018slayer]
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.core.quantity import Value
from snn4.surrogates.surrogate import SCALE, Surrogate

__all__ = ["Slayer"]


class Slayer(Surrogate):
    """A two-sided exponential of area c, peak c alpha / 2.

    Args:
        alpha: steepness; a float, a tensor, or learned.
        c: overall factor.

    Example:
        >>> Slayer().derivative(torch.tensor([0.0, 1.0]))
        tensor([1.0000, 0.0067])
    """

    alpha: float | Tensor

    def __init__(self, alpha: Value = 5.0, c: float = 0.4) -> None:
        super().__init__()
        if not 0 < c < math.inf:
            raise OptionError(f"Slayer got c={c}", "a finite number > 0")
        self.quantity("alpha", alpha, SCALE)
        self.c = c

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """(c alpha / 2) e^(-alpha |x|)."""
        return (self.c / 2 * self.alpha) * torch.exp(-self.alpha * x.abs())

    def primitive(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """(c / 2) (1 + e^(alpha min(x, 0)) - e^(-alpha max(x, 0)))."""
        # the two ends of a kink share the slope at 0, as they do in (x - |x|) / 2 for autograd
        low, high = (x - x.abs()) / 2, (x + x.abs()) / 2
        return self.c / 2 * (1 + torch.exp(self.alpha * low) - torch.exp(-self.alpha * high))

    @property
    def area(self) -> float:
        """c."""
        return self.c
