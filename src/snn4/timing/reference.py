"""The spikes of a layer, solved exactly: one pass over the sorted input events, in plain PyTorch.

    between events     V(t + s) = V e^(-a s) + I psp(s),    I(t + s) = I e^(-b s)
    at an input spike  I <- I + w
    at V = threshold   an output spike, V <- 0, and I is kept: the neuron may fire again

All neurons of all samples walk side by side from event to event. Most segments are decided by their two ends; only the
pairs (sample, neuron) that may cross are gathered and looked at closely, as often as they fire.

Paper: [yamamoto2024]
Differs from the paper: its equations were not at hand; these are derived from its neuron. What happens in a segment is
    exact for every pair of time constants, not for one.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from snn4.timing.psp import first_crossing, peak, potential
from snn4.timing.types import Constants, Fired, Rates, rates

__all__ = ["edges_of", "solve", "table_of"]


def edges_of(t: Float[Tensor, "B E"], window: float) -> tuple[Float[Tensor, "B F"], int]:
    """Where segments begin and end: the events, cut at the window, and the window's end; and how many matter."""
    edges = torch.cat([t.clamp(max=window), t.new_full((len(t), 1), window)], 1)
    inside = (t < window).sum(1)
    return edges, int(inside.max()) if inside.numel() else 0


def table_of(
    t: Tensor, source: Int64[Tensor, "B E"], weight: Float[Tensor, "N_out N_in"], window: float
) -> tuple[Float[Tensor, "N_in1 N_out"], Int64[Tensor, "B E"]]:
    """One row of weights for each input neuron and a row of zeros, to which events outside of the window point."""
    table = torch.cat([weight.t(), weight.new_zeros(1, len(weight))])
    return table, torch.where(t < window, source, len(table) - 1)


class _Walk:
    """The buffers that fill while the walk goes on, flat over pairs (sample, neuron)."""

    def __init__(self, like: Tensor, pairs: int, max_spikes: int, rate: Rates) -> None:
        self.rate, self.max_spikes = rate, max_spikes
        self.times = like.new_full((pairs, max_spikes), math.inf)
        self.current = like.new_zeros(pairs, max_spikes)
        self.slope = like.new_ones(pairs, max_spikes)
        self.count = torch.zeros(pairs, dtype=torch.int64, device=like.device)
        self.truncated = torch.zeros(pairs, dtype=torch.bool, device=like.device)

    def segment(self, pairs: Tensor, v: Tensor, i: Tensor, clock: Tensor, end: Tensor, ends: tuple[Tensor, Tensor]):
        """Fire as often as the segment allows, and put the state at its end into `ends`, at `pairs`."""
        a, b, threshold = self.rate
        v_end, i_end = ends
        while len(pairs):
            left = (end - clock).clamp(min=0.0)
            s = first_crossing(v, i, left, a, b, threshold)
            fires = s < math.inf
            over = fires & (self.count[pairs] == self.max_spikes)
            self.truncated[pairs[over]] = True
            v_end[pairs] = potential(v, i, left, a, b)
            i_end[pairs] = i * torch.exp(-b * left)
            on = fires & ~over
            pairs, s, clock, end = pairs[on], s[on], clock[on] + s[on], end[on]
            i = i[on] * torch.exp(-b * s)
            v = torch.zeros_like(i)
            at = (pairs, self.count[pairs])
            self.times[at], self.current[at] = clock, i
            # the slope cannot be negative here, but its rounding can
            self.slope[at] = (i - a * threshold).clamp(min=0.0)
            self.count[pairs] += 1


def solve(
    t: Float[Tensor, "B E"],
    source: Int64[Tensor, "B E"],
    weight: Float[Tensor, "N_out N_in"],
    constants: Constants,
    max_spikes: int,
    window: float,
    *,
    want_max: bool = False,
) -> Fired:
    """Every spike of every neuron within the window.

    Args:
        t: input events, ascending, `inf` at the end; simultaneous ones act together.
        source: which input neuron each came from.
        weight: finite.
        constants: shared by the layer.
        max_spikes: the room for spikes; a neuron that would fire once more is marked `truncated`, and the rest of
            its trajectory is not followed.
        window: neither inputs nor outputs after it exist. An input at its very end has no effect.
        want_max: also find the largest potential.

    Shape: (B, E) -> (B, N_out, max_spikes), (B, N_out).
    """
    rate = rates(constants)
    a, b, threshold = rate
    t, weight = t.detach(), weight.detach()
    batch, out = len(t), len(weight)
    edges, number = edges_of(t, window)
    table, source = table_of(t, source, weight, window)
    walk = _Walk(weight, batch * out, max_spikes, rate)
    v = weight.new_zeros(batch, out)
    i, v_max, t_max = v, v.clone(), v.clone()
    for e in range(number):
        start, end = edges[:, e, None], edges[:, e + 1, None]
        length = end - start
        i = i + table[source[:, e]]
        if want_max:
            s = torch.minimum(peak(v, i, a, b), length)
            v_peak = potential(v, i, s, a, b)
            t_max = torch.where(v_peak > v_max, torch.where(s < length, start + s, end), t_max)
            v_max = torch.maximum(v_max, v_peak)
        v_end, i_end = potential(v, i, length, a, b), i * torch.exp(-b * length)
        # It crosses if it ends above, or if it has its maximum inside: it rises now, falls at the end, and the tangent
        # of now, which it stays below, reaches the threshold.
        rises = i - a * v
        inside = (rises > 0) & (i_end < a * v_end) & (v + rises * length >= threshold)
        may = ((v_end >= threshold) | inside) & ~walk.truncated.view(batch, out)
        pairs = may.flatten().nonzero().squeeze(1)
        if len(pairs):
            clock, stop = start[pairs // out, 0], end[pairs // out, 0]
            ends = (v_end.view(-1), i_end.view(-1))
            walk.segment(pairs, v.reshape(-1)[pairs], i.reshape(-1)[pairs], clock, stop, ends)
        v, i = v_end, i_end
    times = walk.times.view(batch, out, max_spikes)
    if want_max:
        fires = times[..., 0] < math.inf
        v_max = torch.where(fires, threshold, v_max)
        t_max = torch.where(fires, times[..., 0], t_max)
    return Fired(
        times,
        walk.current.view_as(times),
        walk.slope.view_as(times),
        walk.truncated.view(batch, out),
        v_max if want_max else v_max.new_empty(batch, 0),
        t_max if want_max else t_max.new_empty(batch, 0),
    )
