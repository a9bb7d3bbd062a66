"""The kernel: against its textbook forms, quadrature, and Lambert's W."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from scipy.integrate import quad
from scipy.special import lambertw
from tests.timing.cases import CONSTANTS, INF

from snn4.timing.psp import first_crossing, peak, phi, potential, psp, psp_integral, psp_slope, psp_to_a, psp_to_b

S = torch.tensor([1e-9, 1e-3, 0.1, 0.7, 2.0, 9.0], dtype=torch.float64)


def rate(tau):
    return 0.0 if tau == INF else 1.0 / tau


def textbook(s, tau_v, tau_i):
    """psp and its derivative, as they are written in papers, where they do not cancel."""
    if tau_v == tau_i == INF:
        return s, 1.0
    if tau_v == INF:
        return tau_i * -math.expm1(-s / tau_i), math.exp(-s / tau_i)
    if tau_i == INF:
        return tau_v * -math.expm1(-s / tau_v), math.exp(-s / tau_v)
    if abs(tau_v - tau_i) < 1e-6:
        return s * math.exp(-s / tau_v), (1 - s / tau_v) * math.exp(-s / tau_v)
    kappa = tau_v * tau_i / (tau_v - tau_i)
    fast, slow = math.exp(-s / tau_i), math.exp(-s / tau_v)
    return kappa * (slow - fast), kappa * (fast / tau_i - slow / tau_v)


@pytest.mark.parametrize(("tau_v", "tau_i"), [case for case in CONSTANTS if case[1] != 1.0001])
def test_kernel_and_derivative(tau_v, tau_i):
    a, b = rate(tau_v), rate(tau_i)
    for s, v, slope in zip(S.tolist(), psp(S, a, b), psp_slope(S, a, b), strict=True):
        want_v, want_slope = textbook(s, tau_v, tau_i)
        # the textbook form itself cancels by 1e-16 kappa for small s
        assert v.item() == pytest.approx(want_v, rel=1e-8, abs=1e-14)
        assert slope.item() == pytest.approx(want_slope, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize(("tau_v", "tau_i"), CONSTANTS)
def test_integral_and_chains(tau_v, tau_i):
    a, b = rate(tau_v), rate(tau_i)

    def kernel(s, first=a, second=b):
        return psp(torch.tensor(s, dtype=torch.float64), first, second).item()

    for s in S[1:]:
        # a chain of three is the kernel once more through a leak
        want = quad(kernel, 0, s.item(), epsabs=1e-14)[0]
        to_a = quad(lambda r, s=s: math.exp(-a * (s.item() - r)) * kernel(r), 0, s.item(), epsabs=1e-14)[0]
        to_b = quad(lambda r, s=s: math.exp(-b * (s.item() - r)) * kernel(r), 0, s.item(), epsabs=1e-14)[0]
        assert psp_integral(s, a, b).item() == pytest.approx(want, rel=1e-10)
        assert psp_to_a(s, a, b).item() == pytest.approx(to_a, rel=1e-10)
        assert psp_to_b(s, a, b).item() == pytest.approx(to_b, rel=1e-10)


@pytest.mark.parametrize(("a", "b"), [(0.5, 1.0), (1.0, 1.0), (1.0, 1.0 + 1e-9), (2.0, 0.3), (0.0, 1.0), (1.0, 0.0)])
def test_autograd_of_the_kernels_knows_the_chains(a, b):
    rates = [torch.full_like(S, one, requires_grad=True) for one in (a, b)]
    s = S.clone().requires_grad_()
    got = torch.autograd.grad(psp(s, *rates).sum(), (s, *rates))
    want = (psp_slope(S, a, b), -psp_to_a(S, a, b), -psp_to_b(S, a, b))
    # where a = b the smaller rate is both: its gradient is shared, and the sum is right
    for mine, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)
    mine = torch.autograd.grad(psp_integral(s, *rates).sum(), s)[0]
    torch.testing.assert_close(mine, psp(S, a, b), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("x", [0.0, 1e-12, 0.03, 0.999, 1.0, 1.001, 7.0, 60.0])
def test_phi_to_full_precision(n, x):
    exact = Fraction(0)
    for j in range(40 if x < 2 else 250):
        exact += Fraction(-Fraction(x)) ** j / math.factorial(j + n)
    got = phi(n, torch.tensor(x, dtype=torch.float64)).item()
    assert got == pytest.approx(float(exact), rel=1e-14)


def test_kernels_are_zero_before_the_spike_and_pass_no_infinity():
    s = torch.tensor([-INF, -1.0, 0.0], requires_grad=True)
    for one in (psp, psp_slope, psp_integral):
        value = one(s, 1.0, 0.5)
        assert value.tolist() == [0.0, 0.0, 0.0]
        (grad,) = torch.autograd.grad(value.sum(), s)
        assert grad.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_time_constants_against_lamberts_w(dtype):
    generator = torch.Generator().manual_seed(3)
    v = (torch.rand(400, generator=generator, dtype=torch.float64) * 3 - 2).to(dtype)
    i = (torch.rand(400, generator=generator, dtype=torch.float64) * 9).to(dtype)
    tau, far = 0.8, torch.full_like(v, 50.0)
    found = first_crossing(v, i, far, 1 / tau, 1 / tau, 1.0)
    start, current = v.double().numpy(), i.double().numpy()
    argument = -(1.0 / (tau * current)) * torch.exp(-v.double() / (tau * i.double())).numpy()
    w = lambertw(argument)
    crosses = (argument >= -math.exp(-1)) & (w.imag == 0)
    s = -start / current - tau * w.real
    hit = found.numpy() < INF
    # a tangential crossing is decided by rounding
    clear = abs(argument + math.exp(-1)) > 1e-5
    assert (hit == (crosses & (s > 0)))[clear].all()
    assert 100 < (hit & clear).sum() < 400
    tolerance = 2e-4 if dtype == torch.float32 else 1e-10
    assert abs(found.double().numpy() - s)[hit & clear].max() < tolerance


@pytest.mark.parametrize(("tau_v", "tau_i"), CONSTANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_first_crossing_is_on_the_threshold_and_nothing_was_above_before(tau_v, tau_i, dtype):
    generator = torch.Generator().manual_seed(7)
    a, b = rate(tau_v), rate(tau_i)
    v = (torch.rand(300, generator=generator, dtype=torch.float64) * 4 - 3).to(dtype)
    i = (torch.randn(300, generator=generator, dtype=torch.float64) * 4).to(dtype)
    length = torch.full_like(v, 2.5)
    s = first_crossing(v, i, length, a, b, 1.0)
    hit = s < INF
    assert 20 < int(hit.sum()) < 280
    exactly = potential(v[hit].double(), i[hit].double(), s[hit].double(), a, b)
    assert float((exactly - 1).abs().max()) < 40 * torch.finfo(dtype).eps
    grid = torch.linspace(0, 1, 2001, dtype=torch.float64)
    until = torch.where(hit, s, length).double()
    along = potential(v.double()[:, None], i.double()[:, None], until[:, None] * grid, a, b)
    assert float(along.max()) <= 1 + 40 * torch.finfo(dtype).eps


@pytest.mark.parametrize(("tau_v", "tau_i"), CONSTANTS)
def test_peak_is_the_maximum(tau_v, tau_i):
    generator = torch.Generator().manual_seed(9)
    a, b = rate(tau_v), rate(tau_i)
    v = torch.rand(200, generator=generator, dtype=torch.float64) * 4 - 3
    i = torch.randn(200, generator=generator, dtype=torch.float64) * 4
    s = peak(v, i, a, b)
    # without a positive current it can only fall, or come back to rest from below
    assert bool((s[(i <= 0) | (i <= a * v)] == 0).all())
    rises = (i > 0) & (i > a * v)
    s = s.clamp(max=3.0)
    grid = torch.linspace(0, 3, 4001, dtype=torch.float64)
    along = potential(v[:, None], i[:, None], grid, a, b)
    best, highest = potential(v, i, s, a, b)[rises], along[rises].max(1).values
    assert float((highest - best).max()) < 1e-12
    assert float((best - highest).max()) < 1e-5
