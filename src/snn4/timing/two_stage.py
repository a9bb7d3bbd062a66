"""Two stages: the first spike of every neuron at once, then only the neurons that fire again.

For one input few neurons fire more than once. So the first stage looks for first spikes, over all pairs (sample,
neuron) side by side, and ends a pair's part when it fires. The second takes the pairs that fired, starts each from its
own spike with V = 0 and the current of that moment, and goes on, round by round, while any of them fires.

The gradient goes through the rounds in the form that belongs to them, in which a potential begins at the last reset:

    V(t_k) = I(t_(k-1)) psp(t_k - t_(k-1)) + sum over t_j > t_(k-1) of w psp(t_k - t_j)
    dt_k/dp = -(1 / slope_k) dV(t_k)/dp + (I(t_(k-1)) e^(-a (t_k - t_(k-1))) / slope_k) dt_(k-1)/dp

It sums over pairs of an output and an input spike, whose number is the product of both, in bounded pieces.

Paper: [yamamoto2024]
Differs from the paper: its text was not at hand; this is our reading of its summary.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from snn4.timing.adjoint import add_kinks
from snn4.timing.psp import first_crossing, peak, potential, psp, psp_slope, psp_to_a, psp_to_b
from snn4.timing.reference import edges_of, table_of
from snn4.timing.types import Constants, Fired, Rates, rates

__all__ = ["adjoint", "solve"]

# how many (output spike, input spike) pairs are looked at together
_PIECE = 2**20


def _next(
    v: Tensor, i: Tensor, length: Tensor, rate: Rates, waits: Tensor
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Who crosses in this segment, after which time, and the state at its end of those that do not."""
    a, b, threshold = rate
    v_end, i_end = potential(v, i, length, a, b), i * torch.exp(-b * length)
    rises = i - a * v
    inside = (rises > 0) & (i_end < a * v_end) & (v + rises * length >= threshold)
    may = (((v_end >= threshold) | inside) & waits).nonzero().squeeze(1)
    s = first_crossing(v[may], i[may], length[may], a, b, threshold)
    hit = s < math.inf
    return may[hit], s[hit], (v_end, i_end)


def _round(
    edges: Tensor, table: Tensor, row: Tensor, number: int, rate: Rates, start: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """The next spike of each pair: which pairs have one, and their (pair, event, time, current) there.

    `start` holds the same four of where each pair begins: just after a spike, or at rest before the first event.
    """
    pair, begun, clock, current = start
    out = table.shape[1]
    sample, neuron = pair // out, pair % out
    v, i, waits = torch.zeros_like(current), current.clone(), torch.ones_like(pair, dtype=torch.bool)
    event, time, held = torch.full_like(pair, number), torch.full_like(clock, math.inf), torch.zeros_like(current)
    for e in range(int(begun.min()) if len(begun) else number, number):
        # a pair that begins later than this event sleeps; one that begins in this segment does so at its own time
        begins, on = begun == e, begun < e
        i = torch.where(on, i + table[row[sample, e], neuron], i)
        origin = torch.where(begins, clock, edges[sample, e])
        length = torch.where(on | begins, edges[sample, e + 1] - origin, 0.0).clamp(min=0.0)
        who, s, (v_end, i_end) = _next(v, i, length, rate, waits & (on | begins))
        event[who], time[who] = e, origin[who] + s
        held[who] = i[who] * torch.exp(-rate.b * s)
        waits[who] = False
        v, i = v_end, i_end
    fires = (~waits).nonzero().squeeze(1)
    return pair[fires], event[fires], time[fires], held[fires]


def _first(edges: Tensor, table: Tensor, row: Tensor, number: int, rate: Rates, want_max: bool) -> tuple[Tensor, ...]:
    """The first stage: as `_round` from rest for all pairs; also the largest potentials and where they are."""
    a, b, _ = rate
    batch, out = len(edges), table.shape[1]
    v = table.new_zeros(batch * out)
    i, v_max, t_max, held = v, v.clone(), v.clone(), v.clone()
    time = torch.full_like(v, math.inf)
    event = torch.full((batch * out,), number, device=v.device)
    waits = torch.ones_like(event, dtype=torch.bool)
    for e in range(number):
        begin, end = (edges[:, at, None].expand(-1, out).reshape(-1) for at in (e, e + 1))
        i = i + table[row[:, e]].view(-1)
        if want_max:
            s = torch.minimum(peak(v, i, a, b), end - begin)
            top = potential(v, i, s, a, b)
            t_max = torch.where(top > v_max, torch.where(s < end - begin, begin + s, end), t_max)
            v_max = torch.maximum(v_max, top)
        who, s, (v_end, i_end) = _next(v, i, end - begin, rate, waits)
        event[who], time[who] = e, begin[who] + s
        held[who] = i[who] * torch.exp(-b * s)
        waits[who] = False
        v, i = v_end, i_end
    pair = (~waits).nonzero().squeeze(1)
    return pair, event[pair], time[pair], held[pair], v_max, t_max


def solve(
    t: Float[Tensor, "B E"],
    source: Int64[Tensor, "B E"],
    weight: Float[Tensor, "N_out N_in"],
    constants: Constants,
    max_spikes: int,
    window: float,
    *,
    want_max: bool = False,
    everyone: bool = False,
) -> Fired:
    """As `snn4.timing.reference.solve`.

    Args:
        t: see there, as the others.
        source: likewise.
        weight: likewise.
        constants: likewise.
        max_spikes: likewise.
        window: likewise.
        want_max: likewise.
        everyone: take every neuron through every round, whether it fired or not: the cost that two stages save.

    Shape: (B, E) -> (B, N_out, max_spikes), (B, N_out).
    """
    rate = rates(constants)
    a, _, threshold = rate
    t, weight = t.detach(), weight.detach()
    edges, number = edges_of(t, window)
    table, row = table_of(t, source, weight, window)
    batch, out = len(t), len(weight)
    times = weight.new_full((batch * out, max_spikes), math.inf)
    current, slope = torch.zeros_like(times), torch.ones_like(times)
    *state, v_max, t_max = _first(edges, table, row, number, rate, want_max)
    for k in range(max_spikes):
        pair, _, time, held = state
        times[pair, k], current[pair, k] = time, held
        slope[pair, k] = (held - a * threshold).clamp(min=0.0)
        if not everyone and not len(pair):
            break
        if everyone:
            state = _everyone(state, batch * out, number)
        state = list(_round(edges, table, row, number, rate, tuple(state)))
    truncated = torch.zeros(batch * out, dtype=torch.bool, device=t.device)
    truncated[state[0]] = True
    if want_max:
        fires = times[:, 0] < math.inf
        v_max, t_max = torch.where(fires, threshold, v_max), torch.where(fires, times[:, 0], t_max)
    shape = (batch, out) if want_max else (batch, 0)
    return Fired(
        times.view(batch, out, max_spikes),
        current.view(batch, out, max_spikes),
        slope.view(batch, out, max_spikes),
        truncated.view(batch, out),
        v_max[: shape[0] * shape[1]].view(shape),
        t_max[: shape[0] * shape[1]].view(shape),
    )


def _everyone(state: list[Tensor], pairs: int, number: int) -> list[Tensor]:
    """All pairs; those that did not fire sleep through the round, but are carried along."""
    pair, event, time, held = state
    spread = (
        torch.arange(pairs, device=pair.device),
        torch.full((pairs,), number, device=pair.device),
        time.new_full((pairs,), math.inf),
        held.new_zeros(pairs),
    )
    for whole, part in zip(spread[1:], (event, time, held), strict=True):
        whole[pair] = part
    return list(spread)


def adjoint(
    t: Float[Tensor, "B E"],
    source: Int64[Tensor, "B E"],
    weight: Float[Tensor, "N_out N_in"],
    constants: Constants,
    fired: Fired,
    grad_times: Float[Tensor, "B N_out K"],
    grad_v_max: Float[Tensor, "B N_out"] | None = None,
) -> tuple[Float[Tensor, "B E"], Float[Tensor, "N_out N_in"], Float[Tensor, "3"]]:
    """As `snn4.timing.adjoint.adjoint`, by the rounds.

    Args:
        t: see there, as the others.
        source: likewise.
        weight: likewise.
        constants: likewise.
        fired: likewise.
        grad_times: likewise.
        grad_v_max: likewise.

    Shape: returns the gradients of t (B, E), weight (N_out, N_in) and of (tau_v, tau_i, v_threshold), (3,).
    """
    rate = rates(constants)
    a, b, threshold = rate
    batch, out, room = fired.times.shape
    grad_t, grad_weight = torch.zeros_like(t), torch.zeros_like(weight).view(-1)
    grad_constants = weight.new_zeros(3)
    totals = (grad_t, grad_weight, grad_constants)
    later = weight.new_zeros(batch, out)
    exists = fired.exists
    for k in reversed(range(room)):
        slope = fired.slope[..., k]
        now = torch.where(exists[..., k], (grad_times[..., k] + (slope + a * threshold) * later) / slope, 0.0)
        grad_constants[2] += now.sum()
        past = fired.times[..., k - 1] if k else torch.full_like(now, -math.inf)
        _spread(t, source, weight, rate, (now, fired.times[..., k], past), totals)
        gap = torch.where(exists[..., k] & (past >= 0), fired.times[..., k] - past, 0.0)
        later = now * torch.exp(-a * gap)
    if grad_v_max is not None:
        silent = torch.where(exists[..., 0], 0.0, grad_v_max)
        _spread(t, source, weight, rate, (-silent, fired.t_max, torch.full_like(silent, -math.inf)), totals)
        add_kinks(t, source, weight, rate, fired.t_max, silent, grad_t)
    grad_constants[:2] *= weight.new_tensor([-a * a, -b * b])
    return grad_t, grad_weight.view_as(weight), grad_constants


def _spread(
    t: Tensor,
    source: Tensor,
    weight: Tensor,
    rate: Rates,
    points: tuple[Tensor, Tensor, Tensor],
    totals: tuple[Tensor, Tensor, Tensor],
) -> None:
    """Add -q dV(t_k)/dp to the gradients of events, weights and (a, b), for points (q, t_k, t_(k-1)) of all pairs."""
    a, b, _ = rate
    grad_t, grad_weight, grad_constants = totals
    pairs = (points[0] != 0).flatten().nonzero().squeeze(1)
    for some in pairs.split(max(1, _PIECE // t.shape[1])):
        sample, neuron = some // len(weight), some % len(weight)
        q, time, past = (one.flatten()[some].unsqueeze(1) for one in points)
        at, origin = t[sample], source[sample]
        w = weight[neuron.unsqueeze(1), origin]
        before, after = at < past, (at >= past) & (at < time)
        wait = torch.where(before, past - at, 0.0)
        s = torch.where(after, time - at, torch.where(before, time - past, 0.0))
        kept = torch.exp(-b * wait)
        answer = kept * psp(s, a, b)
        where = (neuron.unsqueeze(1) * weight.shape[1] + origin).flatten()
        grad_weight.index_add_(0, where, (-q * answer).flatten())
        moves = torch.where(before, -b * answer, psp_slope(s, a, b))
        grad_t.index_add_(0, sample, q * w * moves)
        grad_constants[0] += (q * w * kept * psp_to_a(s, a, b)).sum()
        grad_constants[1] += (q * w * kept * (psp_to_b(s, a, b) + wait * psp(s, a, b))).sum()
