"""Readouts: what a network says after T steps.

Each gives (T, B, C) -> (B, C). Run in chunks, each gives the readout of everything since the start.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.checks import check_sequence
from snn4.core.states import state
from snn4.through_time import Stateful

__all__ = ["LastStep", "MaxOverTime", "MeanOverTime"]


class MeanOverTime(Stateful):
    """The mean over all steps; of spikes, this is the firing rate.

    Shape: (T, B, *features) -> (B, *features).

    Example:
        >>> MeanOverTime()(torch.tensor([0.0, 1.0]).view(2, 1, 1))
        tensor([[0.5000]])
    """

    State = state("total", "count")

    def initial(self, x: Float[Tensor, "B *features"]) -> Any:
        """Nothing seen yet."""
        # in bfloat16 a sum would stop growing at 256 ones
        wide = torch.promote_types(x.dtype, torch.float32)
        return self.State(torch.zeros_like(x, dtype=wide), torch.zeros((), device=x.device, dtype=wide))

    def sequence(self, xs: Float[Tensor, "T B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """Adds up, divides by the number of steps."""
        total, count = state.total + xs.sum(0, dtype=state.total.dtype), state.count + xs.shape[0]
        return (total / count).to(xs.dtype), self.State(total, count)


class MaxOverTime(Stateful):
    """The largest value over all steps; the usual readout of a leaky integrator.

    Shape: (T, B, *features) -> (B, *features).

    Paper: [cramer2022heidelberg]
    """

    State = state("peak")

    def initial(self, x: Float[Tensor, "B *features"]) -> Any:
        """Nothing seen yet."""
        return self.State(torch.full_like(x, -torch.inf))

    def sequence(self, xs: Float[Tensor, "T B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """The larger of what was seen and what comes."""
        peak = torch.maximum(state.peak, xs.amax(0))
        # the state is not the caller's to change
        return peak.clone(), self.State(peak)


class LastStep(torch.nn.Module):
    """The last step. Shape: (T, B, *features) -> (B, *features)."""

    def forward(self, xs: Float[Tensor, "T B *features"]) -> Float[Tensor, "B *features"]:
        """xs[-1]."""
        check_sequence("LastStep", xs)
        return xs[-1]
