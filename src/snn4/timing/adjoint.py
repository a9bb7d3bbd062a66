"""The exact gradient of spike times, with the cost and the memory of events + spikes.

A spike happens where V(t_k) = threshold. In the form in which every spike k of a neuron subtracts
threshold e^(-a (t - t_m)) from its later potential, the implicit function theorem gives, with g_k = dL/dt_k:

    delta_k  = g_k + a threshold sum_(n > k) q_n e^(-a (t_n - t_k)),     q_k = delta_k / slope_k,     k = K ... 1
    dL/dw    = -sum_k q_k psp(t_k - t_j)
    dL/dt_j  = +sum_k q_k w psp'(t_k - t_j)

One walk over the events, backwards, carries the sums for all of them: P = sum q e^(-a (t_k - t)) and
R = sum q psp(t_k - t) decay like the neuron itself, a spike adds to them, an event reads them.

The largest potential of a silent neuron is a spike of another kind (the envelope theorem): it counts as q = -dL/dv_max
at t_max. Where it is a kink, an inhibitory spike that ends the rise, that spike's time carries the slope before it.

Paper: [yamamoto2024]
Differs from the paper: derived here; see `snn4.timing.reference`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from snn4.timing.psp import psp, psp_to_a, psp_to_b
from snn4.timing.reference import edges_of, table_of
from snn4.timing.types import Constants, Fired, Rates, rates

__all__ = ["add_kinks", "adjoint", "clip_slope"]


def clip_slope(fired: Fired, constants: Constants, window: float, min_slope: float) -> Fired:
    """`fired`, with slopes of at least min_slope threshold / tau, tau the shortest of tau_v, tau_i and the window.

    The gradient of a spike that only just touches the threshold is infinite; dividing by no less than this bounds it.
    A slope is not known to better than sqrt(eps) of that unit, so this much is always cut.
    """
    a, b, threshold = rates(constants)
    least = max(min_slope, math.sqrt(torch.finfo(fired.slope.dtype).eps)) * threshold * max(a, b, 1.0 / window)
    return fired._replace(slope=fired.slope.clamp(min=least)) if threshold < math.inf else fired


class _Deposits(NamedTuple):
    """What is added to the sums on the way back: pairs (sample, neuron), times and amounts, by segment."""

    pair: Int64[Tensor, "D"]
    time: Float[Tensor, "D"]
    amount: Float[Tensor, "D"]
    ends: list[int]

    @staticmethod
    def of(t: Tensor, times: Tensor, amounts: Tensor, number: int) -> _Deposits:
        """Sort those (B, N, K) that exist by the last event before each."""
        batch, _, room = times.shape
        exists = (times < math.inf) & (amounts != 0)
        segment = torch.searchsorted(t.contiguous(), torch.where(exists, times, 0.0).view(batch, -1)).view_as(times) - 1
        # what comes before the first event, such as the maximum of a potential that never rises, depends on nothing
        chosen = (exists & (segment >= 0)).flatten().nonzero().squeeze(1)
        segment = segment.flatten()[chosen]
        order = segment.argsort(stable=True)
        chosen = chosen[order]
        ends = torch.bincount(segment, minlength=number).cumsum(0).tolist()
        return _Deposits(chosen // room, times.flatten()[chosen], amounts.flatten()[chosen], [0, *ends])


def _couple(fired: Fired, grad_times: Tensor, rate: Rates) -> tuple[Tensor, Tensor, Tensor]:
    """q of every spike, and what a neuron's own spikes give to the gradients of threshold and a."""
    a, _, threshold = rate
    exists = fired.times < math.inf
    # a gradient that comes for a spike which never happened says nothing, and is often NaN
    grad = torch.where(exists, grad_times, 0.0)
    times = torch.where(exists, fired.times, 0.0)
    amounts = torch.zeros_like(grad)
    later, delayed = torch.zeros_like(grad[..., 0]), torch.zeros_like(grad[..., 0])
    to_threshold, to_a = torch.zeros_like(later), torch.zeros_like(later)
    used = int(exists.sum(-1).amax()) if exists.numel() else 0
    for k in reversed(range(used)):
        amounts[..., k] = torch.where(exists[..., k], (grad[..., k] + a * threshold * later) / fired.slope[..., k], 0.0)
        # `later` is sum q_n e^(-a (t_n - t_k)), `delayed` the same with the factor (t_n - t_k)
        to_threshold = to_threshold + torch.where(exists[..., k], amounts[..., k] + later, 0.0)
        to_a = to_a - torch.where(exists[..., k], threshold * delayed, 0.0)
        if k:
            gap = torch.where(exists[..., k], times[..., k] - times[..., k - 1], 0.0)
            decay = torch.exp(-a * gap)
            total = later + amounts[..., k]
            later, delayed = decay * total, decay * (delayed + gap * total)
    return amounts, to_threshold, to_a


def adjoint(
    t: Float[Tensor, "B E"],
    source: Int64[Tensor, "B E"],
    weight: Float[Tensor, "N_out N_in"],
    constants: Constants,
    fired: Fired,
    grad_times: Float[Tensor, "B N_out K"],
    grad_v_max: Float[Tensor, "B N_out"] | None = None,
) -> tuple[Float[Tensor, "B E"], Float[Tensor, "N_out N_in"], Float[Tensor, "3"]]:
    """From the gradients of the output times to those of the events, the weights and the constants.

    Args:
        t: as they were given to `solve`.
        source: likewise.
        weight: likewise.
        constants: likewise.
        fired: what `solve` found; its slopes are divided by as they are.
        grad_times: read where a spike exists only.
        grad_v_max: read for silent neurons only; the maximum of a neuron that fires is its threshold.

    Shape: returns the gradients of t (B, E), weight (N_out, N_in) and of (tau_v, tau_i, v_threshold), (3,).
    """
    rate = rates(constants)
    a, b, _ = rate
    amounts, to_threshold, own = _couple(fired, grad_times, rate)
    times = fired.times
    silent = times[..., :1] == math.inf
    if grad_v_max is not None:
        extra = torch.where(silent, -grad_v_max.unsqueeze(-1), 0.0)
        amounts = torch.cat([amounts, extra], -1)
        times = torch.cat([times, torch.where(silent, fired.t_max.unsqueeze(-1), math.inf)], -1)
    last = torch.where(times < math.inf, times, 0.0).amax().item() if times.numel() else 0.0
    edges, number = edges_of(t, max(last, 0.0))
    table, row = table_of(t, source, weight, max(last, 0.0))
    deposits = _Deposits.of(t, times, amounts, number)

    shape = amounts.shape[:2]
    early, late, to_a, to_b = (weight.new_zeros(shape) for _ in range(4))
    grad_t, grad_table = torch.zeros_like(t), torch.zeros_like(table)
    grad_a, grad_b = own.sum(), own.new_zeros(())
    for e in reversed(range(number)):
        start, length = edges[:, e, None], edges[:, e + 1, None] - edges[:, e, None]
        v_left, i_left, across = torch.exp(-a * length), torch.exp(-b * length), psp(length, a, b)
        to_a = v_left * to_a + across * late + psp_to_a(length, a, b) * early
        to_b = i_left * to_b + length * i_left * late + psp_to_b(length, a, b) * early
        late = i_left * late + across * early
        early = v_left * early
        here = slice(deposits.ends[e], deposits.ends[e + 1])
        if here.start < here.stop:
            pair, q = deposits.pair[here], deposits.amount[here]
            s = deposits.time[here] - start[pair // shape[1], 0]
            for total, response in (
                (early, torch.exp(-a * s)),
                (late, psp(s, a, b)),
                (to_a, psp_to_a(s, a, b)),
                (to_b, psp_to_b(s, a, b)),
            ):
                total.view(-1).index_add_(0, pair, q * response)
        w = table[row[:, e]]
        grad_table.index_add_(0, row[:, e], -late)
        grad_t[:, e] = (w * (early - b * late)).sum(1)
        grad_a, grad_b = grad_a + (w * to_a).sum(), grad_b + (w * to_b).sum()
    if grad_v_max is not None:
        add_kinks(t, source, weight, rate, fired.t_max, torch.where(silent[..., 0], grad_v_max, 0.0), grad_t)
    grad_constants = torch.stack([-a * a * grad_a, -b * b * grad_b, to_threshold.sum()])
    return grad_t, grad_table[:-1].t(), grad_constants


def add_kinks(
    t: Tensor, source: Tensor, weight: Tensor, rate: Rates, t_max: Tensor, grad_v_max: Tensor, grad_t: Tensor
) -> None:
    """Add to `grad_t` what a maximum that stands at an event owes to that event's own time."""
    a, b, _ = rate
    t, t_max = t.contiguous(), t_max.contiguous()
    first = torch.searchsorted(t, t_max)
    stands = (first < t.shape[1]) & (t.gather(1, first.clamp(max=t.shape[1] - 1)) == t_max) & (t_max > 0)
    sample, neuron = (stands & (grad_v_max != 0)).nonzero(as_tuple=True)
    if not len(sample):
        return
    when = t_max[sample, neuron, None]
    for some in torch.arange(len(sample), device=t.device).split(max(1, 2**20 // t.shape[1])):
        at, then = t[sample[some]], when[some]
        w = weight[neuron[some, None], source[sample[some]]]
        s = torch.where(at < then, then - at, 0.0)
        before = (at < then).to(w.dtype)
        slope = (w * before * (torch.exp(-a * s) - b * psp(s, a, b))).sum(1, keepdim=True)
        # simultaneous events share it by their weights: their sum is what ends the rise
        jump = torch.where(at == then, w, 0.0)
        share = jump / jump.sum(1, keepdim=True)
        grad_t.index_add_(0, sample[some], grad_v_max[sample[some], neuron[some], None] * slope * share)
