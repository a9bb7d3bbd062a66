"""CLIF: a LIF with a complementary potential that remembers spikes and deepens the reset.

    h[t] = (1 - 1/tau) v[t-1] + x[t];     s[t] = H(h[t] - v_threshold)
    m[t] = m[t-1] sigmoid(h[t] / tau) + s[t]
    v[t] = h[t] - s[t] (v_threshold + sigmoid(m[t]))

It learns nothing of its own; m gives the gradient a second way through time.

Paper: [huang2024clif]
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import Value
from snn4.core.states import state
from snn4.neurons.decay import euler
from snn4.neurons.spiking import SpikingNeuron
from snn4.surrogates import Rectangle, Surrogate

__all__ = ["CLIF"]


class CLIF(SpikingNeuron):
    """Complementary LIF.

    Args:
        tau: membrane time constant in steps; a float, a tensor, or learned.
        v_threshold: fires at h >= v_threshold; a float, a tensor, or learned.
        surrogate: default `Rectangle()`, the paper's.
        detach_reset: whether the reset is a constant for the gradient.

    Shape: (T, B, *features), kept.

    Example:
        >>> import torch
        >>> CLIF()(torch.ones(6, 1, 1)).flatten().tolist()
        [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]
    """

    State = state("v", "m")
    tau: float | Tensor

    def __init__(
        self,
        tau: Value = 2.0,
        v_threshold: Value = 1.0,
        surrogate: Surrogate | None = None,
        *,
        detach_reset: bool = False,
    ) -> None:
        super().__init__(v_threshold, None, surrogate or Rectangle(), detach_reset=detach_reset)
        self.quantity("tau", tau, euler.domain(1.0))

    @property
    def decay_of_v(self) -> float | Tensor:
        """1 - 1 / tau."""
        return 1 - 1 / self.tau

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """Charge as a LIF, fire, and reset by more the more it has fired of late."""
        h = self.decay_of_v * state.v + x
        s = self.spike(h - self.v_threshold)
        m = state.m * torch.sigmoid(h * (1 / self.tau)) + s
        r = s.detach() if self.detach_reset else s
        return s, self.State(h - r * (self.v_threshold + torch.sigmoid(m)), m)
