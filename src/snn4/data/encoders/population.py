"""Population encoding: a row of units with overlapping Gaussian receptive fields instead of one value.

    a_i(x) = exp(-(x - c_i)^2 / (2 sigma^2)),     i = 1 .. n
    c_i    = low + (2 i - 3) / 2 * (high - low) / (n - 2)
    sigma  = (high - low) / (beta (n - 2))

Paper: [bohte2002spikeprop].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from snn4.core.errors import OptionError, ShapeError
from snn4.data.encoders.encoder import Encoder, check_unit

__all__ = ["Population"]


@dataclass(frozen=True)
class Population:
    """Activities of `units` receptive fields a value, made into a sequence by another encoder.

    Two units tell the value exactly: `ln(a_i / a_j) = (c_i - c_j) (x - (c_i + c_j) / 2) / sigma^2`. The first and the
    last centre lie outside the range, so that its ends are seen from both sides.

    Args:
        then: what makes the activities, which lie in [0, 1], into a sequence: `Direct(8)`, `Poisson(8)`, ...
        units: receptive fields a value, 3 or more.
        low, high: range of the values.
        beta: how narrow the fields are; the paper uses 1 to 2.

    Shape:
        x (B, F, *G) in [low, high]; (steps, B, F * units, *G), the units of one feature side by side.

    Raises:
        OptionError: units below 3, an empty range, beta not above 0, x outside the range.
        ShapeError: x is not floating point or has no feature axis.
        NotFiniteError: x has NaN or infinity.

    Example:
        >>> from snn4.data import Direct
        >>> Population(Direct(1), units=4)(torch.tensor([[0.25]]))
        tensor([[[0.3247, 1.0000, 0.3247, 0.0111]]])
    """

    then: Encoder
    units: int
    low: float = 0.0
    high: float = 1.0
    beta: float = 1.5

    def __post_init__(self) -> None:
        if self.units < 3:
            raise OptionError(f"Population got units = {self.units}", "3 receptive fields or more")
        if not self.low < self.high:
            raise OptionError(f"Population got low = {self.low} and high = {self.high}", "low below high")
        if not self.beta > 0:
            raise OptionError(f"Population got beta = {self.beta}", "a number above 0")

    @property
    def steps(self) -> int:
        """Length of the sequence."""
        return self.then.steps

    @property
    def centres(self) -> Tensor:
        """Where each field is centred, (units,), float64."""
        return self.low + (torch.arange(self.units, dtype=torch.float64) - 0.5) * self._spacing

    @property
    def sigma(self) -> float:
        """Width of the fields."""
        return self._spacing / self.beta

    @property
    def _spacing(self) -> float:
        return (self.high - self.low) / (self.units - 2)

    def __call__(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """The sequence of a batch."""
        return self.then(self.activity(x), generator)

    def activity(self, x: Tensor) -> Tensor:
        """Activities of the fields, (B, F * units, *G), in [0, 1]."""
        check_unit("Population", x, self.low, self.high)
        if x.dim() < 2:
            raise ShapeError(f"Population got x of shape {tuple(x.shape)}", "(B, F, *features)", "x[:, None] adds F.")
        centres = self.centres.to(device=x.device, dtype=x.dtype).reshape(-1, *[1] * (x.dim() - 2))
        return torch.exp(-(((x.unsqueeze(2) - centres) / self.sigma) ** 2) / 2).flatten(1, 2)
