"""Gaussian: a normal density around the threshold.

    psi(x) = N(x; 0, sigma)        Psi(x) = (1 + erf(x / (sigma sqrt 2))) / 2

Paper: [yin2021srnn]
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import Value
from snn4.surrogates.surrogate import SCALE, Surrogate

__all__ = ["Gaussian", "cumulative", "density"]


def density(x: Tensor, mean: float | Tensor, sigma: float | Tensor) -> Tensor:
    """The normal density N(x; mean, sigma)."""
    # by the reciprocal: it is the same for all elements, and a division takes a quarter of an exponential
    rate = 1 / sigma
    z = (x - mean) * (math.sqrt(0.5) * rate)
    return torch.exp(-(z * z)) * (rate / math.sqrt(2 * math.pi))


def cumulative(x: Tensor, mean: float | Tensor, sigma: float | Tensor) -> Tensor:
    """The integral of `density` from minus infinity to x."""
    return 0.5 + 0.5 * torch.erf((x - mean) / (math.sqrt(2) * sigma))


class Gaussian(Surrogate):
    """A normal density of area 1.

    Args:
        sigma: its standard deviation; a float, a tensor, or learned.

    Example:
        >>> Gaussian(sigma=0.5).derivative(torch.zeros(1))
        tensor([0.7979])
    """

    sigma: float | Tensor

    def __init__(self, sigma: Value = 0.5) -> None:
        super().__init__()
        self.quantity("sigma", sigma, SCALE)

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """N(x; 0, sigma)."""
        return density(x, 0.0, self.sigma)

    def primitive(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """(1 + erf(x / (sigma sqrt 2))) / 2."""
        return cumulative(x, 0.0, self.sigma)

    @property
    def area(self) -> float:
        """1."""
        return 1.0
