"""The event-driven engine for GPUs, in Triton: one program for each sample and block of neurons.

Checked in Triton's interpreter against the reference, and it compiles for sm_90; it has not run on a GPU yet. The
gradient of the weights is summed with atomic additions, whose order a GPU does not fix: it repeats up to rounding.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import os
from typing import Any

import torch
from torch import Tensor

from snn4.kernels import torch_facts
from snn4.timing.adjoint import add_kinks
from snn4.timing.triton_kernels import load
from snn4.timing.types import Constants, Fired, rates

__all__ = ["adjoint", "refusal", "solve"]

_BLOCK = 128


@functools.cache
def _missing() -> str | None:
    return "triton is not installed" if importlib.util.find_spec("triton") is None else None


def refusal(*tensors: Tensor) -> str | None:
    """Why these tensors cannot be solved here, or None."""
    if torch.compiler.is_compiling():
        return "inside torch.compile, which makes its own kernels"
    if reason := torch_facts.watched():
        return reason
    for t in tensors:
        if type(t) not in (Tensor, torch.nn.Parameter):
            return "a tensor subclass"
        if t.device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
            return f"a tensor lies on {t.device}"
        if t.dtype not in (torch.float32, torch.float64):
            return f"a tensor is {str(t.dtype).removeprefix('torch.')}"
    return _missing()


def _given(
    t: Tensor, source: Tensor, weight: Tensor, constants: Constants, window: float
) -> tuple[tuple[Tensor, ...], int]:
    """Events, sources, rows of weights, how many events count, and the constants; blocks of neurons."""
    counts = (t < window).sum(1)
    numbers = torch.tensor([*rates(constants), window], dtype=t.dtype, device=t.device)
    rows = weight.detach().t().contiguous()
    return (t.detach().contiguous(), source.contiguous(), rows, counts, numbers), -(-len(weight) // _BLOCK)


def solve(
    t: Tensor,
    source: Tensor,
    weight: Tensor,
    constants: Constants,
    max_spikes: int,
    window: float,
    *,
    want_max: bool = False,
) -> Fired:
    """As `snn4.timing.reference.solve`."""
    given, blocks = _given(t, source, weight, constants, window)
    (batch, events), outputs, k = t.shape, len(weight), max_spikes
    times = t.new_full((batch, outputs, k), math.inf)
    current, slope = torch.zeros_like(times), torch.ones_like(times)
    truncated = torch.zeros(batch, outputs, dtype=torch.int32, device=t.device)
    v_max, t_max = (t.new_zeros(batch, outputs if want_max else 0) for _ in range(2))
    if batch and outputs:
        run: Any = load()[0]
        found = (times, current, slope, truncated, v_max, t_max)
        run[(batch, blocks)](*given, *found, outputs, events, k, LARGEST=want_max, BLOCK=_BLOCK)
    return Fired(times, current, slope, truncated > 0, v_max, t_max)


def adjoint(
    t: Tensor,
    source: Tensor,
    weight: Tensor,
    constants: Constants,
    fired: Fired,
    grad_times: Tensor,
    grad_v_max: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `snn4.timing.adjoint.adjoint`."""
    given, blocks = _given(t, source, weight, constants, math.inf)
    (batch, events), (outputs, inputs) = t.shape, weight.shape
    times, slope, grad = fired.times.contiguous(), fired.slope.contiguous(), grad_times.contiguous()
    largest = grad_v_max is not None
    t_max, owed = (fired.t_max.contiguous(), grad_v_max.contiguous()) if grad_v_max is not None else (slope, slope)
    grad_t = t.new_zeros(max(1, blocks), batch, events)
    grad_rows = t.new_zeros(inputs, outputs)
    parts = t.new_zeros(batch, blocks, 3)
    if batch and outputs:
        run: Any = load()[1]
        known = (*given, times, slope, grad, t_max, owed, grad_t, grad_rows, parts)
        run[(batch, blocks)](*known, outputs, events, times.shape[2], blocks, LARGEST=largest, BLOCK=_BLOCK)
    total = grad_t.sum(0)
    rate = rates(constants)
    if grad_v_max is not None:
        silent = torch.where(fired.exists.any(-1), 0.0, grad_v_max)
        add_kinks(t, source, weight.detach(), rate, fired.t_max, silent, total)
    scale = parts.new_tensor([rate.a * rate.a, rate.b * rate.b, 1.0])
    return total, grad_rows.t(), parts.sum((0, 1)) * scale
