"""adLIF: a LIF with a current that adapts to membrane and spikes.

    a[t] = rho a[t-1] + k v[t-1] + b s[t-1]
    v[t] = alpha (v[t-1] - v_threshold s[t-1]) + (1 - alpha) (x[t] - a[t]);    s[t] = H(v[t] - v_threshold)
    alpha = exp(-1 / tau),  rho = exp(-1 / tau_a);     v is the membrane before its reset

k = b = 0 is a LIF with `decay=exponential, decay_input=True`.

Paper: [bittar2022sparch]
Differs from the paper: it starts at rest; the authors draw the first membrane, adaptation and spike at random.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import Value, between
from snn4.core.states import state
from snn4.neurons.decay import exponential
from snn4.neurons.spiking import SpikingNeuron
from snn4.surrogates import Rectangle, Surrogate

__all__ = ["AdLIF"]


class AdLIF(SpikingNeuron):
    """Adaptive LIF. A quantity that is learned stays in the paper's range.

    Args:
        tau: membrane time constant, 5 to 25 steps; a float, a tensor, or learned.
        tau_a: time constant of the adaptation, 30 to 120 steps; a float, a tensor, or learned.
        k: what the membrane adds to the adaptation, -1 to 1 (the paper's a); a float, a tensor, or learned.
        b: what a spike adds to it, 0 to 2; a float, a tensor, or learned.
        v_threshold: fires at v >= v_threshold; a float, a tensor, or learned.
        surrogate: default `Rectangle()`, the paper's.
        detach_reset: whether the reset is a constant for the gradient.

    Shape: (T, B, *features), kept.

    Example:
        >>> import torch
        >>> AdLIF(tau=5.0)(torch.full((8, 1, 1), 4.0)).flatten().tolist()
        [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0]
    """

    State = state("v", "a", "s")
    tau: float | Tensor
    tau_a: float | Tensor
    k: float | Tensor
    b: float | Tensor

    def __init__(
        self,
        tau: Value = 15.0,
        tau_a: Value = 60.0,
        k: Value = 0.0,
        b: Value = 1.0,
        v_threshold: Value = 1.0,
        surrogate: Surrogate | None = None,
        *,
        detach_reset: bool = False,
    ) -> None:
        super().__init__(v_threshold, None, surrogate or Rectangle(), detach_reset=detach_reset)
        self.quantity("tau", tau, between(5, 25, curve="clamp"))
        self.quantity("tau_a", tau_a, between(30, 120, curve="clamp"))
        self.quantity("k", k, between(-1, 1, curve="clamp"))
        self.quantity("b", b, between(0, 2, curve="clamp"))

    @property
    def decay_of_v(self) -> float | Tensor:
        """alpha."""
        return exponential.beta(self.tau, 1.0)

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """The adaptation, then the membrane, which sees the new one."""
        alpha, rho = self.decay_of_v, exponential.beta(self.tau_a, 1.0)
        a = rho * state.a + self.k * state.v + self.b * state.s
        v = alpha * self.reset(state.v, state.s) + (1 - alpha) * (x - a)
        s = self.spike(v - self.v_threshold)
        return s, self.State(v, a, s)
