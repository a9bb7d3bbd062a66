"""Phase encoding: the binary digits of a value, one a step, the most significant first.

    y[t] = digit (t mod bits) + 1 behind the binary point of x,    weight of step t:  2^-((t mod bits) + 1)

Paper: [kim2018weighted].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from snn4.core.errors import OptionError
from snn4.data.encoders.encoder import check_steps, check_unit

__all__ = ["Phase"]

# beyond, float32 has no digits
_MOST_BITS = 24


@dataclass(frozen=True)
class Phase:
    """Weighted binary digits, repeated period by period.

    The value is cut off after `bits` digits: `floor(x 2^bits) / 2^bits`; x = 1 has all digits 1 and so decodes to
    `1 - 2^-bits`. Multiples of `2^-bits` below 1 are exact. Read by `sum_t weights[t] y[t] / periods`.

    Args:
        steps: length of the sequence, a multiple of `bits`.
        bits: digits of a period, at most 24.
        weighted: give every spike its weight as its size, so that a network without a clock sees what it counts for;
            else spikes are 0 and 1.

    Shape:
        x (B, *F) in [0, 1]; (steps, B, *F).

    Raises:
        OptionError: no step, bits outside 1..24, steps not a multiple of it, x outside [0, 1].
        ShapeError: x is not floating point.
        NotFiniteError: x has NaN or infinity.

    Example:
        >>> encoder = Phase(steps=4, bits=4)
        >>> encoder(torch.tensor([[0.625]])).flatten(), encoder.weights
        (tensor([1., 0., 1., 0.]), tensor([0.5000, 0.2500, 0.1250, 0.0625]))
    """

    steps: int
    bits: int = 8
    weighted: bool = False

    def __post_init__(self) -> None:
        check_steps("Phase", self.steps)
        if not 1 <= self.bits <= _MOST_BITS or self.steps % self.bits:
            raise OptionError(
                f"Phase got steps = {self.steps} and bits = {self.bits}",
                f"bits from 1 to {_MOST_BITS}, and steps that are a multiple of it",
                f"Phase(steps={self.steps}, bits={min(self.steps, _MOST_BITS)}) shows the digits once."
                if self.steps <= _MOST_BITS
                else "",
            )

    @property
    def weights(self) -> Tensor:
        """What a spike counts for in each step, (steps,)."""
        return torch.exp2(-1.0 - torch.arange(self.steps) % self.bits)

    def __call__(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """The sequence of a batch."""
        check_unit("Phase", x)
        wide = x.double() if x.dtype == torch.float64 else x.float()
        number = (wide * 2**self.bits).long().clamp(max=2**self.bits - 1)
        place = torch.arange(self.bits - 1, -1, -1, device=x.device).reshape(-1, *[1] * x.dim())
        digits = ((number >> place) & 1).to(x.dtype)
        spikes = digits.repeat(self.steps // self.bits, *[1] * x.dim())
        return spikes * self._weights(x) if self.weighted else spikes

    def decode(self, spikes: Tensor) -> Tensor:
        """The values, cut off after `bits` digits."""
        weighed = spikes if self.weighted else spikes * self._weights(spikes[0])
        return weighed.sum(0) / (self.steps // self.bits)

    def _weights(self, x: Tensor) -> Tensor:
        return self.weights.to(device=x.device, dtype=x.dtype).reshape(-1, *[1] * x.dim())
