"""Heterogeneous time constants: one per neuron, drawn from a distribution, and learned from there.

    LIF(tau=heterogeneous(20.0, 5.0, (128,)))

Paper: [perez2021heterogeneity, yin2021srnn]
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch

from snn4.core.errors import OptionError
from snn4.core.quantity import Learned

__all__ = ["heterogeneous"]

Distribution = Literal["normal", "uniform", "gamma", "lognormal"]


def heterogeneous(
    mean: float,
    std: float,
    shape: tuple[int, ...],
    distribution: Distribution = "normal",
    *,
    low: float = 1.0,
    generator: torch.Generator | None = None,
) -> Learned:
    """A learned quantity that starts with a value of its own for every neuron.

    Args:
        mean: of the distribution.
        std: its standard deviation.
        shape: the features of a layer, `(128,)`, or `(32, 1, 1)` for one a channel.
        distribution: `"normal"` (SRNN's), `"gamma"` (Perez-Nieves's), `"lognormal"` or `"uniform"`.
        low: what lies at or below is drawn again: time constants of one step, for the Euler decay.
        generator: draws; by default torch's own.

    Raises:
        OptionError: an unknown distribution, no spread, or a mean that `low` rules out.

    Example:
        >>> tau = heterogeneous(20.0, 5.0, (1000,), generator=torch.Generator().manual_seed(0)).value
        >>> 19 < tau.mean() < 21, 4.5 < tau.std() < 5.5
        (tensor(True), tensor(True))
    """
    draws = {
        "normal": lambda rng, n: rng.normal(mean, std, n),
        "uniform": lambda rng, n: rng.uniform(mean - math.sqrt(3) * std, mean + math.sqrt(3) * std, n),
        "gamma": lambda rng, n: rng.gamma((mean / std) ** 2, std**2 / mean, n),
        "lognormal": lambda rng, n: rng.lognormal(*_logarithmic(mean, std), n),
    }
    if distribution not in draws:
        raise OptionError(f"heterogeneous got distribution={distribution!r}", ", ".join(map(repr, draws)))
    if not (std > 0 and low < mean < math.inf) or (distribution in ("gamma", "lognormal") and mean <= 0):
        raise OptionError(f"heterogeneous got {mean=}, {std=}, {low=}", "std > 0 and low < mean")
    # numpy has all four, and takes its seed from torch's generator
    rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    values = draws[distribution](rng, shape)
    while (outside := ~(values > low)).any():
        values[outside] = draws[distribution](rng, int(outside.sum()))
    return Learned(torch.from_numpy(values).to(torch.get_default_dtype()))


def _logarithmic(mean: float, std: float) -> tuple[float, float]:
    """Mean and deviation of the logarithm."""
    variance = math.log1p((std / mean) ** 2)
    return math.log(mean) - variance / 2, math.sqrt(variance)
