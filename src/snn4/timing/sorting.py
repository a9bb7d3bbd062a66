"""The order of events, found in C++: about ten nanoseconds a spike, and nothing for the silent."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from snn4.kernels.choice import wish
from snn4.timing import engine_cpp
from snn4.timing.types import Events

__all__ = ["fast_events"]


class _Sort(torch.autograd.Function):
    """Sort forwards, put gradients back where their times came from."""

    @staticmethod
    def forward(ctx: Any, times: Tensor, window: float) -> tuple[Tensor, Tensor, Tensor]:
        t, source, order, counts = engine_cpp.sort(times, window)
        ctx.save_for_backward(order, counts)
        ctx.shape = times.shape
        ctx.mark_non_differentiable(source, order)
        return t, source, order

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        order, counts = ctx.saved_tensors
        return engine_cpp.spread(grads[0], order, counts, ctx.shape), None


def fast_events(times: Tensor, window: float) -> Events | None:
    """`snn4.timing.events` where the C++ engine takes the tensor; None where it does not.

    Shape: (B, N, K) -> three of (B, E).
    """
    if wish().implementation == "reference" or times.numel() == 0 or engine_cpp.refusal(times) is not None:
        return None
    return Events(*_Sort.apply(times, window))
