"""RPLIF: a LIF with a dynamic refractory period; each spike of a burst raises the threshold, one silent step ends it.

    h[t] = beta v[t-1] + x[t]   (or with decayed input);     s[t] = H(h[t] - theta[t]);     reset by theta[t]
    theta[t+1] = min(rise theta[t], cap v_threshold) where s[t] = 1, else v_threshold

rise = 1 is a LIF. The rise is a constant for the gradient.

Paper: [li2025rplif]
Differs from the paper: the cap, without which theta grows as rise^k in a burst of k spikes.
"""

from __future__ import annotations

import math
from typing import Any

from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.core.quantity import Value, above
from snn4.core.states import state
from snn4.neurons.decay import euler
from snn4.neurons.spiking import SpikingNeuron
from snn4.surrogates import Surrogate

__all__ = ["RPLIF"]


class RPLIF(SpikingNeuron):
    """LIF with a refractory threshold.

    Args:
        tau: membrane time constant in steps; a float, a tensor, or learned.
        v_threshold: the threshold at rest; a float, a tensor, or learned.
        rise: factor of the threshold after a spike, >= 1; a float, a tensor, or learned.
        v_reset: `None` for a soft reset, a number for a hard one.
        surrogate: default `ATan()`.
        cap: the highest threshold, in units of v_threshold.
        decay_input: whether the input is divided by tau.
        detach_reset: whether the reset is a constant for the gradient.

    Shape: (T, B, *features), kept.

    Example:
        >>> import torch
        >>> RPLIF()(torch.full((6, 1, 1), 2.5)).flatten().tolist()
        [1.0, 1.0, 0.0, 1.0, 1.0, 1.0]
    """

    State = state("v", "factor")
    tau: float | Tensor
    rise: float | Tensor

    def __init__(
        self,
        tau: Value = 2.0,
        v_threshold: Value = 1.0,
        rise: Value = 1.2,
        v_reset: float | None = None,
        surrogate: Surrogate | None = None,
        *,
        cap: float = 8.0,
        decay_input: bool = True,
        detach_reset: bool = False,
    ) -> None:
        super().__init__(v_threshold, v_reset, surrogate, detach_reset=detach_reset)
        if not 1 <= cap < math.inf:
            raise OptionError(f"RPLIF got cap={cap!r}", "a finite factor >= 1")
        self.quantity("tau", tau, euler.domain(1.0))
        self.quantity("rise", rise, above(1.0, closed=True))
        self.cap, self.decay_input = float(cap), decay_input

    @property
    def decay_of_v(self) -> float | Tensor:
        """1 - 1 / tau."""
        return 1 - 1 / self.tau

    def rest(self) -> Any:
        """The membrane at rest, the threshold where it starts."""
        return super().rest()._replace(factor=1.0)

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """Charge as a LIF, fire at the present threshold, raise or drop it."""
        beta = self.decay_of_v
        if self.decay_input:
            x = (1 - beta) * x
        if self.v_reset:
            x = x + (1 - beta) * self.v_reset
        h = beta * state.v + x
        theta = state.factor * self.v_threshold
        s = self.spike(h - theta)
        r = s.detach() if self.detach_reset else s
        v = h - r * theta if self.v_reset is None else h * (1 - r) + r * self.v_reset
        fired = s.detach()
        factor = 1 + fired * ((self.rise * state.factor).clamp(max=self.cap) - 1)
        return s, self.State(v, factor)

    def extra_repr(self) -> str:
        """The quantities, the reset and the cap."""
        return f"{super().extra_repr()}, cap={self.cap:g}{', decay_input' * self.decay_input}"
