"""SE-adLIF: the adaptive LIF, integrated so that it stays stable (symplectic Euler).

    v[t] = alpha v[t-1] + (1 - alpha) (x[t] - a[t-1]);     s[t] = H(v[t] - v_threshold);    v[t] <- v[t] (1 - s[t])
    a[t] = rho a[t-1] + (1 - rho) q (k v[t] + b s[t])       with the new v, after its reset, and the new s
    alpha = exp(-1 / tau),  rho = exp(-1 / tau_a)

Forward Euler takes the old v and s in the second line, and its spectral radius can exceed 1.

Paper: [baronig2025seadlif]
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import POSITIVE, Learned, Value, between
from snn4.core.states import state
from snn4.neurons.decay import exponential
from snn4.neurons.spiking import SpikingNeuron
from snn4.surrogates import Slayer, Surrogate

__all__ = ["SEAdLIF", "se_adlif"]


class SEAdLIF(SpikingNeuron):
    """Symplectic adaptive LIF. A quantity that is learned stays in the paper's range.

    Args:
        tau: membrane time constant, 5 to 25 steps; a float, a tensor, or learned.
        tau_a: time constant of the adaptation, 60 to 300 steps; a float, a tensor, or learned.
        k: what the membrane adds to the adaptation, 0 to 1 (the paper's a); a float, a tensor, or learned.
        b: what a spike adds to it, 0 to 2; a float, a tensor, or learned.
        q: overall strength of the adaptation.
        v_threshold: fires at v >= v_threshold; a float, a tensor, or learned.
        surrogate: default `Slayer()`, the paper's.
        detach_reset: whether the reset is a constant for the gradient, as in the paper.

    Shape: (T, B, *features), kept.

    Example:
        >>> import torch
        >>> SEAdLIF(tau=5.0)(torch.full((8, 1, 1), 4.0)).flatten().tolist()
        [0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    """

    State = state("v", "a")
    tau: float | Tensor
    tau_a: float | Tensor
    k: float | Tensor
    b: float | Tensor
    q: float | Tensor

    def __init__(
        self,
        tau: Value = 15.0,
        tau_a: Value = 180.0,
        k: Value = 0.5,
        b: Value = 1.0,
        q: Value = 120.0,
        v_threshold: Value = 1.0,
        surrogate: Surrogate | None = None,
        *,
        detach_reset: bool = True,
    ) -> None:
        super().__init__(v_threshold, 0.0, surrogate or Slayer(), detach_reset=detach_reset)
        self.quantity("tau", tau, between(5, 25, curve="clamp"))
        self.quantity("tau_a", tau_a, between(60, 300, curve="clamp"))
        self.quantity("k", k, between(0, 1, curve="clamp"))
        self.quantity("b", b, between(0, 2, curve="clamp"))
        self.quantity("q", q, POSITIVE)

    @property
    def decay_of_v(self) -> float | Tensor:
        """alpha."""
        return exponential.beta(self.tau, 1.0)

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """The membrane, then the adaptation from what it has become."""
        alpha, rho = self.decay_of_v, exponential.beta(self.tau_a, 1.0)
        s, v = self.fire(alpha * state.v + (1 - alpha) * (x - state.a))
        a = rho * state.a + ((1 - rho) * self.q) * (self.k * v + self.b * s)
        return s, self.State(v, a)


def se_adlif(features: tuple[int, ...], *, generator: torch.Generator | None = None) -> SEAdLIF:
    """SE-adLIF with every constant learned per neuron, drawn uniformly from its range, as in the paper.

    Paper: [baronig2025seadlif]

    Args:
        features: the shape of one sample at one step, `(360,)` for a dense layer.
        generator: draws the constants; by default torch's own.

    Example:
        >>> sum(p.numel() for p in se_adlif((360,)).parameters())
        1440
    """

    def drawn(low: float, high: float) -> Learned:
        return Learned(low + (high - low) * torch.rand(features, generator=generator))

    return SEAdLIF(drawn(5, 25), drawn(60, 300), drawn(0, 1), drawn(0, 2))
