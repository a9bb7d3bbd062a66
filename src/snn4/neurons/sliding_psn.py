"""Sliding PSN: k weights that slide over time, without a reset.

    h[t] = sum over i < k of W_i x[t - k + 1 + i];     s[t] = H(h[t] + bias)

Before the first step the input is zero. The weights are shared by all neurons of a layer.

Paper: [fang2023psn]
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from snn4.core.states import state
from snn4.neurons.firing import FiringNeuron
from snn4.neurons.psn import whole
from snn4.surrogates import Surrogate

__all__ = ["SlidingPSN"]


class SlidingPSN(FiringNeuron):
    """PSN with k weights that slide over time: causal, for sequences of any length, in chunks too.

    Its state is the last k - 1 inputs.

    Args:
        k: how many steps it looks back, with the present one.
        surrogate: default `ATan()`.

    Shape: (T, B, *features), kept.

    Example:
        >>> SlidingPSN(2)(torch.tensor([0.8, 0.8, 0.4, 1.0]).view(4, 1, 1)).flatten().tolist()
        [0.0, 1.0, 0.0, 1.0]
    """

    def __init__(self, k: int = 4, surrogate: Surrogate | None = None) -> None:
        super().__init__(surrogate)
        self.k = whole("SlidingPSN", "k", k)
        self.State = _inputs(k)
        # the newest weighs 1, each older one half of the next
        self.weight = Parameter(2.0 ** torch.arange(1 - k, 1, dtype=torch.get_default_dtype()))
        self.bias = Parameter(torch.tensor(-1.0))

    def __getstate__(self) -> dict[str, Any]:
        """Without the type of the state, which pickle would look for by its name."""
        return {name: value for name, value in vars(self).items() if name != "State"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.State = _inputs(self.k)

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """A weighted sum of the last k inputs, then fire."""
        h = self.weight[self.k - 1] * x
        for age in range(1, self.k):
            h = h + self.weight[self.k - 1 - age] * state[age - 1]
        return self.surrogate(h + self.bias), self.State(x, *state[:-1])

    def extra_repr(self) -> str:
        """The order."""
        return f"k={self.k}"


def _inputs(k: int) -> Any:
    """The inputs of the steps before, one field each."""
    return state(*(f"x{age}" for age in range(1, max(2, k))))
