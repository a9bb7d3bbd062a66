"""The event-driven engine as Triton: a program walks through the events of one sample, for a block of neurons.

The same recursions as in the C++ (`cpp_forward`, `cpp_backward`). `load` brings triton in; without it these are plain
functions that nobody can call. Triton reads annotations as code, so there are none but its own.
"""

# pyright: basic, reportInvalidTypeForm=false

from __future__ import annotations

import functools
from typing import Any

from snn4.core.optional import need

__all__ = ["load"]

# triton.language, once it is loaded; its kernels look it up here
tl: Any = None


def _phi(x):
    """(1 - exp(-x)) / x."""
    near = tl.where(x < 0.5, x, 0.0)
    # 1 - x / 2 (1 - x / 3 (1 - x / 4 ...))
    series = near * 0.0 + 1.0
    for j in tl.static_range(16, 1, -1):
        series = 1.0 - near / j * series
    far = tl.where(x < 0.5, 1.0, x)
    return tl.where(x < 0.5, series, (1.0 - tl.exp(-far)) / far)


def _psp(s, a, b):
    """V, a time s after one spike of weight 1."""
    low = tl.where(a < b, a, b)
    return s * tl.exp(-low * s) * _phi(tl.abs(a - b) * s)


def _twice(s, a, b):
    """-d psp / da."""
    gap = tl.abs(a - b) * s
    near = tl.where(gap < 0.5, gap, 0.0)
    second = near * 0.0 + 1.0
    for j in tl.static_range(17, 2, -1):
        second = 1.0 - near / j * second
    second = second * 0.5
    low = tl.where(a < b, a, b)
    small = s * s * tl.exp(-low * s) * tl.where(a > b, _phi(near) - second, second)
    span = tl.where(a == b, 1.0, b - a)
    return tl.where(gap < 0.5, small, (s * tl.exp(-a * s) - _psp(s, a, b)) / span)


def _summit(v, i, a, b, rises):
    """Where V has its maximum, if it rises now and falls later on."""
    d = b - a
    below = a * (d * v + i)
    m = tl.where(rises & (below > 0), (i - a * v) / tl.where(below > 0, below, 1.0), 0.0)
    u = tl.where(1.0 + d * m > 0, 1.0 + d * m, 1.0)
    return m * tl.where(u == 1.0, 1.0, tl.log(u) / tl.where(u == 1.0, 1.0, u - 1.0))


def _reach(v, i, left, a, b, theta):
    """Who crosses in the time that is left, before when, and the potential at its end."""
    end = v * tl.exp(-a * left) + i * _psp(left, a, b)
    rises = (i > a * v) & (left > 0)
    turns = rises & (i * tl.exp(-b * left) < a * end) & (v + (i - a * v) * left >= theta)
    top = tl.where(turns, _summit(v, i, a, b, turns), left)
    top = tl.where(top < left, top, left)
    high = v * tl.exp(-a * top) + i * _psp(top, a, b)
    over = end >= theta
    return rises & (over | (turns & (high >= theta))), tl.where(over, left, top), end, turns, high


def _cross(v, i, top, a, b, theta, who):
    """When V first reaches the threshold, by the nearer root of the local parabola."""
    s = top * 0.0
    moving = tl.max(who.to(tl.int32), 0)
    rounds = 0
    while (moving > 0) & (rounds < 60):
        f = v * tl.exp(-a * s) + i * _psp(s, a, b)
        c = i * tl.exp(-b * s)
        g = c - a * f
        k = -b * c - a * g
        f = f - theta
        inner = g * g - 2.0 * f * k
        reach = g + tl.sqrt(tl.where(inner > 0, inner, 0.0))
        step = tl.where(who & (reach > 0), -2.0 * f / tl.where(reach > 0, reach, 1.0), 0.0)
        new = tl.where(s + step > 0, s + step, 0.0)
        new = tl.where(new < top, new, top)
        moving = tl.max((who & (tl.abs(new - s) > 4e-7 * new)).to(tl.int32), 0)
        s = new
        rounds += 1
    return s


def _solve(
    t,
    source,
    weight,
    counts,
    numbers,
    times,
    current,
    slope,
    truncated,
    v_max,
    t_max,
    N,
    E,
    K,
    LARGEST: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """All spikes of one sample, for a block of neurons."""
    sample = tl.program_id(0).to(tl.int64)
    lane = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < N
    a = tl.load(numbers)
    b = tl.load(numbers + 1)
    theta = tl.load(numbers + 2)
    window = tl.load(numbers + 3)
    v = tl.zeros([BLOCK], dtype=weight.dtype.element_ty)
    i = v
    best = v
    when = v
    fired = tl.zeros([BLOCK], dtype=tl.int32)
    cut = fired
    at = sample * N + lane
    count = tl.load(counts + sample)
    e = 0
    while e < count:
        now = tl.load(t + sample * E + e)
        until = tl.load(t + sample * E + e + 1, mask=e + 1 < count, other=0.0)
        until = tl.where(e + 1 < count, until, window)
        i = i + tl.load(weight + tl.load(source + sample * E + e) * N + lane, mask=mask, other=0.0)
        # v and i of a neuron are those of its last spike in this segment, `left` before the segment's end
        left = v * 0.0 + (until - now)
        who, top, end, turns, high = _reach(v, i, left, a, b, theta)
        if LARGEST:
            inside = turns & (high > end)
            peak = tl.where(inside, high, end)
            better = (fired == 0) & (peak > best)
            when = tl.where(better, tl.where(inside, now + top, until), when)
            best = tl.where(better, peak, best)
        who = who & mask & (cut == 0)
        while tl.max(who.to(tl.int32), 0) > 0:
            cut = tl.where(who & (fired >= K), 1, cut)
            who = who & (fired < K)
            s = _cross(v, i, top, a, b, theta, who)
            left = tl.where(who, left - s, left)
            i = tl.where(who, i * tl.exp(-b * s), i)
            v = tl.where(who, 0.0, v)
            moment = until - left
            rise = i - a * theta
            tl.store(times + at * K + fired, moment, mask=who)
            tl.store(current + at * K + fired, i, mask=who)
            tl.store(slope + at * K + fired, tl.where(rise > 0, rise, 0.0), mask=who)
            when = tl.where(who & (fired == 0), moment, when)
            best = tl.where(who, theta, best)
            fired = tl.where(who, fired + 1, fired)
            again, top, end, turns, high = _reach(v, i, left, a, b, theta)
            who = who & again
        v = end
        i = i * tl.exp(-b * left)
        e += 1
    tl.store(truncated + at, cut, mask=mask)
    if LARGEST:
        tl.store(v_max + at, best, mask=mask)
        tl.store(t_max + at, when, mask=mask)


def _adjoint(
    t,
    source,
    weight,
    counts,
    numbers,
    times,
    slope,
    grad,
    t_max,
    grad_max,
    grad_t,
    grad_weight,
    grad_constants,
    N,
    E,
    K,
    BLOCKS,
    LARGEST: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One sample's gradients, for a block of neurons, from its last event to its first."""
    sample = tl.program_id(0).to(tl.int64)
    block = tl.program_id(1)
    lane = block * BLOCK + tl.arange(0, BLOCK)
    mask = lane < N
    a = tl.load(numbers)
    b = tl.load(numbers + 1)
    theta = tl.load(numbers + 2)
    late = tl.zeros([BLOCK], dtype=weight.dtype.element_ty)
    psps = late
    to_a = late
    to_b = late
    delayed_i = late
    later = late
    moment = late
    own_a = late
    own_theta = late
    by_a = tl.sum(late, 0)
    by_b = by_a
    at = sample * N + lane
    # the next spike to come into the sums, and the one after it in time
    k = tl.zeros([BLOCK], dtype=tl.int32)
    n = 0
    while n < K:
        k = tl.where(tl.load(times + at * K + n, mask=mask, other=float("inf")) < float("inf"), n + 1, k)
        n += 1
    k = k - 1
    silent = k < 0
    after = tl.load(times + at * K + k, mask=mask & (k >= 0), other=0.0)
    top = late
    owed = late
    if LARGEST:
        top = tl.load(t_max + at, mask=mask, other=0.0)
        owed = tl.where(silent, -tl.load(grad_max + at, mask=mask, other=0.0), 0.0)
    count = tl.load(counts + sample)
    begin = tl.load(t + sample * E + count - 1, mask=count > 0, other=0.0)
    e = count - 1
    while e >= 0:
        now = tl.load(t + sample * E + e)
        h = begin - now
        begin = now
        left = tl.exp(-a * h)
        kept = tl.exp(-b * h)
        rise = _psp(h, a, b)
        to_a = left * to_a + h * left * psps + _twice(h, a, b) * late
        to_b = left * to_b + rise * delayed_i + _twice(h, b, a) * late
        delayed_i = kept * (delayed_i + h * late)
        psps = left * psps + rise * late
        late = kept * late
        if LARGEST:
            due = (owed != 0) & (top > now)
            s = tl.where(due, top - now, 0.0)
            q = tl.where(due, owed, 0.0)
            owed = tl.where(due, 0.0, owed)
            psps += q * _psp(s, a, b)
            late += q * tl.exp(-b * s)
            to_a += q * _twice(s, a, b)
            to_b += q * _twice(s, b, a)
            delayed_i += q * s * tl.exp(-b * s)
        spike = tl.load(times + at * K + k, mask=mask & (k >= 0), other=0.0)
        due = mask & (k >= 0) & (spike > now)
        while tl.max(due.to(tl.int32), 0) > 0:
            gap = tl.where(due, after - spike, 0.0)
            after = tl.where(due, spike, after)
            fallen = tl.exp(-a * gap)
            moment = (moment + gap * later) * fallen
            later = later * fallen
            g = tl.load(grad + at * K + k, mask=due, other=0.0)
            q = (g + theta * a * later) / tl.load(slope + at * K + k, mask=due, other=1.0)
            q = tl.where(due, q, 0.0)
            own_theta += tl.where(due, q + later, 0.0)
            own_a += tl.where(due, moment, 0.0)
            later += q
            s = tl.where(due, spike - now, 0.0)
            psps += q * _psp(s, a, b)
            late += q * tl.exp(-b * s)
            to_a += q * _twice(s, a, b)
            to_b += q * _twice(s, b, a)
            delayed_i += q * s * tl.exp(-b * s)
            k = tl.where(due, k - 1, k)
            spike = tl.load(times + at * K + k, mask=mask & (k >= 0), other=0.0)
            due = due & (k >= 0) & (spike > now)
        row = tl.load(source + sample * E + e) * N + lane
        w = tl.load(weight + row, mask=mask, other=0.0)
        tl.atomic_add(grad_weight + row, -psps, mask=mask)
        tl.store(grad_t + (block * tl.num_programs(0) + sample) * E + e, tl.sum(w * (late - a * psps), 0))
        by_a -= tl.sum(w * to_a, 0)
        by_b -= tl.sum(w * to_b, 0)
        e -= 1
    place = grad_constants + (sample * BLOCKS + block) * 3
    # an infinite threshold times no spike is not a number
    tl.store(place, by_a + tl.sum(tl.where(own_a != 0, theta * own_a, 0.0), 0))
    tl.store(place + 1, by_b)
    tl.store(place + 2, tl.sum(own_theta, 0))


@functools.cache
def load() -> tuple[Any, Any]:
    """The two kernels, compiled when they are first launched.

    Raises:
        MissingLibraryError: triton is not installed.
    """
    names = globals()
    triton = need("triton", "exact spike times on a GPU")
    names["tl"] = need("triton.language", "exact spike times on a GPU")
    for one in (_phi, _psp, _twice, _summit, _reach, _cross, _solve, _adjoint):
        names[one.__name__] = triton.jit(one)
    return names["_solve"], names["_adjoint"]
