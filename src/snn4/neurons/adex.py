"""AdEx: the adaptive exponential integrate-and-fire neuron, in millivolts, milliseconds, picoamperes.

    C dv/dt = -g (v - v_rest) + g delta exp((v - v_t) / delta) - w + x;     tau_w dw/dt = k (v - v_rest) - w
    s[t] = H(v - v_threshold);     v <- v_reset,  w <- w + b    where it fired

Forward Euler; the exponent is cut at 20, so that a long step cannot reach infinity before the peak is seen.

Paper: [brette2005adex]
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import POSITIVE, REAL, Value
from snn4.core.states import state
from snn4.neurons.decay import check_dt
from snn4.neurons.spiking import SpikingNeuron
from snn4.surrogates import Surrogate

__all__ = ["AdEx"]

_EXPONENT = 20.0


class AdEx(SpikingNeuron):
    """Adaptive exponential integrate-and-fire; the defaults are the paper's. Inputs are currents in pA.

    The surrogate sees (v - v_threshold) / (v_threshold - v_rest), about 1 from rest to peak, whatever the unit.

    Args:
        c: capacitance, pF.
        g: leak conductance, nS.
        v_rest: where the leak draws to, mV.
        v_t: where the exponential takes over, mV.
        delta: how sharply it does, mV.
        tau_w: time constant of the adaptation, ms.
        k: adaptation of the membrane, nS (the paper's a).
        b: adaptation of a spike, pA.
        v_threshold: fires at v >= v_threshold, the peak of a spike, mV.
        v_reset: where a spike puts the membrane, mV.
        surrogate: default `ATan()`.
        detach_reset: whether the reset is a constant for the gradient.
        dt: length of a step, ms.

    Shape: (T, B, *features), kept.

    Example:
        >>> spikes = AdEx()(torch.full((3000, 1, 1), 1000.0))
        >>> spikes.flatten().nonzero().flatten()[:3].tolist()
        [120, 259, 421]
    """

    State = state("v", "w")
    c: float | Tensor
    g: float | Tensor
    v_rest: float | Tensor
    v_t: float | Tensor
    delta: float | Tensor
    tau_w: float | Tensor
    k: float | Tensor
    b: float | Tensor

    def __init__(
        self,
        c: Value = 281.0,
        g: Value = 30.0,
        v_rest: Value = -70.6,
        v_t: Value = -50.4,
        delta: Value = 2.0,
        tau_w: Value = 144.0,
        k: Value = 4.0,
        b: Value = 80.5,
        v_threshold: Value = 20.0,
        v_reset: float = -70.6,
        surrogate: Surrogate | None = None,
        *,
        detach_reset: bool = False,
        dt: float = 0.1,
    ) -> None:
        super().__init__(v_threshold, v_reset, surrogate, detach_reset=detach_reset, domain=REAL)
        self.dt = check_dt("AdEx", dt)
        for name, value in (("c", c), ("g", g), ("delta", delta), ("tau_w", tau_w)):
            self.quantity(name, value, POSITIVE)
        for name, value in (("v_rest", v_rest), ("v_t", v_t), ("k", k), ("b", b)):
            self.quantity(name, value, REAL)

    def rest(self) -> Any:
        """The membrane at rest, no adaptation."""
        return self.State(self.v_rest, 0.0)

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """One step of forward Euler, then fire."""
        above = state.v - self.v_rest
        rise = self.delta * torch.exp(((state.v - self.v_t) * (1 / self.delta)).clamp(max=_EXPONENT))
        v = state.v + (self.dt / self.c) * (self.g * (rise - above) - state.w + x)
        w = state.w + (self.dt / self.tau_w) * (self.k * above - state.w)
        s = self.spike((v - self.v_threshold) * (1 / (self.v_threshold - self.v_rest)))
        return s, self.State(self.reset(v, s), w + self.b * s)

    def extra_repr(self) -> str:
        """The quantities, the reset and the step."""
        return f"{super().extra_repr()}, dt={self.dt:g}"
