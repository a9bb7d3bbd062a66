"""ALIF: a LIF whose threshold rises with every spike, the neuron of LSNN and SRNN.

    a[t] = rho a[t-1] + (1 - rho) s[t-1];                theta[t] = v_threshold + beta a[t]
    v[t] = alpha v[t-1] + (1 - alpha) x[t] - theta[t] s[t-1]
    s[t] = H(v[t] - theta[t])        (relative: the surrogate sees (v - theta) / theta)
    alpha = exp(-dt / tau),  rho = exp(-dt / tau_a)

The threshold that is subtracted is the present one, and it is subtracted after the decay. With `v_reset` a number, the
membrane is put there instead, before the decay; beta = 0 is then a LIF with `decay=exponential, decay_input=True`.

Paper: [bellec2018lsnn, yin2021srnn]
Differs from the papers: no refractory period and no delays; the adaptation starts at 0, where the second's code has
0.01.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import NON_NEGATIVE, Value
from snn4.core.states import state
from snn4.neurons.decay import check_dt, exponential
from snn4.neurons.spiking import SpikingNeuron
from snn4.surrogates import MultiGaussian, Surrogate, Triangle

__all__ = ["ALIF", "lsnn"]


class ALIF(SpikingNeuron):
    """LIF with an adapting threshold. The defaults are SRNN's.

    Args:
        tau: membrane time constant; a float, a tensor, or learned.
        tau_a: time constant of the adaptation; a float, a tensor, or learned.
        v_threshold: the threshold at rest; a float, a tensor, or learned.
        beta: how much adaptation raises the threshold; a float, a tensor, or learned.
        v_reset: `None` to subtract the threshold, a number for a hard reset.
        surrogate: default `MultiGaussian()`.
        relative: whether the surrogate sees the distance to the threshold in units of the threshold, as in LSNN.
        detach_reset: whether the reset is a constant for the gradient.
        dt: length of a step.

    Shape: (T, B, *features), kept.

    Example:
        >>> import torch
        >>> ALIF()(torch.full((8, 1, 1), 0.5)).flatten().tolist()
        [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0]
    """

    State = state("v", "a", "s")
    tau: float | Tensor
    tau_a: float | Tensor
    beta: float | Tensor

    def __init__(
        self,
        tau: Value = 20.0,
        tau_a: Value = 150.0,
        v_threshold: Value = 0.01,
        beta: Value = 1.8,
        v_reset: float | None = None,
        surrogate: Surrogate | None = None,
        *,
        relative: bool = False,
        detach_reset: bool = False,
        dt: float = 1.0,
    ) -> None:
        super().__init__(v_threshold, v_reset, surrogate or MultiGaussian(), detach_reset=detach_reset)
        self.dt, self.relative = check_dt("ALIF", dt), relative
        self.quantity("tau", tau, exponential.domain(self.dt))
        self.quantity("tau_a", tau_a, exponential.domain(self.dt))
        self.quantity("beta", beta, NON_NEGATIVE)

    @property
    def decay_of_v(self) -> float | Tensor:
        """alpha."""
        return exponential.beta(self.tau, self.dt)

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """The threshold, the membrane with the reset of the last spike, then fire."""
        alpha, rho = self.decay_of_v, exponential.beta(self.tau_a, self.dt)
        a = rho * state.a + (1 - rho) * state.s
        theta = self.v_threshold + self.beta * a
        r = state.s.detach() if self.detach_reset else state.s
        if self.v_reset is None:
            v = alpha * state.v + (1 - alpha) * x - r * theta
        else:
            v = alpha * (state.v * (1 - r) + r * self.v_reset) + (1 - alpha) * x
            v = v + (1 - alpha) * self.v_reset if self.v_reset else v
        distance = v - theta
        s = self.spike(distance / theta if self.relative else distance)
        return s, self.State(v, a, s)

    def extra_repr(self) -> str:
        """The quantities, the reset and the surrogate's unit."""
        return f"{super().extra_repr()}{', relative' * self.relative}"


def lsnn(
    tau: Value = 20.0, tau_a: Value = 700.0, v_threshold: Value = 0.01, beta: Value = 1.8, *, dt: float = 1.0
) -> ALIF:
    """ALIF with the settings of LSNN's sequential MNIST: a slow adaptation and a dampened triangle.

    Paper: [bellec2018lsnn]

    Args:
        tau: membrane time constant, in milliseconds if dt is.
        tau_a: time constant of the adaptation.
        v_threshold: the threshold at rest.
        beta: how much adaptation raises it.
        dt: length of a step.

    Example:
        >>> lsnn().surrogate
        Triangle(width=1, gamma=0.3)
    """
    return ALIF(tau, tau_a, v_threshold, beta, surrogate=Triangle(1.0, gamma=0.3), relative=True, dt=dt)
