"""TC-LIF: a dendrite and a soma that exchange their potentials and never leak.

    d[t] = d[t-1] + beta1 v[t-1] + x[t]
    v[t] = v[t-1] + beta2 d[t];              s[t] = H(v[t] - v_threshold)
    d[t] <- d[t] - gamma s[t];               v[t] <- v[t] - v_threshold s[t]
    beta1 = -sigmoid(c1),  beta2 = sigmoid(c2),  one pair a layer

Without spikes the map of (d, v) has determinant 1 and turns instead of decaying: a long memory, which only spikes damp.

Paper: [zhang2024tclif]. The order of the updates is that of the authors' code.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import NON_NEGATIVE, Learned, Value, between
from snn4.core.states import state
from snn4.neurons.spiking import SpikingNeuron
from snn4.surrogates import Surrogate, Triangle

__all__ = ["TCLIF"]

_MINUS_HALF, _HALF = Learned(-0.5), Learned(0.5)


class TCLIF(SpikingNeuron):
    """Two-compartment LIF.

    Args:
        beta1: what the dendrite takes from the soma, between -1 and 0; a float, a tensor, or learned. The default is
            the paper's c1 = 0.
        beta2: what the soma takes from the dendrite, between 0 and 1; a float, a tensor, or learned.
        gamma: what a spike takes from the dendrite; the paper sets it by hand, .5 to .7.
        v_threshold: fires at v >= v_threshold; a float, a tensor, or learned. The paper's are 1 to 1.8.
        surrogate: default `Triangle()`, the paper's. Above a threshold of 1 it is zero for a membrane at rest.
        detach_reset: whether the reset is a constant for the gradient.

    Shape: (T, B, *features), kept.

    Example:
        >>> import torch
        >>> TCLIF()(torch.full((8, 1, 1), 0.6)).flatten().tolist()
        [0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0]
    """

    State = state("d", "v")
    beta1: float | Tensor
    beta2: float | Tensor
    gamma: float | Tensor

    def __init__(
        self,
        beta1: Value = _MINUS_HALF,
        beta2: Value = _HALF,
        gamma: Value = 0.5,
        v_threshold: Value = 1.0,
        surrogate: Surrogate | None = None,
        *,
        detach_reset: bool = False,
    ) -> None:
        super().__init__(v_threshold, None, surrogate or Triangle(), detach_reset=detach_reset)
        self.quantity("beta1", beta1, between(-1, 0, curve="sigmoid"))
        self.quantity("beta2", beta2, between(0, 1, curve="sigmoid"))
        self.quantity("gamma", gamma, NON_NEGATIVE)

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """The dendrite, then the soma, then both resets."""
        d = state.d + self.beta1 * state.v + x
        s, v = self.fire(state.v + self.beta2 * d)
        r = s.detach() if self.detach_reset else s
        return s, self.State(d - self.gamma * r, v)
