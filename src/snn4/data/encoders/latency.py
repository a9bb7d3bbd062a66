"""Latency encoding: one spike a value, the earlier the larger the value; zero stays silent.

    linear        t = round((1 - x) (T - 1))                          x ~ 1 - t / (T - 1)
    logarithmic   t = the first step with exp(-t / tau) <= x          x ~ exp(-t / tau)

The logarithmic one is what a threshold sees that falls as exp(-t / tau): `t = ceil(-tau ln x)`. It resolves small
values finely, and those below `exp(-(T - 1) / tau)`, whose turn never comes, are silent too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from snn4.core.errors import OptionError
from snn4.data.encoders.encoder import check_steps, check_unit, spikes_at

__all__ = ["Latency", "LogLatency"]


@dataclass(frozen=True)
class Latency:
    """Linear latency: x = 1 spikes in the first step, the smallest values in the last.

    Paper: [thorpe2001spike].

    What is decoded differs from a value above 0 by half a step, `1 / (2 (T - 1))`, at the most.

    Args:
        steps: length of the sequence.

    Shape:
        x (B, *F) in [0, 1]; (steps, B, *F), zeros and ones, at most one 1 over time.

    Raises:
        OptionError: no step, x outside [0, 1].
        ShapeError: x is not floating point.
        NotFiniteError: x has NaN or infinity.

    Example:
        >>> encoder = Latency(steps=5)
        >>> encoder(torch.tensor([[1.0, 0.5, 0.0]]))[:, 0].T
        tensor([[1., 0., 0., 0., 0.],
                [0., 0., 1., 0., 0.],
                [0., 0., 0., 0., 0.]])
    """

    steps: int

    def __post_init__(self) -> None:
        check_steps("Latency", self.steps)

    def __call__(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """The sequence of a batch."""
        return spikes_at(self.times(x), self.steps, x.dtype)

    def times(self, x: Tensor) -> Tensor:
        """The step of each spike, as a floating-point number; infinity for none."""
        check_unit("Latency", x)
        times = ((1 - _wide(x)) * (self.steps - 1)).round()
        return times.masked_fill(x == 0, torch.inf)

    def decode(self, spikes: Tensor) -> Tensor:
        """The value of each spike's step; 0 for none."""
        return (1 - _first(spikes) / max(self.steps - 1, 1)).masked_fill(~spikes.bool().any(0), 0).to(spikes.dtype)


@dataclass(frozen=True)
class LogLatency:
    """Logarithmic latency: the value falls by the factor `exp(-1 / tau)` from one step to the next.

    Paper: [park2020t2fsnn].
    Differs from the paper: the threshold begins at 1, and neither it nor its delay is learned.

    What is decoded is at most the value, and more than the value times `exp(-1 / tau)`.

    Args:
        steps: length of the sequence.
        tau: time constant of the falling threshold in steps, above 0.

    Shape:
        x (B, *F) in [0, 1]; (steps, B, *F), zeros and ones, at most one 1 over time.

    Raises:
        OptionError: no step, tau not above 0, x outside [0, 1].
        ShapeError: x is not floating point.
        NotFiniteError: x has NaN or infinity.

    Example:
        >>> encoder = LogLatency(steps=4, tau=1.0)
        >>> encoder.times(torch.tensor([[1.0, 0.5, 0.1, 0.01, 0.0]]))
        tensor([[0., 1., 3., inf, inf]])
    """

    steps: int
    tau: float

    def __post_init__(self) -> None:
        check_steps("LogLatency", self.steps)
        if not self.tau > 0:
            raise OptionError(f"LogLatency got tau = {self.tau}", "a time constant above 0, in steps")

    def __call__(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """The sequence of a batch."""
        return spikes_at(self.times(x), self.steps, x.dtype)

    def times(self, x: Tensor) -> Tensor:
        """The step of each spike, as a floating-point number; infinity for none."""
        check_unit("LogLatency", x)
        wide = _wide(x)
        # counted in a table, because ceil(-tau ln x) would round some exact powers up by a step
        rising = self._threshold(wide).flip(0)
        times = self.steps - torch.searchsorted(rising, wide.contiguous(), right=True)
        return times.to(wide.dtype).masked_fill((times == self.steps) | (x == 0), torch.inf)

    def decode(self, spikes: Tensor) -> Tensor:
        """The threshold at each spike's step; 0 for none."""
        values = self._threshold(_wide(spikes))[_first(spikes).long()]
        return values.masked_fill(~spikes.bool().any(0), 0).to(spikes.dtype)

    def _threshold(self, like: Tensor) -> Tensor:
        return torch.exp(-torch.arange(self.steps, device=like.device, dtype=like.dtype) / self.tau)


def _wide(x: Tensor) -> Tensor:
    """Half precision has too few numbers to count steps with."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _first(spikes: Tensor) -> Tensor:
    """The step of the first spike; 0 where there is none."""
    return spikes.bool().to(torch.uint8).argmax(0).to(_wide(spikes).dtype)
