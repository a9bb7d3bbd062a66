"""BRF: a balanced resonate-and-fire neuron, a damped oscillator that answers its own frequency.

    v[t] = v + dt (b v - omega w + x[t]);     w[t] = w + dt (omega v + b w)         old v and w on the right
    s[t] = H(v[t] - v_threshold - q[t-1]);    q[t] = .9 q[t-1] + s[t]
    b = p(omega) - |b_offset| - q[t-1],       p(omega) = (sqrt(1 - (dt omega)^2) - 1) / dt

p(omega) puts the pole of the discrete oscillator on the unit circle, so that b_offset > 0 always damps. There is no
reset: the refractory q raises the threshold and the damping.

x is the input times `drive`, 1 in the paper. dt makes a hundredth of it, so that weights must grow to dozens before
anything fires; a drive of 10 spares them the way.

Paper: [higuchi2024brf]
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.core.quantity import Learned, Value, between
from snn4.core.states import state
from snn4.neurons.decay import check_dt
from snn4.neurons.spiking import SpikingNeuron
from snn4.surrogates import Surrogate, double_gaussian

__all__ = ["BRF", "brf"]


class BRF(SpikingNeuron):
    """Balanced resonate-and-fire.

    Args:
        omega: angular frequency, 0 to .999 / dt; a float, a tensor, or learned.
        b_offset: damping beyond the balanced one, up to .999 / dt of either sign; a float, a tensor, or learned.
        v_threshold: fires at v >= v_threshold + q; a float, a tensor, or learned.
        surrogate: default `double_gaussian()`, the paper's.
        refractory: what is left of q after one step.
        dt: length of a step.
        drive: factor of the input, above 0.

    Shape: (T, B, *features), kept.

    Example:
        >>> BRF()(torch.full((200, 1, 1), 20.0)).flatten().nonzero().flatten().tolist()
        [5, 10, 18]
    """

    State = state("v", "w", "q")
    omega: float | Tensor
    b_offset: float | Tensor

    def __init__(
        self,
        omega: Value = 10.0,
        b_offset: Value = 1.0,
        v_threshold: Value = 1.0,
        surrogate: Surrogate | None = None,
        *,
        refractory: float = 0.9,
        dt: float = 0.01,
        drive: float = 1.0,
    ) -> None:
        super().__init__(v_threshold, None, surrogate or double_gaussian(), detach_reset=False)
        if not 0 <= refractory < 1:
            raise OptionError(f"BRF got refractory={refractory!r}", "a share from 0 to below 1")
        if not 0 < drive < math.inf:
            raise OptionError(f"BRF got drive={drive!r}", "a finite factor above 0")
        self.dt, self.refractory, self.drive = check_dt("BRF", dt), float(refractory), float(drive)
        # at dt omega = 1 the slope of p is infinite
        end = 0.999 / self.dt
        self.quantity("omega", omega, between(0, end, curve="clamp"))
        self.quantity("b_offset", b_offset, between(-end, end, curve="clamp"))

    @property
    def balance(self) -> float | Tensor:
        """p(omega)."""
        turn = self.dt * self.omega
        root = torch.sqrt(1 - turn * turn) if isinstance(turn, Tensor) else math.sqrt(1 - turn * turn)
        return (root - 1) / self.dt

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """Turn and damp, then fire."""
        b = (self.balance - abs(self.b_offset)) - state.q
        x = x if self.drive == 1 else self.drive * x
        v = state.v + self.dt * (b * state.v - self.omega * state.w + x)
        w = state.w + self.dt * (self.omega * state.v + b * state.w)
        s = self.spike(v - self.v_threshold - state.q)
        return s, self.State(v, w, self.refractory * state.q + s)

    def extra_repr(self) -> str:
        """The quantities and the step."""
        drive = "" if self.drive == 1 else f", drive={self.drive:g}"
        return f"{super().extra_repr()}, refractory={self.refractory:g}, dt={self.dt:g}{drive}"


def brf(
    features: tuple[int, ...],
    omega: tuple[float, float] = (5.0, 10.0),
    b_offset: tuple[float, float] = (0.0, 3.0),
    *,
    dt: float = 0.01,
    drive: float = 1.0,
    generator: torch.Generator | None = None,
) -> BRF:
    """BRF with a frequency and a damping learned per neuron, drawn uniformly, as in the paper.

    Paper: [higuchi2024brf]

    Args:
        features: the shape of one sample at one step, `(36,)` for a dense layer.
        omega: the range of the frequencies.
        b_offset: the range of the damping.
        dt: length of a step.
        drive: factor of the input.
        generator: draws; by default torch's own.

    Example:
        >>> sum(p.numel() for p in brf((36,)).parameters())
        72
    """

    def drawn(low: float, high: float) -> Learned:
        return Learned(low + (high - low) * torch.rand(features, generator=generator))

    return BRF(drawn(*omega), drawn(*b_offset), dt=dt, drive=drive)
