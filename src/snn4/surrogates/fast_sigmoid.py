"""Fast sigmoid: the surrogate of SuperSpike, cheap and without exponentials.

    psi(x) = 1 / (1 + slope |x|)^2        Psi(x) = x / (1 + slope |x|)

The peak is 1 for every slope, as published, so that the area shrinks as 2 / slope.

Paper: [zenke2018superspike]
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import Value
from snn4.surrogates.surrogate import SCALE, Surrogate

__all__ = ["FastSigmoid", "superspike"]


class FastSigmoid(Surrogate):
    """The derivative of a fast sigmoid, area 2 / slope, peak 1.

    Args:
        slope: steepness; a float, a tensor, or learned.

    Example:
        >>> import torch
        >>> FastSigmoid(slope=10.0).derivative(torch.tensor([0.0, 0.1]))
        tensor([1.0000, 0.2500])
    """

    slope: float | Tensor

    def __init__(self, slope: Value = 10.0) -> None:
        super().__init__()
        self.quantity("slope", slope, SCALE)

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """1 / (1 + slope |x|)^2."""
        z = 1 + self.slope * x.abs()
        return 1 / (z * z)

    def primitive(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """x / (1 + slope |x|)."""
        return x / (1 + self.slope * x.abs())

    @property
    def area(self) -> float | Tensor:
        """2 / slope."""
        return 2 / self.slope


def superspike(slope: Value = 100.0) -> FastSigmoid:
    """SuperSpike's setting of the fast sigmoid: a slope of 100 around the threshold.

    Paper: [zenke2018superspike]

    Example:
        >>> superspike()
        FastSigmoid(slope=100)
    """
    return FastSigmoid(slope)
