"""How a potential answers to one spike, and when it reaches the threshold.

    dV/dt = -a V + I,    dI/dt = -b I          a = 1 / tau_v,  b = 1 / tau_i, either may be 0

    psp(s)    = (e^(-a s) - e^(-b s)) / (b - a)      V after one spike of weight 1
              = s e^(-min(a, b) s) phi_1(|b - a| s)
    psp'(s)   = e^(-a s) - b psp(s)
    phi_n(x)  = sum_j (-x)^j / (j + n)!              phi_0 = e^(-x), phi_1 = (1 - e^(-x)) / x, ...

The second form is symmetric in a and b and cancels nowhere, so it holds for every case of the literature without a
case in the code: the double exponential, the alpha function (a = b), no leak (a = 0), the step current (b = 0), the
ramp (both 0), and for all that lies near them.

Paper: [yamamoto2024, mostafa2017, sakemi2021]
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["first_crossing", "peak", "phi", "potential", "psp", "psp_integral", "psp_slope", "psp_to_a", "psp_to_b"]

Rate = float | Tensor
_SERIES = 18
_ITERATIONS = 60


def _phi(n: int, x: Tensor) -> Tensor:
    if n == 0:
        return torch.exp(-x)
    small = x < 1.0
    if n == 1:
        nonzero = x > 0
        return torch.where(nonzero, -torch.expm1(-x) / torch.where(nonzero, x, 1.0), 1.0)
    near = torch.where(small, x, 0.0)
    series = torch.full_like(x, 1.0 / math.factorial(n + _SERIES))
    for j in reversed(range(_SERIES)):
        series = 1.0 / math.factorial(n + j) - near * series
    far = torch.where(small, 1.0, x)
    return torch.where(small, series, (1.0 / math.factorial(n - 1) - _phi(n - 1, far)) / far)


class _Phi(torch.autograd.Function):
    """phi_n with the derivative n phi_(n+1) - phi_n, which does not divide by x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, n: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.n = n
        return _phi(n, x)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grads[0] * (ctx.n * phi(ctx.n + 1, x) - phi(ctx.n, x)), None


def phi(n: int, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """phi_n(x) for x >= 0, to full precision however small x is, and as often differentiable as you like.

    Shape: any, kept.

    Example:
        >>> phi(1, torch.tensor([0.0, 1.0]))
        tensor([1.0000, 0.6321])
    """
    return _Phi.apply(x, n) if x.requires_grad else _phi(n, x)


def _ordered(a: Rate, b: Rate) -> tuple[Rate, Rate]:
    """The smaller rate and the gap to the larger one."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        like = a if isinstance(a, Tensor) else b
        first, second = (torch.as_tensor(one, dtype=like.dtype, device=like.device) for one in (a, b))  # type: ignore[union-attr]
        return torch.minimum(first, second), (first - second).abs()
    return min(a, b), abs(a - b)


def _after(s: Tensor) -> tuple[Tensor, Tensor]:
    """Which spikes have come, and the time since; 0 for those that have not, so that no infinity gets further."""
    come = s > 0
    return come, torch.where(come, s, 0.0)


def psp(s: Float[Tensor, "*any"], a: Rate, b: Rate) -> Float[Tensor, "*any"]:
    """V, a time s after one spike of weight 1; 0 for s <= 0, also for s = -inf.

    Args:
        s: the time since the spike.
        a: 1 / tau_v, a number or a tensor that spreads over s; differentiable.
        b: 1 / tau_i, likewise.

    Shape: any, kept.

    Example:
        >>> psp(torch.tensor([1.0]), 1.0, 1.0)
        tensor([0.3679])
    """
    _, s = _after(s)
    low, gap = _ordered(a, b)
    return s * torch.exp(-low * s) * phi(1, gap * s)


def psp_slope(s: Float[Tensor, "*any"], a: Rate, b: Rate) -> Float[Tensor, "*any"]:
    """dV/ds, a time s after one spike of weight 1; 0 for s <= 0. Shape: any, kept."""
    come, s = _after(s)
    return torch.where(come, torch.exp(-a * s) - b * psp(s, a, b), 0.0)


def psp_to_a(s: Float[Tensor, "*any"], a: float, b: float) -> Float[Tensor, "*any"]:
    """-d psp / da: the answer of a chain with the rates a, a, b. Shape: any, kept."""
    _, s = _after(s)
    gap = abs(a - b) * s
    if a <= b:
        return s * s * torch.exp(-a * s) * phi(2, gap)
    return s * s * torch.exp(-b * s) * (phi(1, gap) - phi(2, gap))


def psp_to_b(s: Float[Tensor, "*any"], a: float, b: float) -> Float[Tensor, "*any"]:
    """-d psp / db: the answer of a chain with the rates a, b, b. Shape: any, kept."""
    return psp_to_a(s, b, a)


def psp_integral(s: Float[Tensor, "*any"], a: Rate, b: Rate) -> Float[Tensor, "*any"]:
    """The integral of psp from 0 to s; 0 for s <= 0.

        (s phi_1(low s) - psp(s)) / high,     or a power series where high s is small

    Shape: any, kept.
    """
    _, s = _after(s)
    low, gap = _ordered(a, b)
    x, y = low * s, (low + gap) * s
    small = y < 0.5
    # sum over n of (-1)^n h_n(x, y) / (n + 2)!, where h_n is the sum of all products of n factors x or y
    near_x, near_y = torch.where(small, x, 0.0), torch.where(small, y, 0.0)
    power, products, series = torch.ones_like(s), torch.ones_like(s), torch.full_like(s, 0.5)
    for n in range(1, _SERIES - 3):
        power = power * -near_y
        products = power - near_x * products
        series = series + products / math.factorial(n + 2)
    far_s = torch.where(small, 1.0, s)
    far_y = torch.where(small, 1.0, y)
    far = (phi(1, torch.where(small, 0.0, x)) - torch.where(small, 0.0, psp(s, a, b)) / far_s) / far_y
    return s * s * torch.where(small, series, far)


def potential(v: Tensor, i: Tensor, s: Tensor, a: float, b: float) -> Tensor:
    """V a time s later, from the state (v, i), with no event between. Shapes spread over one another."""
    return v * torch.exp(-a * s) + i * psp(s, a, b)


def peak(v: Float[Tensor, "*any"], i: Float[Tensor, "*any"], a: float, b: float) -> Float[Tensor, "*any"]:
    """When the potential is largest if no event comes: 0 if it does not rise now, `inf` if it rises for ever.

    Without a positive current it is 0 too: what then rises comes back to rest from below, and stays negative.

    With y = (1 - a v / i) / b:   s = -log(1 - (b - a) y) / (b - a).

    Shape: any, kept.
    """
    rises = (i > 0) & (i > a * v)
    if a == 0.0 or b == 0.0:
        return torch.where(rises, math.inf, 0.0).to(v.dtype)
    y = (1.0 - a * v / torch.where(rises, i, 1.0)) / b
    x = torch.where(rises, (b - a) * y, 0.0)
    ends = x < 1.0
    inside = torch.where(ends & (x != 0), x, 0.5)
    stretch = torch.where(x == 0, 1.0, -torch.log1p(-inside) / inside)
    return torch.where(rises, torch.where(ends, y * stretch, math.inf), 0.0)


def first_crossing(
    v: Float[Tensor, "*any"],
    i: Float[Tensor, "*any"],
    length: Float[Tensor, "*any"],
    a: float,
    b: float,
    threshold: float,
) -> Float[Tensor, "*any"]:
    """When the potential first reaches the threshold within the next `length`, or `inf`.

    It can do so only on the way to its one maximum, where it rises and is concave. So the maximum decides whether
    there is a crossing, and then the bracket is sure. The cases with an elementary solution use it; the others,
    tau_v = tau_i with its Lambert W among them, iterate: the parabola through value, slope and curvature converges
    cubically, also at a tangential crossing, where Newton's line would not.

    Args:
        v: the potential now, below the threshold.
        i: the current now.
        length: how far to look.
        a: 1 / tau_v.
        b: 1 / tau_i.
        threshold: > 0.

    Shape: any, kept.
    """
    end = torch.minimum(peak(v, i, a, b), length)
    hit = (end > 0) & (potential(v, i, end, a, b) >= threshold)
    crossing = torch.full_like(v, math.inf)
    if bool(hit.any()):
        v, i, end = v[hit], i[hit], end[hit]
        crossing[hit] = _solve(v, i, end, a, b, threshold)
    return crossing


def _solve(v: Tensor, i: Tensor, end: Tensor, a: float, b: float, threshold: float) -> Tensor:
    """The crossing, where it is known to lie in (0, end] and the potential rises up to there."""
    lack = threshold - v
    if a == 0.0 and b == 0.0:
        s = lack / i
    elif a == 0.0:
        s = -torch.log1p((-b * lack / i).clamp(min=-1.0)) / b
    elif b == 0.0:
        s = torch.log1p(a * lack / (i - a * threshold).clamp(min=torch.finfo(v.dtype).tiny)) / a
    elif b == 2.0 * a:
        # V is a parabola in u = e^(-a s); written so that a crossing close to now does not cancel
        gain = i / a
        root = ((v + gain).square() - 4.0 * gain * threshold).clamp(min=0.0).sqrt()
        s = torch.log1p(4.0 * gain * lack / ((gain - v + root) * (gain + v + root))) / a
    else:
        return _iterate(v, i, end, a, b, threshold)
    return torch.minimum(s.clamp(min=0.0), end)


def _iterate(v: Tensor, i: Tensor, end: Tensor, a: float, b: float, threshold: float) -> Tensor:
    """Steps to the nearer root of the parabola, kept inside a bracket."""
    low, high = torch.zeros_like(end), end
    fine = torch.finfo(v.dtype)
    s = low
    for _ in range(_ITERATIONS):
        lack = threshold - potential(v, i, s, a, b)
        current = i * torch.exp(-b * s)
        slope = current - a * (threshold - lack)
        bend = -a * slope - b * current
        below: Bool[Tensor, ...] = lack > 0
        low, high = torch.where(below, s, low), torch.where(below, high, s)
        reach = slope + (slope.square() + 2.0 * bend * lack).clamp(min=0.0).sqrt()
        step = s + 2.0 * lack / torch.where(reach > 0, reach, fine.tiny)
        step = torch.where((step >= low) & (step <= high), step, 0.5 * (low + high))
        # either the time or the potential is as exact as its number format
        done = ((step - s).abs() <= fine.eps * step) | (lack.abs() <= 2.0 * fine.eps * threshold)
        s = step
        if bool(done.all()):
            break
    return s
