"""Ternary LIF: fires 1 above a threshold and -1 below its negative.

    v[t] = beta v[t-1] + x[t];     s+[t] = H(v[t] - v_threshold),   s-[t] = H(-v[t] - v_negative)
    s[t] = amplitude (s+[t] - s-[t])
    soft reset   v[t] <- v[t] - v_threshold s+[t] + v_negative s-[t]
    hard reset   v[t] <- v_reset where it fired

With inputs that never drive it below -v_negative it is a LIF.

Paper: [guo2024ternary]
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.core.quantity import POSITIVE, Value
from snn4.core.states import state
from snn4.neurons.decay import Decay, check_dt, euler
from snn4.neurons.spiking import SpikingNeuron
from snn4.surrogates import Surrogate

__all__ = ["TernaryLIF"]


class TernaryLIF(SpikingNeuron):
    """LIF with positive and negative spikes.

    Args:
        tau: membrane time constant; a float, a tensor, or learned.
        v_threshold: fires 1 at v >= v_threshold; a float, a tensor, or learned.
        v_negative: fires -1 at v <= -v_negative; by default equal to v_threshold.
        v_reset: `None` for a soft reset, a number between the thresholds for a hard one.
        surrogate: default `ATan()`; it stands for both steps.
        amplitude: size of the output; a learned one can be folded into the next weights after training.
        detach_reset: whether the reset is a constant for the gradient.
        decay: `euler` (beta = 1 - dt / tau) or `exponential` (beta = exp(-dt / tau)).
        dt: length of a step.

    Shape: (T, B, *features), kept.

    Example:
        >>> import torch
        >>> TernaryLIF()(torch.tensor([0.8, 0.8, -0.5, -1.0, -0.6]).view(5, 1, 1)).flatten().tolist()
        [0.0, 1.0, 0.0, -1.0, 0.0]
    """

    State = state("v")
    tau: float | Tensor
    amplitude: float | Tensor
    v_negative: float | Tensor

    def __init__(
        self,
        tau: Value = 2.0,
        v_threshold: Value = 1.0,
        v_negative: Value | None = None,
        v_reset: float | None = None,
        surrogate: Surrogate | None = None,
        *,
        amplitude: Value = 1.0,
        detach_reset: bool = False,
        decay: Decay = euler,
        dt: float = 1.0,
    ) -> None:
        super().__init__(v_threshold, v_reset, surrogate, detach_reset=detach_reset)
        self.dt = check_dt("TernaryLIF", dt)
        self.decay = decay
        self.quantity("tau", tau, decay.domain(self.dt))
        self.quantity("amplitude", amplitude, POSITIVE)
        self.symmetric = v_negative is None
        if v_negative is not None:
            self.quantity("v_negative", v_negative, POSITIVE)
        low = self._negative
        lowest = float(low.detach().min()) if isinstance(low, Tensor) and not low.is_meta else low
        if v_reset is not None and not isinstance(lowest, Tensor) and v_reset <= -lowest:
            raise OptionError(
                f"TernaryLIF got v_reset={v_reset} and v_negative={lowest:g}",
                "v_reset > -v_negative",
                "Otherwise it fires for ever after the first spike.",
            )
        size = self.amplitude
        self.alphabet = None if isinstance(size, Tensor) else (-size, 0.0, size)

    @property
    def _negative(self) -> float | Tensor:
        return self.v_threshold if self.symmetric else self.v_negative

    @property
    def decay_of_v(self) -> float | Tensor:
        """beta."""
        return self.decay.beta(self.tau, self.dt)

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """v = beta v + x, then fire upwards or downwards."""
        beta = self.decay_of_v
        if self.v_reset:
            x = x + (1 - beta) * self.v_reset
        v, low = beta * state.v + x, self._negative
        up, down = self.spike(v - self.v_threshold), self.spike(-v - low)
        plus, minus = (up.detach(), down.detach()) if self.detach_reset else (up, down)
        if self.v_reset is None:
            v = v - plus * self.v_threshold + minus * low
        else:
            fired = plus + minus
            v = v * (1 - fired) + fired * self.v_reset
        return self.amplitude * (up - down), self.State(v)

    def extra_repr(self) -> str:
        """The quantities, the reset and the decay."""
        return f"{super().extra_repr()}, decay={self.decay}"
