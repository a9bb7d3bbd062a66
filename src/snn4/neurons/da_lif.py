"""DA-LIF: a LIF whose decay and whose gain are learned apart, one pair a layer.

    v[t] = beta v[t-1] + alpha x[t];    s[t] = H(v[t] - v_threshold);    reset
    alpha = tanh(tau_a),  beta = tanh(tau_b)

alpha = 1, beta = 1 - 1/tau is a LIF without decayed input; alpha = 1/tau, beta = 1 - 1/tau one with it; 1, 1 is IF. For
alpha > 0 the spikes are those of alpha = 1 with the threshold v_threshold / alpha.

Paper: [zhang2025dalif]
Differs from the paper: initial values, reset and surrogate are not published; those here are ours.
"""

from __future__ import annotations

from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import OptionError, suggest
from snn4.core.quantity import Domain, Learned, Value, between
from snn4.core.states import state
from snn4.neurons.spiking import SpikingNeuron
from snn4.surrogates import Surrogate

__all__ = ["DALIF"]

_HALF = Learned(0.5)
_DOMAINS: dict[str, Domain] = {
    "tanh": between(-1, 1),
    "sigmoid": between(0, 1, curve="sigmoid"),
    "clamp": between(-1, 1, curve="clamp"),
}


class DALIF(SpikingNeuron):
    """Dual adaptive LIF.

    Keep weight decay off its parameters: it would draw alpha towards 0, a dead layer.

    Args:
        alpha: weight of the input; a float, a tensor, or learned.
        beta: what is left of the membrane after one step; a float, a tensor, or learned.
        v_threshold: fires at v >= v_threshold; a float, a tensor, or learned.
        v_reset: `None` for a soft reset, a number for a hard one.
        surrogate: default `ATan()`.
        activation: how learned coefficients are kept in range: `"tanh"` (the paper's choice, between -1 and 1),
            `"sigmoid"` (between 0 and 1) or `"clamp"` (from -1 to 1, without a curve).
        detach_reset: whether the reset is a constant for the gradient.

    Shape: (T, B, *features), kept.

    Example:
        >>> import torch
        >>> DALIF(alpha=0.6, beta=0.5)(torch.ones(4, 1, 1)).flatten().tolist()
        [0.0, 0.0, 1.0, 0.0]
    """

    State = state("v")
    alpha: float | Tensor
    beta: float | Tensor

    def __init__(
        self,
        alpha: Value = _HALF,
        beta: Value = _HALF,
        v_threshold: Value = 1.0,
        v_reset: float | None = 0.0,
        surrogate: Surrogate | None = None,
        *,
        activation: Literal["tanh", "sigmoid", "clamp"] = "tanh",
        detach_reset: bool = True,
    ) -> None:
        super().__init__(v_threshold, v_reset, surrogate, detach_reset=detach_reset)
        if activation not in _DOMAINS:
            raise OptionError(
                f"DALIF got activation={activation!r}",
                "'tanh', 'sigmoid' or 'clamp'",
                suggest(activation, tuple(_DOMAINS)),
            )
        self.activation = activation
        self.quantity("alpha", alpha, _DOMAINS[activation])
        self.quantity("beta", beta, _DOMAINS[activation])

    @property
    def decay_of_v(self) -> float | Tensor:
        """beta."""
        return self.beta

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """v = beta v + alpha x, then fire."""
        beta = self.beta
        drive = self.alpha * x
        if self.v_reset:
            drive = drive + (1 - beta) * self.v_reset
        s, v = self.fire(beta * state.v + drive)
        return s, self.State(v)

    def extra_repr(self) -> str:
        """The quantities, the reset and the activation."""
        return f"{super().extra_repr()}, activation={self.activation}"
