"""IF: sums its input until it reaches the threshold.

    v[t] = v[t-1] + x[t];    s[t] = H(v[t] - v_threshold);    reset

Paper: [lapicque1907]
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from snn4.core.quantity import Value
from snn4.core.states import state
from snn4.neurons.spiking import SpikingNeuron
from snn4.neurons.unit_rate import unit_rate
from snn4.surrogates import Surrogate
from snn4.through_time import Representation

__all__ = ["IF"]


class IF(SpikingNeuron):
    """Integrate-and-fire, without a leak.

    Args:
        v_threshold: fires at v >= v_threshold; a float, a tensor, or learned.
        v_reset: `None` for a soft reset, a number for a hard one.
        surrogate: default `ATan()`.
        detach_reset: whether the reset is a constant for the gradient.

    Shape: (T, B, *features), kept.

    Example:
        >>> import torch
        >>> IF()(torch.full((4, 1, 1), 0.5)).flatten().tolist()
        [0.0, 1.0, 0.0, 1.0]
    """

    State = state("v")

    def __init__(
        self,
        v_threshold: Value = 1.0,
        v_reset: float | None = None,
        surrogate: Surrogate | None = None,
        *,
        detach_reset: bool = False,
    ) -> None:
        super().__init__(v_threshold, v_reset, surrogate, detach_reset=detach_reset)

    @property
    def decay_of_v(self) -> float | Tensor:
        """1: nothing leaks."""
        return 1.0

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """v = v + x, then fire."""
        s, v = self.fire(state.v + x)
        return s, self.State(v)

    def transfer(self, mean_x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Soft reset: x / v_threshold, between 0 and 1 spike a step. Shape: any, kept."""
        if self.v_reset is not None:
            return super().transfer(mean_x)
        return (mean_x / self.v_threshold).clamp(0, 1)

    def representation(self, xs: Float[Tensor, "T B *features"]) -> Representation:
        """Soft reset: the rate, x / v_threshold, between 0 and 1; exactly so but for v[T] / (T v_threshold)."""
        return unit_rate(self, 1.0, 1.0, xs)
