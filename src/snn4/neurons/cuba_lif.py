"""CubaLIF: a LIF behind a synapse that is itself a leaky current.

    i[t] = alpha i[t-1] + x[t];    v[t] = beta v[t-1] + i[t];    s[t] = H(v[t] - v_threshold);    reset of v

The new current reaches the membrane in the same step.

Paper: [cramer2022heidelberg]
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import Value
from snn4.core.states import state
from snn4.neurons.decay import Decay, check_dt, exponential
from snn4.neurons.spiking import SpikingNeuron
from snn4.surrogates import Surrogate

__all__ = ["CubaLIF"]


class CubaLIF(SpikingNeuron):
    """Current-based leaky integrate-and-fire.

    Args:
        tau: membrane time constant; a float, a tensor, or learned.
        tau_syn: synaptic time constant; a float, a tensor, or learned.
        v_threshold: fires at v >= v_threshold; a float, a tensor, or learned.
        v_reset: `None` for a soft reset, a number for a hard one.
        surrogate: default `ATan()`.
        detach_reset: whether the reset is a constant for the gradient.
        decay: `exponential` (alpha = exp(-dt / tau_syn), beta = exp(-dt / tau)) or `euler` (1 - dt / tau).
        dt: length of a step, in the unit of the time constants.

    Shape: (T, B, *features), kept.

    Example:
        >>> import torch
        >>> from snn4.neurons import euler
        >>> x = torch.zeros(4, 1, 1); x[0] = 0.75
        >>> CubaLIF(tau=2.0, tau_syn=2.0, decay=euler)(x).flatten().tolist()
        [0.0, 0.0, 0.0, 0.0]
    """

    State = state("v", "i")
    tau: float | Tensor
    tau_syn: float | Tensor

    def __init__(
        self,
        tau: Value = 10.0,
        tau_syn: Value = 5.0,
        v_threshold: Value = 1.0,
        v_reset: float | None = None,
        surrogate: Surrogate | None = None,
        *,
        detach_reset: bool = False,
        decay: Decay = exponential,
        dt: float = 1.0,
    ) -> None:
        super().__init__(v_threshold, v_reset, surrogate, detach_reset=detach_reset)
        self.dt = check_dt("CubaLIF", dt)
        self.decay = decay
        self.quantity("tau", tau, decay.domain(self.dt))
        self.quantity("tau_syn", tau_syn, decay.domain(self.dt))

    @property
    def beta(self) -> float | Tensor:
        """What is left of the membrane after one step."""
        return self.decay.beta(self.tau, self.dt)

    @property
    def alpha(self) -> float | Tensor:
        """What is left of the current after one step."""
        return self.decay.beta(self.tau_syn, self.dt)

    @property
    def decay_of_v(self) -> float | Tensor:
        """beta."""
        return self.beta

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """i = alpha i + x, v = beta v + i, then fire."""
        beta = self.beta
        i = self.alpha * state.i + x
        drive = i + (1 - beta) * self.v_reset if self.v_reset else i
        s, v = self.fire(beta * state.v + drive)
        return s, self.State(v, i)

    def extra_repr(self) -> str:
        """The quantities, the reset and the decay."""
        return f"{super().extra_repr()}, decay={self.decay}"
