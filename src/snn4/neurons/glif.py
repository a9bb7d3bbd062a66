"""GLIF: a LIF with learned gates between the kinds of leak, input and reset.

    i[t] = x[t] (1 - beta (1 - c))
    v[t] = (1 - alpha (1 - tau)) v[t-1] (1 - gamma s[t-1]) - (1 - alpha) leak + i[t] - (1 - gamma) v_re s[t-1]
    s[t] = H(v[t] - v_threshold)

alpha goes from a linear leak (0) to an exponential one (1), beta from a free input (0) to a gated one, gamma from a
soft reset (0) to a hard one (1). alpha = 1, beta = 0, gamma = 1 is a LIF that keeps tau of its membrane, reset to 0.

Paper: [yao2022glif]
Differs from the paper: one conductance c for all steps, where the paper learns one a step; so any number of steps can
be run, and in chunks.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import NON_NEGATIVE, Learned, Value, between
from snn4.core.states import state
from snn4.neurons.spiking import SpikingNeuron
from snn4.surrogates import Rectangle, Surrogate

__all__ = ["GLIF"]

_UNIT = between(0, 1, curve="sigmoid")
# the paper draws the gates towards 1/2, by (g - 1/2) / 2 + 1/2; the ends are those of a LIF
_OPEN, _SHUT, _TAU, _C, _THRESHOLD = Learned(0.75), Learned(0.25), Learned(0.25), Learned(0.5), Learned(0.5)
# v_threshold / (2 T) for T = 4
_LEAK = Learned(0.0625)


class GLIF(SpikingNeuron):
    """Gated LIF. Every quantity may be a float, a tensor, or learned; by default all are learned, one a layer.

    Args:
        alpha: gate of the leak.
        beta: gate of the input.
        gamma: gate of the reset.
        tau: what the exponential leak keeps.
        leak: what the linear leak takes in a step; the paper starts at v_threshold / (2 T).
        c: conductance of the gated input.
        v_re: what the soft reset subtracts.
        v_threshold: fires at v >= v_threshold.
        surrogate: default `Rectangle()`, the paper's.
        detach_reset: whether the reset is a constant for the gradient.

    Shape: (T, B, *features), kept.

    Example:
        >>> import torch
        >>> GLIF(alpha=1.0, beta=0.0, gamma=1.0, tau=0.5)(torch.full((4, 1, 1), 0.4)).flatten().tolist()
        [0.0, 1.0, 0.0, 1.0]
    """

    State = state("v", "s")
    alpha: float | Tensor
    beta: float | Tensor
    gamma: float | Tensor
    tau: float | Tensor
    leak: float | Tensor
    c: float | Tensor
    v_re: float | Tensor

    def __init__(
        self,
        alpha: Value = _OPEN,
        beta: Value = _SHUT,
        gamma: Value = _OPEN,
        tau: Value = _TAU,
        leak: Value = _LEAK,
        c: Value = _C,
        v_re: Value = _THRESHOLD,
        v_threshold: Value = _THRESHOLD,
        surrogate: Surrogate | None = None,
        *,
        detach_reset: bool = False,
    ) -> None:
        super().__init__(v_threshold, None, surrogate or Rectangle(), detach_reset=detach_reset)
        for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma), ("tau", tau), ("c", c)):
            self.quantity(name, value, _UNIT)
        self.quantity("leak", leak, NON_NEGATIVE)
        self.quantity("v_re", v_re, NON_NEGATIVE)

    @property
    def decay_of_v(self) -> float | Tensor:
        """1 - alpha (1 - tau)."""
        return 1 - self.alpha * (1 - self.tau)

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """The gated input, both leaks and both resets, then fire."""
        alpha, gamma = self.alpha, self.gamma
        r = state.s.detach() if self.detach_reset else state.s
        kept = self.decay_of_v * state.v * (1 - gamma * r)
        v = kept + x * (1 - self.beta * (1 - self.c)) - (1 - alpha) * self.leak - ((1 - gamma) * self.v_re) * r
        s = self.spike(v - self.v_threshold)
        return s, self.State(v, s)
