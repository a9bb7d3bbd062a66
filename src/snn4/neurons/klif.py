"""KLIF: a LIF whose membrane is scaled by a learned slope before it fires.

    h[t] = v[t-1] + (x[t] - (v[t-1] - v_reset)) / tau      or, without decayed input,   beta v[t-1] + x[t]
    f[t] = ReLU(k h[t]);      s[t] = H(f[t] - v_threshold)
    v[t] = reset of f[t]      or, with scale_reset, of f[t] with what remains divided by k

A layer with non-negative membranes and k = 1 is a LIF.

Paper: [jiang2023klif]
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import POSITIVE, Learned, Value
from snn4.core.states import state
from snn4.neurons.decay import euler
from snn4.neurons.spiking import SpikingNeuron
from snn4.surrogates import Surrogate

__all__ = ["KLIF"]

_ONE = Learned(1.0)


class KLIF(SpikingNeuron):
    """LIF with a learned slope.

    Args:
        k: the slope; a float, a tensor, or learned.
        tau: membrane time constant in steps; a float, a tensor, or learned.
        v_threshold: fires at f >= v_threshold; a float, a tensor, or learned.
        v_reset: `None` for a soft reset, a number for a hard one.
        surrogate: default `ATan()`.
        scale_reset: whether the membrane is divided by k again after firing.
        decay_input: whether the input is divided by tau.
        detach_reset: whether the reset is a constant for the gradient.

    Shape: (T, B, *features), kept.

    Example:
        >>> import torch
        >>> KLIF(k=2.0)(torch.full((4, 1, 1), 0.75)).flatten().tolist()
        [0.0, 1.0, 0.0, 1.0]
    """

    State = state("v")
    k: float | Tensor
    tau: float | Tensor

    def __init__(
        self,
        k: Value = _ONE,
        tau: Value = 2.0,
        v_threshold: Value = 1.0,
        v_reset: float | None = 0.0,
        surrogate: Surrogate | None = None,
        *,
        scale_reset: bool = False,
        decay_input: bool = True,
        detach_reset: bool = False,
    ) -> None:
        super().__init__(v_threshold, v_reset, surrogate, detach_reset=detach_reset)
        self.quantity("k", k, POSITIVE)
        self.quantity("tau", tau, euler.domain(1.0))
        self.scale_reset, self.decay_input = scale_reset, decay_input

    @property
    def decay_of_v(self) -> float | Tensor:
        """1 - 1 / tau."""
        return 1 - 1 / self.tau

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """Charge as a LIF, scale and rectify, then fire."""
        beta, k = self.decay_of_v, self.k
        if self.decay_input:
            x = (1 - beta) * x
        if self.v_reset:
            x = x + (1 - beta) * self.v_reset
        f = torch.relu(k * (beta * state.v + x))
        s = self.spike(f - self.v_threshold)
        if not self.scale_reset:
            return s, self.State(self.reset(f, s))
        if self.v_reset is None:
            return s, self.State(self.reset(f, s) / k)
        # the membrane is put to v_reset itself, not to v_reset / k
        return s, self.State(self.reset(f / k, s))

    def extra_repr(self) -> str:
        """The quantities, the reset and the options."""
        options = f"{', scale_reset' * self.scale_reset}{', decay_input' * self.decay_input}"
        return f"{super().extra_repr()}{options}"
