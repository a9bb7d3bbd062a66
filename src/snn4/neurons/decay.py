"""The two readings of a time constant, by name.

euler        beta = 1 - dt / tau         forward Euler; what most deep-learning papers mean; tau >= dt
exponential  beta = exp(-dt / tau)       the exact solution between two inputs; what physics means; tau > 0
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.core.quantity import Domain, above

__all__ = ["Decay", "euler", "exponential"]


@dataclass(frozen=True)
class Decay:
    """A reading of a time constant.

    Args:
        name: how it is called.
        closed: whether the smallest time constant itself is allowed.
        lowest: the smallest time constant in units of dt.
        of: dt / tau -> beta.
    """

    name: str
    lowest: float
    closed: bool
    of: Callable[[float | Tensor], float | Tensor]

    def domain(self, dt: float) -> Domain:
        """The time constants that are allowed."""
        return above(self.lowest * dt, closed=self.closed)

    def beta(self, tau: float | Tensor, dt: float) -> float | Tensor:
        """What is left of a membrane after one step."""
        return self.of(dt / tau)

    def __repr__(self) -> str:
        return self.name


def _exponential(ratio: float | Tensor) -> float | Tensor:
    return torch.exp(-ratio) if isinstance(ratio, Tensor) else math.exp(-ratio)


# functions with names, so that neurons can be pickled
def _euler(ratio: float | Tensor) -> float | Tensor:
    return 1 - ratio


euler = Decay("euler", lowest=1.0, closed=True, of=_euler)
exponential = Decay("exponential", lowest=0.0, closed=False, of=_exponential)


def check_dt(owner: str, dt: float) -> float:
    """A time step, if it is one."""
    if not (isinstance(dt, (int, float)) and math.isfinite(dt) and dt > 0):
        raise OptionError(f"{owner} got dt={dt!r}", "a length of time > 0, in the unit of tau")
    return float(dt)
