"""Poisson rate encoding: a value is the probability of a spike, at every step anew.

    y[t] = 1 with probability gain * x, else 0

Paper: [diehl2015fast].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from snn4.core.errors import OptionError
from snn4.data.encoders.encoder import check_steps, check_unit

__all__ = ["Poisson"]


@dataclass(frozen=True)
class Poisson:
    """Independent spikes, at the rate of the value (a Bernoulli process, what a Poisson process is in whole steps).

    The number of spikes in T steps has mean `T gain x` and variance `T gain x (1 - gain x)`.

    Args:
        steps: length of the sequence.
        gain: spikes a step for x = 1; above 0, at most 1.

    Shape:
        x (B, *F) in [0, 1]; (steps, B, *F), zeros and ones.

    Raises:
        OptionError: no step, a gain outside (0, 1], x outside [0, 1].
        ShapeError: x is not floating point.
        NotFiniteError: x has NaN or infinity.

    Example:
        >>> x = torch.tensor([[0.0, 0.25, 1.0]])
        >>> spikes = Poisson(steps=1000)(x, torch.Generator().manual_seed(0))
        >>> bool((spikes.mean(0) - x).abs().max() < 0.05)
        True
    """

    steps: int
    gain: float = 1.0

    def __post_init__(self) -> None:
        check_steps("Poisson", self.steps)
        if not 0 < self.gain <= 1:
            raise OptionError(f"Poisson got gain = {self.gain}", "a number above 0 and at most 1")

    def __call__(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """The sequence of a batch."""
        check_unit("Poisson", x)
        device = x.device if generator is None else generator.device
        # float32 whatever x is: half precision has too few numbers to tell rare spikes from no spikes
        draw = torch.rand((self.steps, *x.shape), generator=generator, device=device, dtype=torch.float32).to(x.device)
        return (draw < self.gain * x).to(x.dtype)

    def decode(self, spikes: Tensor) -> Tensor:
        """An estimate of the values: the mean rate over the gain."""
        return spikes.mean(0) / self.gain
