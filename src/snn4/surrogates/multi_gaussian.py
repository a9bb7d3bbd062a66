"""Multi-Gaussian: a density with negative flanks, so that a neuron far from the threshold is pushed the other way.

    psi(x) = gamma [ (1 + h) N(x; 0, sigma) - h N(x; d sigma, s sigma) - h N(x; -d sigma, s sigma) ]

`d = 1` is the paper's; `d = 0` lets both flanks fall together, the double Gaussian of the balanced resonators.

Paper: [yin2021srnn]
"""

from __future__ import annotations

import math
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.core.quantity import Value
from snn4.surrogates.gaussian import cumulative, density
from snn4.surrogates.surrogate import SCALE, Surrogate

__all__ = ["MultiGaussian", "double_gaussian"]


class MultiGaussian(Surrogate):
    """A normal density minus two wide ones, area gamma (1 - h).

    Args:
        sigma: standard deviation of the middle one; a float, a tensor, or learned.
        height: `h`, the weight of each flank.
        spread: `s`, how many times wider a flank is.
        gamma: overall factor.
        shift: `d`, how far from the threshold the flanks stand.

    Raises:
        OptionError: a number outside of its range.

    Example:
        >>> import torch
        >>> MultiGaussian().derivative(torch.tensor([0.0, 2.0]))
        tensor([ 0.4391, -0.0157])
    """

    sigma: float | Tensor

    def __init__(
        self,
        sigma: Value = 0.5,
        height: float = 0.15,
        spread: float = 6.0,
        gamma: float = 0.5,
        shift: float = 1.0,
    ) -> None:
        super().__init__()
        if not (0 <= height < 1 and 0 < spread < math.inf and 0 < gamma < math.inf and 0 <= shift < math.inf):
            raise OptionError(
                f"MultiGaussian got height={height}, spread={spread}, gamma={gamma}, shift={shift}",
                "0 <= height < 1 and finite numbers with spread > 0, gamma > 0, shift >= 0",
            )
        self.quantity("sigma", sigma, SCALE)
        self.height, self.spread, self.gamma, self.shift = height, spread, gamma, shift

    def _mix(self, curve: Callable[[Tensor, float | Tensor, float | Tensor], Tensor], x: Tensor) -> Tensor:
        """The sum of three curves of mean and standard deviation."""
        wide, away = self.spread * self.sigma, self.shift * self.sigma
        # flanks that fall together are one, and a third of all exponentials less
        flanks = curve(x, away, wide) + curve(x, -away, wide) if self.shift else 2 * curve(x, 0.0, wide)
        return self.gamma * ((1 + self.height) * curve(x, 0.0, self.sigma) - self.height * flanks)

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """gamma [(1 + h) N(x; 0, sigma) - h N(x; d sigma, s sigma) - h N(x; -d sigma, s sigma)]."""
        return self._mix(density, x)

    def primitive(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """The same mixture of cumulative normal distributions."""
        return self._mix(cumulative, x)

    @property
    def area(self) -> float:
        """gamma (1 - h)."""
        return self.gamma * (1 - self.height)


def double_gaussian(sigma: Value = 0.5) -> MultiGaussian:
    """Two normal densities around the threshold, a narrow one minus a wide one.

        psi(x) = 0.5 [ 1.15 N(x; 0, sigma) - 0.30 N(x; 0, 6 sigma) ]

    Paper: [higuchi2024brf]

    Example:
        >>> import torch
        >>> double_gaussian().derivative(torch.tensor([0.0, 2.0]))
        tensor([ 0.4388, -0.0158])
    """
    return MultiGaussian(sigma, shift=0.0)
