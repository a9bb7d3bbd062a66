"""What stands around a layer, in C++ where that engine takes the tensors: the order of events, answers summed, a check.

Written as tensor operations, each would pass a dozen times over arrays in which most places are empty, and together
take longer than the layer itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from snn4.kernels.choice import wish
from snn4.timing import engine_cpp
from snn4.timing.psp import psp
from snn4.timing.types import Constants, Events

__all__ = ["answers", "fast_events", "surely_times"]


def _compiles(*tensors: Tensor) -> bool:
    if wish().implementation == "reference" or tensors[0].numel() == 0:
        return False
    return engine_cpp.refusal(*tensors) is None


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
    """`snn4.timing.events` in C++, or None where that engine refuses.

    Shape: (B, N, K) -> three of (B, E).
    """
    return Events(*_Sort.apply(times, window)) if _compiles(times) else None


def surely_times(times: Tensor) -> bool:
    """Whether the C++ engine has looked through (..., K) and found nothing wrong; if not, look closer."""
    return _compiles(times) and engine_cpp.ordered(times)


class _Answer(torch.autograd.Function):
    """Summed answers forwards; nothing is kept but the times."""

    @staticmethod
    def forward(ctx: Any, times: Tensor, tau_v: float | Tensor, tau_i: float | Tensor, at: float) -> Tensor:
        taus = (tau_v, tau_i)
        ctx.at, ctx.numbers = at, tuple(None if isinstance(one, Tensor) else one for one in taus)
        ctx.save_for_backward(times, *(one for one in taus if isinstance(one, Tensor)))
        return engine_cpp.answer(times, Constants(*taus, 1.0), at)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        times, *learned = ctx.saved_tensors
        rest = iter(learned)
        taus = [next(rest) if one is None else one for one in ctx.numbers]
        constants = Constants(taus[0], taus[1], 1.0)
        grad_times, both = engine_cpp.answer_back(times, constants, ctx.at, grads[0])
        to_taus = (
            g.to(one).view_as(one) if isinstance(one, Tensor) else None for g, one in zip(both, taus, strict=True)
        )
        return grad_times, *to_taus, None


def answers(times: Tensor, tau_v: float | Tensor, tau_i: float | Tensor, at: float) -> Tensor:
    """What each neuron's spikes, with weight 1, have made of a potential by the moment `at`: the sum of psp(at - t_k).

    Shape: (..., K) -> (...).

    Example:
        >>> answers(torch.tensor([[0.0, torch.inf]]), 1.0, 1.0, 1.0)
        tensor([0.3679])
    """
    if _compiles(times):
        return _Answer.apply(times, tau_v, tau_i, at)
    return psp(at - times, 1.0 / tau_v, 1.0 / tau_i).sum(-1)
