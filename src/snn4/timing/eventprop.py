"""EventProp: the exact gradient from the adjoint of the dynamics, carried backwards in time and jumping at spikes.

    backwards    l_V' = -a l_V + dl/dV,    l_I' = -b l_I + l_V           l = dL / d(V, I)
    at a spike   l_V <- ((slope + a threshold) l_V - g_k - threshold dl/dV) / slope,    slope + a threshold = I
    dL/dw = l_I(t_j),    dL/dt_j = w (b l_I - l_V),    dL/dthreshold = -sum of l_V after its jumps

It does not know the subtract form, nor that spike times have a closed equation: `snn4.timing.adjoint` and this module
share no formula, and check each other. Losses on the potential enter where they belong, as dl/dV: a constant one for
the integral of V, a point at the maximum.

The time constants need the integrals of l_V V and l_I I. Both are linear in the input spikes, so a second pair of
adjoints, driven by the first, collects them without the potential's trajectory.

Paper: [wunderlich2021eventprop]
Differs from the paper: dV/dt is -V / tau_v + I, not divided by tau_v; the gradients of times, thresholds and time
    constants are added.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from snn4.timing.adjoint import add_kinks
from snn4.timing.psp import phi, psp, psp_integral, psp_to_a, psp_to_b
from snn4.timing.reference import edges_of, table_of
from snn4.timing.types import Constants, Fired, Rates, rates

__all__ = ["adjoint"]


class _Adjoint(NamedTuple):
    """l_V and l_I; then the pair driven by l_V, whose V part forgets at a reset; then what l_I drives."""

    v: Tensor
    i: Tensor
    av: Tensor
    ai: Tensor
    bi: Tensor

    def back(self, s: Tensor, rate: Rates, push: Tensor | None) -> _Adjoint:
        """A time s earlier, no spike between; `push` is dl/dV."""
        a, b, _ = rate
        v_left, i_left, across = torch.exp(-a * s), torch.exp(-b * s), psp(s, a, b)
        to_a, to_b = psp_to_a(s, a, b), psp_to_b(s, a, b)
        moved = _Adjoint(
            self.v * v_left,
            self.i * i_left + self.v * across,
            self.av * v_left + self.v * s * v_left,
            self.ai * i_left + self.av * across + self.v * to_a,
            self.bi * i_left + self.i * s * i_left + self.v * to_b,
        )
        if push is None:
            return moved
        pushed = (s * phi(1, a * s), psp_integral(s, a, b), s * s * (phi(1, a * s) - phi(2, a * s)), *_slow(s, a, b))
        return _Adjoint(*(one + push * response for one, response in zip(moved, pushed, strict=True)))

    def at(self, pairs: Tensor) -> _Adjoint:
        """Of some pairs (sample, neuron)."""
        return _Adjoint(*(one.reshape(-1)[pairs] for one in self))

    def put(self, pairs: Tensor, some: _Adjoint) -> None:
        """Overwrite some pairs, in place."""
        for one, values in zip(self, some, strict=True):
            one.view(-1)[pairs] = values


def _slow(s: Tensor, a: float, b: float) -> tuple[Tensor, Tensor]:
    """Minus the derivatives of psp_integral with respect to a and to b, one number for each s."""
    with torch.enable_grad():
        slow = torch.full_like(s, a, requires_grad=True), torch.full_like(s, b, requires_grad=True)
        to_a, to_b = torch.autograd.grad(psp_integral(s.detach(), *slow).sum(), slow)
    return -to_a, -to_b


class _Jumps(NamedTuple):
    """What happens to the adjoint at points in time: l_V <- gain l_V + kick, and a V part that may be forgotten.

    Sorted by the event before each, and so that no group holds a pair (sample, neuron) twice; within a segment, later
    ones come first.
    """

    pair: Int64[Tensor, "J"]
    time: Float[Tensor, "J"]
    gain: Float[Tensor, "J"]
    kick: Float[Tensor, "J"]
    spike: Float[Tensor, "J"]
    ends: list[int]

    @staticmethod
    def of(t: Tensor, times: Tensor, gain: Tensor, kick: Tensor, spike: Tensor, number: int) -> _Jumps:
        """From (B, N, K) points, ascending along K with `inf` for none."""
        room = times.shape[-1]
        exists = times < math.inf
        segment = torch.searchsorted(t.contiguous(), torch.where(exists, times, 0.0).flatten(1)).view_as(times) - 1
        exists = exists & (segment >= 0)
        rank = torch.zeros_like(segment)
        for k in reversed(range(room - 1)):
            same = exists[..., k + 1] & (segment[..., k + 1] == segment[..., k])
            rank[..., k] = torch.where(same, rank[..., k + 1] + 1, 0)
        chosen = exists.flatten().nonzero().squeeze(1)
        group = (segment * room + rank).flatten()[chosen]
        order = group.argsort(stable=True)
        chosen = chosen[order]
        ends = torch.bincount(group, minlength=number * room).cumsum(0).tolist()
        time, gain, kick, spike = (one.flatten()[chosen] for one in (times, gain, kick, spike))
        return _Jumps(chosen // room, time, gain, kick, spike, [0, *ends])


def adjoint(
    t: Float[Tensor, "B E"],
    source: Int64[Tensor, "B E"],
    weight: Float[Tensor, "N_out N_in"],
    constants: Constants,
    fired: Fired,
    grad_times: Float[Tensor, "B N_out K"],
    grad_v_max: Float[Tensor, "B N_out"] | None = None,
    *,
    grad_integral: Float[Tensor, "B N_out"] | None = None,
    window: float | None = None,
) -> tuple[Float[Tensor, "B E"], Float[Tensor, "N_out N_in"], Float[Tensor, "3"]]:
    """As `snn4.timing.adjoint.adjoint`, and with a loss on potentials if you like.

    Args:
        t: as they were given to `solve`.
        source: likewise.
        weight: likewise.
        constants: likewise.
        fired: what `solve` found; its slopes are divided by as they are.
        grad_times: read where a spike exists only.
        grad_v_max: read for silent neurons only.
        grad_integral: dL / d(integral of V over the window).
        window: needed with `grad_integral`.

    Shape: returns the gradients of t (B, E), weight (N_out, N_in) and of (tau_v, tau_i, v_threshold), (3,).
    """
    rate = rates(constants)
    a, b, threshold = rate
    exists = fired.exists
    own = torch.where(exists, grad_times, 0.0)
    if grad_integral is not None:
        own = own + threshold * grad_integral.unsqueeze(-1)
    times, gain, kick = fired.times, 1.0 + a * threshold / fired.slope, -own / fired.slope
    spike = torch.ones_like(times)
    silent = times[..., :1] == math.inf
    if grad_v_max is not None:
        # a silent neuron has free room: its maximum takes the place of its first spike
        first = torch.where(silent, fired.t_max.unsqueeze(-1), times[..., :1])
        times = torch.cat([first, times[..., 1:]], -1)
        gain = torch.where(silent, 1.0, gain)
        kick = torch.where(silent, grad_v_max.unsqueeze(-1), kick)
        spike = torch.where(silent, 0.0, spike)
    last = window if grad_integral is not None else None
    if last is None:
        last = torch.where(times < math.inf, times, 0.0).amax().item() if times.numel() else 0.0
    edges, number = edges_of(t, last)
    table, row = table_of(t, source, weight, last)
    jumps = _Jumps.of(t, times, gain, kick, spike, number)
    room, out = times.shape[-1], len(weight)

    state = _Adjoint(*(weight.new_zeros(times.shape[:2]) for _ in range(5)))
    grad_t, grad_table = torch.zeros_like(t), torch.zeros_like(table)
    sums = [weight.new_zeros(()) for _ in range(3)]
    for e in reversed(range(number)):
        start, end = edges[:, e, None], edges[:, e + 1, None]
        clock = end.expand(-1, out).clone()
        before = state.back(end - start, rate, grad_integral)
        touched: list[Tensor] = []
        for group in range(e * room, (e + 1) * room):
            here = slice(jumps.ends[group], jumps.ends[group + 1])
            if here.start == here.stop:
                break
            pair, time, spike = jumps.pair[here], jumps.time[here], jumps.spike[here]
            push = None if grad_integral is None else grad_integral.reshape(-1)[pair]
            now = state.at(pair).back(clock.view(-1)[pair] - time, rate, push)
            now = now._replace(v=jumps.gain[here] * now.v + jumps.kick[here], av=now.av * (1.0 - spike))
            state.put(pair, now)
            clock.view(-1)[pair] = time
            sums[2] = sums[2] - (now.v * spike).sum()
            touched.append(pair)
        if touched:
            pair = touched[0]
            push = None if grad_integral is None else grad_integral.reshape(-1)[pair]
            left = clock.view(-1)[pair] - start[pair // out, 0]
            before.put(pair, state.at(pair).back(left, rate, push))
        state = before
        w = table[row[:, e]]
        grad_table.index_add_(0, row[:, e], state.i)
        grad_t[:, e] = (w * (b * state.i - state.v)).sum(1)
        sums[0], sums[1] = sums[0] - (w * state.ai).sum(), sums[1] - (w * state.bi).sum()
    if grad_v_max is not None:
        add_kinks(t, source, weight, rate, fired.t_max, torch.where(silent[..., 0], grad_v_max, 0.0), grad_t)
    return grad_t, grad_table[:-1].t(), torch.stack([-a * a * sums[0], -b * b * sums[1], sums[2]])
